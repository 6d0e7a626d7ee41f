"""Benchmark of the orchestration overhead: train-all on two workers against bare trainings.

``python -m tests.support.bench_dispatch`` clones HEAD into a temporary folder, draws faces, and
trains four networks from scratch, once with few epochs and once with many: each time with nothing
but `unveil train` and `unveil evaluate`, two at a time on a core each, and by `unveil run
train-all` through two workers of a core each. What train-all takes beyond the bare trainings is a
start-up, however long they are, and a share of them; two lengths tell these apart. Prints a
table. Takes twenty minutes on two idle cores.
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

from tests.support.prefect_project import TERMINAL, PrefectProject, prefect_project

from unveil.config.provenance import hardware

ROOT = Path(__file__).parents[2]
KEYS = ("cnn4", "cnn4_gray", "cnn3", "cnn3_gray")
FACES = {"train": 1200, "validation": 120, "test": 120}
EPOCHS = {"short": 1, "long": 12}
"""Epochs of stage 2; stage 1 has one."""
CORES = 2
SELDOM = 5
"""Seconds between two polls of a train-all; polling itself adds to the measured time."""
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def small(content: dict, epochs: int) -> None:
    """Configure four small networks, each trained for this number of epochs."""
    recipe = content["recipes"]["sample"]
    content["sample"] = FACES
    content["architectures"] = {key: content["architectures"][key] for key in KEYS}
    recipe["schedules"] = {key: {**recipe["schedules"][key]} for key in KEYS}
    for key in KEYS:
        stages = recipe["schedules"][key]["stages"]
        recipe["schedules"][key]["stages"] = [
            {**stage, "epochs": length, "patience": length}
            for stage, length in zip(stages, (1, epochs), strict=True)
        ]
    content["recipes"] = {"sample": recipe}


def bare(place: PrefectProject) -> float:
    """Train and evaluate each on one core; returns the sum of seconds divided by the cores."""
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
        return sum(lanes.map(timed, KEYS)) / CORES


def through_workers(place: PrefectProject) -> float:
    """Train with train-all; returns the seconds from Running to its end."""
    identity = place.start()
    while place.state(identity) not in TERMINAL:
        time.sleep(SELDOM)
    run = place.run(identity)
    assert run["state"]["type"] == "COMPLETED", place.logs(identity)
    began, ended = (datetime.fromisoformat(run[name]) for name in ("start_time", "end_time"))
    return (ended - began).total_seconds()


def measure(place: PrefectProject, epochs: int) -> tuple[float, float]:
    """Train both ways; returns the seconds of the bare trainings and of train-all."""
    place.edit(lambda content: small(content, epochs))
    alone = bare(place)
    for made in ("data/04_models", "data/05_reports", "mlflow/state"):
        shutil.rmtree(place.folder / made)
    place.crew()
    whole = through_workers(place)
    place.close()
    place.workers.clear()
    return alone, whole


def main() -> None:
    """Measure both lengths of training and print the overhead."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clone" / "unveil"
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        with prefect_project(folder, Path(name) / "prefect") as place:
            del place.environment["PREFECT_WORKER_QUERY_SECONDS"]  # as users have it
            place.edit(lambda content: small(content, EPOCHS["short"]))
            place.done("unveil", "sample")
            place.done("dvc", "repro", "pack")
            taken = {length: measure(place, epochs) for length, epochs in EPOCHS.items()}
    print(f"| trainings | bare, over {CORES}, seconds | train-all, seconds |\n|---|---|---|")
    for length, (alone, whole) in taken.items():
        print(f"| {length} | {alone:.0f} | {whole:.0f} |")
    (short, started), (long, ended) = taken["short"], taken["long"]
    share = (ended - started) / (long - short)
    print(
        f"\n{share:.2f} times the bare trainings and {started - share * short:.0f} s of start-up."
    )
    print(f"{hardware()['cpu']}, {CORES} cores.")


if __name__ == "__main__":
    main()
