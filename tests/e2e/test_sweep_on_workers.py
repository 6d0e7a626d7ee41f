"""`unveil sweep` with its trials on Prefect workers, and its own process killed and interrupted."""

import json
import signal
import subprocess
import sys

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from tests.conftest import pack
from tests.support.prefect_project import TERMINAL, PrefectProject, prefect_project, within
from tests.support.sweeps import EPOCHS, KEY, shrink

from unveil.common.paths import MODELS, SWEEPS

# Slow: it takes four minutes of the time that the whole test run may take.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.slow,
]

TRIALS = 5
SWEEP = ("unveil", "sweep", KEY, "--space", "space.yaml", "--trials")
PIPELINE = """
stages:
  pack:
    cmd: cp made/data/03_packed/* data/03_packed
    deps: [made]
    outs: [data/03_packed/train.npz, data/03_packed/validation.npz]
"""


@pytest.fixture(scope="module")
def place(project, tmp_path_factory):
    shrink(project)
    pack(project / "made")
    (project / "dvc.yaml").write_text(PIPELINE)
    with prefect_project(project, tmp_path_factory.mktemp("prefect")) as place:
        yield place


def runs(place: PrefectProject) -> list[dict]:
    wanted = {"flows": {"name": {"any_": ["sweep-trial"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    return place.ask("flow_runs/filter", wanted)


def training(place: PrefectProject) -> list[psutil.Process]:
    """The processes that train a trial."""
    found = place.running("unveil.experiments.sweep")
    return [one for one in found if one.cmdline()[2] == "unveil.experiments.sweep"]


def begun(place: PrefectProject, count: int) -> subprocess.Popen:
    """Start a search, and wait until so many runs train at once."""
    process = subprocess.Popen(
        [*SWEEP, str(TRIALS)],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    within(
        180,
        lambda: sum(run["state"]["type"] == "RUNNING" for run in runs(place)) >= count,
        lambda: process.stderr.read() if process.poll() is not None else runs(place),
    )
    return process


def test_without_packed_faces_in_dvc_or_a_worker_it_is_one_line(place):
    pack(place.folder)
    ended = place.call(*SWEEP, "1")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("unveil: no worker of the work pool gpu is on")
    place.worker("--cores", "1")
    ended = place.call(*SWEEP, "1")
    assert ended.returncode == 2
    line = "unveil: data/03_packed is not what dvc.lock names; run `dvc repro pack`"
    assert ended.stderr.splitlines()[-1] == line
    assert runs(place) == []
    place.done("dvc", "repro", "pack")


@pytest.mark.fault("SIGKILL and Ctrl-C of a sweep on workers")
@pytest.mark.fault("SIGKILL of a trial on a worker")
def test_trials_on_workers_survive_the_search_and_are_cancelled_with_it(place):
    place.worker("--cores", "1")
    with begun(place, 2) as killed:
        killed.kill()
    first = {run["id"] for run in runs(place)}
    with begun(place, 1) as interrupted:
        within(180, lambda: {one["id"] for one in runs(place)} > first)
        interrupted.send_signal(signal.SIGINT)
        output = interrupted.stderr.read()
    assert interrupted.returncode == 130, output
    assert f"continues {SWEEPS / KEY / 'default'}: 0 of {TRIALS} trials have ended" in output
    assert f"the sweep of {KEY} is interrupted; " in output and "Traceback" not in output
    within(120, lambda: all(run["state"]["type"] in TERMINAL for run in runs(place)))
    # The killed search had started two runs, which the next one did not start again.
    assert {run["state"]["type"] for run in runs(place) if run["id"] in first} == {"COMPLETED"}
    with begun(place, 1) as ended:
        within(120, lambda: training(place))
        training(place)[0].kill()
        output, error = ended.communicate(timeout=600)
    assert ended.returncode == 0, error[-3000:]
    assert "2 workers are online, 2 trials run at once\n" in error
    assert " crashed, it is started once more\n" in error
    assert f"{KEY}: {TRIALS} trials, {TRIALS} complete; see {SWEEPS}" in output
    table = pd.read_csv(place.folder / SWEEPS / KEY / "default/trials.csv")
    assert list(table["trial"]) == list(range(TRIALS))
    assert set(table["state"]) == {"complete"} and set(table["epochs"]) == {EPOCHS}
    assert {run["work_pool_name"] for run in runs(place)} == {"gpu"}
    assert not list((place.folder / ".checkpoints").iterdir())


def test_the_trials_are_child_runs_in_mlflow(place):
    client = MlflowClient(f"sqlite:///{place.folder}/mlflow/state/mlflow.db")
    experiment = client.get_experiment_by_name("facial-emotion")
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in found if "trial" not in run.data.tags]
    trials = [run for run in found if "trial" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    assert sorted(run.data.tags["trial"] for run in trials) == [str(n) for n in range(TRIALS)]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert not [name for run in found for name in run.data.metrics if name.startswith("test")]


def test_a_server_without_the_deployment_leaves_the_trials_here(place):
    place.done("prefect", "deployment", "delete", "sweep-trial/sweep-trial")
    ended = place.call(*SWEEP, str(TRIALS))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "the Prefect server has no deployment sweep-trial/sweep-trial; " in ended.stderr
    assert f"{KEY}: {TRIALS} trials" in ended.stdout
    place.done(sys.executable, "-m", "flows.deploy")


def test_a_single_value_is_tried_with_dvc_exp_run(place):
    place.done("git", "checkout", "dvc.yaml")
    change = "recipes.sample.training.mixup=0.25"
    place.done("dvc", "exp", "run", "--single-item", "--set-param", change, f"train@{KEY}")
    made = json.loads((place.folder / MODELS / KEY / "run.json").read_text())
    assert made["parameters"]["training.mixup"] == "0.25"
