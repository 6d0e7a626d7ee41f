"""What orchestration costs: train-all through two workers against the bare trainings.

``python -m tests.bench_dispatch`` clones HEAD into a temporary folder, draws faces, and trains four
networks from scratch twice: with nothing but `unveil train` and `unveil evaluate`, two at a time on
a core each, and by `unveil run train-all` through two workers of a core each. Prints a table. Takes
a quarter of an hour on two idle cores.
"""

import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue

from tests.workplace import Workplace, workplace

from unveil.provenance import hardware

ROOT = Path(__file__).parents[1]
KEYS = ("cnn4", "cnn4_gray", "cnn3", "cnn3_gray")
FACES = {"train": 1200, "validation": 120, "test": 120}
EPOCHS = (1, 9)
CORES = 2
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def small(content: dict) -> None:
    """Four networks whose trainings take minutes on a core."""
    recipe = content["recipes"]["sample"]
    content["sample"] = FACES
    content["architectures"] = {key: content["architectures"][key] for key in KEYS}
    recipe["schedules"] = {key: {**recipe["schedules"][key]} for key in KEYS}
    for key in KEYS:
        stages = recipe["schedules"][key]["stages"]
        recipe["schedules"][key]["stages"] = [
            {**stage, "epochs": epochs, "patience": epochs}
            for stage, epochs in zip(stages, EPOCHS, strict=True)
        ]
    content["recipes"] = {"sample": recipe}


def bare(place: Workplace) -> dict[str, float]:
    """Train and evaluate each, a core each; gives the seconds of each."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0))[:CORES]:
        cores.put(core)

    def timed(key: str) -> float:
        core = cores.get()
        began = time.monotonic()
        for verb in ("train", "evaluate"):
            command = ["taskset", "--cpu-list", str(core), "unveil", verb, key]
            environment = {**place.environment, **dict.fromkeys(THREADS, "1")}
            with (place.folder / "bare.log").open("a") as log:
                subprocess.run(
                    command, cwd=place.folder, env=environment, stdout=log, stderr=log, check=True
                )
        cores.put(core)
        return time.monotonic() - began

    with ThreadPoolExecutor(CORES) as lanes:
        return dict(zip(KEYS, lanes.map(timed, KEYS), strict=True))


def seconds(run: dict) -> float:
    """From a run's first second as Running to its end."""
    began, ended = (datetime.fromisoformat(run[name]) for name in ("start_time", "end_time"))
    return (ended - began).total_seconds()


def main() -> None:
    """Measure both, and print what orchestration adds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clone" / "unveil"
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        with workplace(folder, Path(name) / "prefect") as place:
            place.edit(small)
            place.done("unveil", "sample")
            place.done("dvc", "repro", "pack")
            alone = bare(place)
            for made in ("04_models", "05_reports"):
                shutil.rmtree(folder / "data" / made)
            shutil.rmtree(folder / "mlflow/state")
            place.crew()
            whole = seconds(place.ended(place.start(), seconds=3600))
            trainings = {run["parameters"]["architecture"]: run for run in place.trainings()}
    print("| network | bare, seconds | through a worker, seconds |\n|---|---|---|")
    for key in KEYS:
        print(f"| `{key}` | {alone[key]:.0f} | {seconds(trainings[key]):.0f} |")
    share = sum(alone.values()) / CORES
    print(f"\nSum of the bare ones over {CORES}: {share:.0f} s; train-all: {whole:.0f} s,")
    print(f"{whole / share:.2f} times as long. {hardware()['cpu']}, {CORES} cores.")


if __name__ == "__main__":
    main()
