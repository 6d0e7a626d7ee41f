"""A train-all survives the death of its processes, workers, machines and server.

Real processes and signals; trainings are slow counters that go on from where they were.
"""

import itertools
import json
import shutil
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from tests.support import servers
from tests.support.prefect_project import (
    ANSWER,
    TERMINAL,
    PrefectProject,
    prefect_project,
    with_children,
    within,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KEYS = ("cnn3", "cnn3_gray")
STEPS = 60
"""The steps of a counter, four per second."""
SILENCE = 180
"""Seconds until the run of a dead machine is Crashed, as stated in docs/operations.md."""
ALL_TRAINED = "unveil promote failed, exit code 2"
"""The final message of a train-all of counters: there is nothing to promote."""

PIPELINE = """
stages:
  manifest: {cmd: "true", deps: [data/01_raw/faces.zip]}
  validate: {cmd: "true", deps: [data/01_raw/faces.zip]}
  card: {cmd: "true", deps: [data/01_raw/faces.zip]}
  pack:
    cmd: mkdir -p data/03_packed && cp data/01_raw/faces.zip data/03_packed/train.npz
    deps: [data/01_raw/faces.zip]
    outs: [data/03_packed/train.npz]
  train:
    foreach: ${architectures}
    do:
      cmd: python counter.py ${key}
      deps: [counter.py]
      outs:
        - data/04_models/${key}/model.keras
  evaluate:
    foreach: ${architectures}
    do:
      cmd: mkdir -p data/05_reports && touch data/05_reports/${key}
      deps:
        - data/04_models/${key}/model.keras
      outs:
        - data/05_reports/${key}
  compare:
    cmd: date > data/05_reports/comparison.md && cp ranking.json data/05_reports/comparison.json
    deps: [data/04_models]
    outs: [data/05_reports/comparison.md]
"""
COUNTER = """
import os, pathlib, sys, time
counted = pathlib.Path("counted") / sys.argv[1]
counted.parent.mkdir(exist_ok=True)
counted.touch()
steps = int(pathlib.Path("steps").read_text())
while counted.read_text().count("\\n") < steps:
    with counted.open("a") as lines:
        lines.write(f"{os.getpid()} {time.monotonic()}\\n")
    time.sleep(0.25)
model = pathlib.Path("data/04_models") / sys.argv[1] / "model.keras"
model.parent.mkdir(parents=True, exist_ok=True)
model.write_text(sys.argv[1])
"""


def toy(content: dict) -> None:
    recipe = content["recipes"]["sample"]
    content["architectures"] = {key: content["architectures"][key] for key in KEYS}
    recipe["schedules"] = {key: recipe["schedules"][key] for key in KEYS}
    content["recipes"] = {"sample": recipe}


def lay_out(project: Path) -> None:
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "counter.py").write_text(COUNTER)
    test = {"images": 1, "macro_f1": {"value": 0.5, "low": 0.0, "high": 1.0}}
    report = {"test": test, "epochs": 1, "parameters": 1}
    reports = {key: {"architecture": key, **report} for key in KEYS}
    ranking = {"ranking": KEYS, "reports": reports, "lead": None}
    (project / "ranking.json").write_text(json.dumps(ranking))
    (project / "data/01_raw").mkdir(exist_ok=True)
    (project / "data/01_raw/faces.zip").write_bytes(b"faces")
    content = yaml.safe_load((project / "params.yaml").read_text())
    toy(content)
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def opened(project, tmp_path_factory):
    lay_out(project)
    with prefect_project(project, tmp_path_factory.mktemp("prefect")) as place:
        yield place


@pytest.fixture
def place(opened: PrefectProject):
    """A project without trained models, with one worker for train-all and two for trainings."""
    fresh(opened.folder)
    opened.crew()
    yield opened
    opened.close()
    opened.workers.clear()
    left = {"flow_runs": {"state": {"type": {"not_any_": sorted(TERMINAL)}}}}
    for run in opened.ask("flow_runs/filter", left):
        httpx.delete(f"{opened.api}/flow_runs/{run['id']}", timeout=ANSWER)


def fresh(folder: Path) -> None:
    """Remove all trained models, also from DVC's cache."""
    for made in ("counted", "data/04_models", "data/05_reports", "dvc.lock", ".dvc/cache/runs"):
        path = folder / made
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (folder / "steps").write_text(str(STEPS))


def counted(place: PrefectProject, key: str) -> list[tuple[str, float]]:
    path = place.folder / "counted" / key
    lines = path.read_text().splitlines() if path.exists() else []
    return [(line.split()[0], float(line.split()[1])) for line in lines]


def counting(place: PrefectProject, *keys: str) -> None:
    within(300, lambda: all(len(counted(place, key)) > 2 for key in keys))


def trainings_of(place: PrefectProject, parent: str) -> dict[str, list[dict]]:
    """The runs dispatched by a train-all, by architecture, in order."""
    wanted = {"flow_runs": {"parent_flow_run_id": {"any_": [parent]}}}
    wanted["sort"] = "EXPECTED_START_TIME_ASC"
    found = {key: [] for key in KEYS}
    for run in place.ask("flow_runs/filter", wanted):
        found[run["parameters"]["architecture"]].append(run)
    return found


def states(place: PrefectProject, parent: str) -> dict[str, list[str]]:
    return {
        key: [run["state"]["type"] for run in runs]
        for key, runs in trainings_of(place, parent).items()
    }


def engine(place: PrefectProject, run: str) -> psutil.Process:
    """The process of a flow run."""
    (found,) = [
        process
        for process in place.running("prefect.engine")
        if process.environ().get("PREFECT__FLOW_RUN_ID") == run
    ]
    return found


def one_at_a_time(place: PrefectProject, key: str) -> bool:
    """Whether no two processes counted at the same time."""
    owners = [owner for owner, _ in counted(place, key)]
    return len(set(owners)) == 1 + sum(a != b for a, b in itertools.pairwise(owners))


def nothing_runs(place: PrefectProject) -> None:
    within(60, lambda: not place.running("counter.py"))
    wanted = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    assert place.ask("flow_runs/filter", wanted) == []


@pytest.mark.fault("SIGKILL of a flow process")
def test_a_killed_flow_process_is_restarted_and_resumes(place):
    parent = place.start()
    counting(place, *KEYS)
    victim = trainings_of(place, parent)["cnn3"][0]["id"]
    engine(place, victim).kill()
    assert within(60, lambda: place.state(victim) == "CRASHED") < 60
    assert ALL_TRAINED in place.ended(parent, seconds=240)["state"]["message"]
    assert states(place, parent) == {"cnn3": ["CRASHED", "COMPLETED"], "cnn3_gray": ["COMPLETED"]}
    assert len(counted(place, "cnn3")) == STEPS
    assert len({owner for owner, _ in counted(place, "cnn3")}) == 2
    assert one_at_a_time(place, "cnn3")
    nothing_runs(place)


@pytest.mark.fault("SIGKILL of a training process")
def test_a_killed_training_process_is_restarted_and_resumes(place):
    parent = place.start()
    counting(place, *KEYS)
    psutil.Process(int(counted(place, "cnn3")[-1][0])).kill()
    assert ALL_TRAINED in place.ended(parent, seconds=240)["state"]["message"]
    assert states(place, parent) == {"cnn3": ["CRASHED", "COMPLETED"], "cnn3_gray": ["COMPLETED"]}
    message = trainings_of(place, parent)["cnn3"][0]["state"]["message"]
    assert message.startswith("stage train@cnn3 failed: ")
    assert len(counted(place, "cnn3")) == STEPS
    assert one_at_a_time(place, "cnn3")
    nothing_runs(place)


@pytest.mark.fault("SIGKILL of a flow process and of its second try")
def test_a_run_that_crashes_twice_is_reported_and_the_others_are_compared(place):
    parent = place.start()
    for attempt in range(2):
        within(120, lambda n=attempt: len(trainings_of(place, parent)["cnn3"]) > n)
        victim = trainings_of(place, parent)["cnn3"][attempt]["id"]
        within(120, lambda v=victim: place.state(v) == "RUNNING")
        engine(place, victim).kill()
    message = place.ended(parent, seconds=240)["state"]["message"]
    assert message == "failed: cnn3; the others were compared"
    assert states(place, parent) == {"cnn3": ["CRASHED"] * 2, "cnn3_gray": ["COMPLETED"]}
    nothing_runs(place)


@pytest.mark.fault("SIGKILL of a worker")
def test_a_training_survives_the_death_of_its_worker(place):
    parent = place.start()
    counting(place, *KEYS)
    victim = engine(place, trainings_of(place, parent)["cnn3"][0]["id"]).parent()
    victim.kill()
    assert ALL_TRAINED in place.ended(parent, seconds=240)["state"]["message"]
    assert states(place, parent) == {key: ["COMPLETED"] for key in KEYS}
    assert len({owner for owner, _ in counted(place, "cnn3")}) == 1
    nothing_runs(place)


@pytest.mark.fault("SIGKILL of a worker whose cores another takes")
def test_the_next_worker_waits_until_an_orphan_has_left_its_cores(place):
    parent = place.start()
    counting(place, *KEYS)
    worker = engine(place, trainings_of(place, parent)["cnn3"][0]["id"]).parent()
    cores = worker.cpu_affinity()
    worker.kill()
    heir = place.worker("--cores", "1")
    assert psutil.Process(heir.pid).cpu_affinity() == cores
    environment = {**place.environment, "UNVEIL_SLOT": f"core-{cores[0]}"}
    waiter = psutil.Popen(
        [servers.BIN / "python", "-m", "flows.child_process", "date", "+%s"],
        cwd=place.folder,
        env=environment,
        stdin=-1,
        stdout=-1,
    )
    within(60, lambda: waiter.poll() is not None or len(counted(place, "cnn3")) == STEPS)
    assert waiter.poll() is None
    place.ended(parent, seconds=240)
    assert waiter.wait(timeout=60) == 0
    waiter.stdin.close()
    waiter.stdout.close()


@pytest.mark.fault("SIGKILL of a worker and all it runs")
def test_runs_of_a_dead_machine_resume_on_another(place):
    parent = place.start()
    counting(place, *KEYS)
    victim = trainings_of(place, parent)["cnn3"][0]["id"]
    with_children(engine(place, victim).parent(), signal.SIGKILL)
    assert within(SILENCE, lambda: place.state(victim) == "CRASHED") < SILENCE
    assert ALL_TRAINED in place.ended(parent, seconds=240)["state"]["message"]
    assert states(place, parent) == {"cnn3": ["CRASHED", "COMPLETED"], "cnn3_gray": ["COMPLETED"]}
    assert len(counted(place, "cnn3")) == STEPS
    nothing_runs(place)


@pytest.mark.fault("SIGTERM of a worker")
def test_trainings_of_a_stopped_worker_resume_on_another(place):
    parent = place.start()
    counting(place, *KEYS)
    worker = engine(place, trainings_of(place, parent)["cnn3"][0]["id"]).parent()
    worker.terminate()
    worker.wait(timeout=90)
    assert ALL_TRAINED in place.ended(parent, seconds=SILENCE + 120)["state"]["message"]
    assert states(place, parent)["cnn3"][-1] == "COMPLETED"
    assert len(counted(place, "cnn3")) == STEPS
    assert one_at_a_time(place, "cnn3")
    nothing_runs(place)


@pytest.mark.fault("train-all cancelled")
def test_a_cancelled_train_all_stops_its_trainings(place):
    (place.folder / "steps").write_text("1000")
    parent = place.start()
    counting(place, *KEYS)
    place.done("prefect", "flow-run", "cancel", parent)
    assert place.ended(parent, seconds=90)["state"]["type"] == "CANCELLED"
    within(90, lambda: states(place, parent) == {key: ["CANCELLED"] for key in KEYS})
    nothing_runs(place)


@pytest.mark.fault("SIGKILL of train-all")
def test_a_killed_train_all_stops_its_trainings(place):
    (place.folder / "steps").write_text("1000")
    parent = place.start()
    counting(place, *KEYS)
    engine(place, parent).kill()
    assert place.ended(parent, seconds=60)["state"]["type"] == "CRASHED"
    within(90, lambda: states(place, parent) == {key: ["CANCELLED"] for key in KEYS})
    nothing_runs(place)


@pytest.mark.fault("SIGKILL of train-all, its worker and its machine")
def test_the_next_train_all_takes_over_from_a_dead_machine(place):
    parent = place.start()
    counting(place, *KEYS)
    with_children(engine(place, parent).parent(), signal.SIGKILL)
    place.worker("--pool", "control")
    heir = place.start("--force")
    assert place.ended(parent, seconds=SILENCE)["state"]["type"] == "CRASHED"
    assert ALL_TRAINED in place.ended(heir, seconds=400)["state"]["message"]
    assert states(place, heir) == {key: ["COMPLETED"] for key in KEYS}
    assert all(one_at_a_time(place, key) for key in KEYS)
    nothing_runs(place)


@pytest.mark.fault("two train-alls at once")
def test_of_two_train_alls_the_second_waits(place):
    first, second = place.start(), place.start()
    counting(place, *KEYS)
    assert {place.state(first), place.state(second)} == {"RUNNING", "SCHEDULED"}
    for parent in (first, second):
        place.ended(parent, seconds=240)
    assert {len(runs) for runs in states(place, first).values()} == {1}
    assert states(place, second) == {key: [] for key in KEYS}
    assert all(one_at_a_time(place, key) for key in KEYS)
    nothing_runs(place)


@pytest.mark.fault("SIGKILL of the Prefect server")
def test_trainings_survive_a_restart_of_the_prefect_server(project, tmp_path):
    port, home = servers.free_port(), tmp_path / "prefect"
    with servers.prefect_server(home, port=port) as api:
        place = PrefectProject(Path(project), api, home)
        place.python("flows.deploy")
        lay_out(place.folder)
        fresh(place.folder)
        place.crew()
        parent = place.start()
        counting(place, *KEYS)
        api.kill()
        time.sleep(5)
    with servers.prefect_server(home, port=port):
        try:
            assert ALL_TRAINED in place.ended(parent, seconds=400)["state"]["message"]
            assert all(runs[-1] == "COMPLETED" for runs in states(place, parent).values())
            assert all(len(counted(place, key)) == STEPS for key in KEYS)
            nothing_runs(place)
        finally:
            place.close()
