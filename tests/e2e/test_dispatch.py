"""train-all from its deployment: one run per architecture, on workers that own cores."""

import os
import signal
import sys
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import httpx
import psutil
import pytest
from mlflow import MlflowClient
from tests.support.prefect_project import ANSWER, PrefectProject, prefect_project, within

KEYS = ("cnn3", "cnn3_gray")

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def toy(content: dict) -> None:
    recipe = content["recipes"]["sample"]
    content["sample"] = {"train": 240, "validation": 48, "test": 96}
    content["promotion"]["floor"] = 0.0
    content["architectures"] = {key: content["architectures"][key] for key in KEYS}
    recipe["schedules"] = {key: {"stages": recipe["schedules"][key]["stages"]} for key in KEYS}
    for number, key in enumerate(KEYS, start=1):
        stages = recipe["schedules"][key]["stages"]
        # Enough for a network that is better than chance.
        many = {"epochs": 8 * number, "patience": 8 * number}
        recipe["schedules"][key]["stages"] = [{**stage, **many} for stage in stages]
    content["recipes"] = {"sample": recipe}


@pytest.fixture(scope="module")
def place(project, tmp_path_factory):
    with prefect_project(project, tmp_path_factory.mktemp("prefect")) as place:
        place.edit(toy)
        place.crew()
        yield place


@pytest.fixture(scope="module")
def first(place: PrefectProject) -> dict:
    return place.ended(place.start(), seconds=800)


def test_every_architecture_is_a_run_of_its_own_the_longest_first(place, first):
    assert first["state"]["type"] == "COMPLETED", place.logs(first["id"])
    assert "is champion" in first["state"]["message"]
    trainings = place.trainings()
    assert [run["parameters"]["architecture"] for run in trainings] == ["cnn3_gray", "cnn3"]
    assert {run["state"]["type"] for run in trainings} == {"COMPLETED"}
    assert all(run["parent_task_run_id"] for run in trainings)
    assert {run["work_pool_name"] for run in trainings} == {"gpu"}


def test_the_output_of_a_stage_is_logged_on_the_server(place, first):
    assert "best validation macro-F1" in place.logs(place.trainings()[0]["id"])


def test_the_trainings_are_child_runs_in_mlflow(place, first):
    client = MlflowClient(f"sqlite:///{place.folder}/mlflow/state/mlflow.db")
    experiment = client.get_experiment_by_name("facial-emotion")
    runs = client.search_runs([experiment.experiment_id])
    parent = next(run for run in runs if run.data.tags["mlflow.runName"] == "train-all")
    under = {
        run.data.tags["architecture"]
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    assert under == set(KEYS)


def test_with_nothing_to_do_it_ends_within_a_minute_and_dispatches_nothing(place, first):
    before, began = len(place.trainings()), time.monotonic()
    run = place.ended(place.start(), seconds=60)
    assert time.monotonic() - began < 60
    assert run["state"]["message"] == "nothing to do: same data, parameters and code"
    assert len(place.trainings()) == before


def test_a_core_has_one_owner_and_is_free_when_the_owner_dies(place):
    result = place.call(sys.executable, "-m", "flows.worker", "--cores", "1")
    assert result.returncode == 2
    assert "other workers use the rest" in result.stderr
    owner = place.workers[-1]
    cores = psutil.Process(owner.pid).cpu_affinity()
    assert len(cores) == 1
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(timeout=20)
    heir = place.worker("--cores", "1")
    assert psutil.Process(heir.pid).cpu_affinity() == cores


@pytest.mark.parametrize("seen", ["0", "0,1"])
def test_a_gpu_has_one_owner(place, seen):
    gpus = seen.split(",")
    place.environment["CUDA_VISIBLE_DEVICES"] = seen
    try:
        owners = [place.worker() for _ in gpus]
        result = place.call(sys.executable, "-m", "flows.worker")
        wrong = place.call(sys.executable, "-m", "flows.worker", "--gpu", "7")
        sees = [psutil.Process(owner.pid).environ()["CUDA_VISIBLE_DEVICES"] for owner in owners]
    finally:
        del place.environment["CUDA_VISIBLE_DEVICES"]
        for owner in owners:
            owner.kill()
            owner.wait(timeout=20)
    assert sorted(sees) == gpus
    assert (result.returncode, wrong.returncode) == (2, 2)
    assert "other workers use the rest" in result.stderr
    assert f"no GPU '7' here; there are: {', '.join(gpus)}" in wrong.stderr


def test_deploying_again_changes_nothing_and_keeps_active_schedules(place):
    found = "deployments/name/train-all/train-all"
    deployment = place.ask(found)
    (schedule,) = deployment["schedules"]
    assert not schedule["active"]
    assert schedule["schedule"]["timezone"]
    place.done("prefect", "deployment", "schedule", "resume", "train-all/train-all", schedule["id"])
    place.python("flows.deploy")
    again = place.ask(found)
    assert again["id"] == deployment["id"]
    assert [one["active"] for one in again["schedules"]] == [True]
    automations = place.ask("automations/filter", {})
    assert sorted(one["name"] for one in automations) == [
        "unveil: a run that falls silent",
        "unveil: a run that never began",
    ]
    place.done("prefect", "deployment", "schedule", "pause", "train-all/train-all", schedule["id"])


def test_it_can_be_started_with_arguments(place):
    options = ("--param", "concurrency=1")
    output = place.done("prefect", "deployment", "run", "train-all/train-all", *options)
    identity = output.split("UUID:")[1].split()[0]
    within(300, lambda: place.run(identity)["state"]["type"] != "SCHEDULED")
    run = place.ended(identity, seconds=600)
    assert run["parameters"]["concurrency"] == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train"], "unknown flow 'train'; choose from train-all"),
        (["train-all", "--architectures", "vgg61"], "unknown architecture 'vgg61'"),
        (["train-all", "--recipe", "ful"], "unknown recipe 'ful'"),
        (["train-all", "--concurrency", "0"], "concurrency"),
    ],
)
def test_a_wrong_argument_starts_nothing(place, arguments, named):
    result = place.call("unveil", "run", *arguments)
    assert result.returncode == 2
    assert named in result.stderr


def test_a_missing_server_is_one_line(place):
    nowhere = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    for command in (["unveil", "run", "train-all"], [sys.executable, "-m", "flows.deploy"]):
        result = place.call(*command, **nowhere)
        assert result.returncode == 2
        assert "the Prefect server at http://127.0.0.1:9/api does not answer" in result.stderr
        assert "PREFECT_API_URL" in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--pool", "control"]])
def test_a_worker_without_a_server_is_one_line(place, arguments):
    away = {"PREFECT_API_URL": "http://ann:secret@127.0.0.1:9/api"}
    result = place.call(sys.executable, "-m", "flows.worker", *arguments, **away)
    assert result.returncode == 2
    assert "secret" not in result.stdout + result.stderr
    assert result.stderr.splitlines()[-1].endswith("start it, or change PREFECT_API_URL")


@pytest.mark.slow  # 266 s, more than any other test
def test_a_resumed_schedule_starts_a_run_that_trains_only_what_is_outdated(place, first):
    place.edit(lambda content: content["architectures"]["cnn3"].update(dropout=0.35))
    deployment = place.ask("deployments/name/train-all/train-all")
    (schedule,) = deployment["schedules"]
    name, identity = "train-all/train-all", schedule["id"]
    changed = f"{place.api}/deployments/{deployment['id']}/schedules/{identity}"
    before = len(place.trainings())
    place.done("prefect", "deployment", "schedule", "resume", name, identity)
    try:
        within(90, lambda: planned(place, deployment))
        hours = {
            datetime.fromisoformat(run["expected_start_time"]) for run in planned(place, deployment)
        }
        zone = ZoneInfo(schedule["schedule"]["timezone"])
        assert {when.astimezone(zone).strftime("%H:%M") for when in hours} == {"04:00"}
        soon = {"schedule": {"cron": "* * * * *", "timezone": "Europe/Berlin"}, "active": True}
        httpx.patch(changed, json=soon, timeout=ANSWER).raise_for_status()
        within(600, lambda: planned(place, deployment, "COMPLETED", "FAILED"))
    finally:
        back = {"schedule": schedule["schedule"], "active": False}
        httpx.patch(changed, json=back, timeout=ANSWER).raise_for_status()
    run = planned(place, deployment, "COMPLETED")[0]
    assert run["auto_scheduled"]
    assert [one["parameters"]["architecture"] for one in place.trainings()[before:]] == ["cnn3"]


def planned(place: PrefectProject, deployment: dict, *states: str) -> list[dict]:
    """The runs scheduled for the deployment, only those in ``states`` if given."""
    which = {"deployment_id": {"any_": [deployment["id"]]}}
    if states:
        which["state"] = {"type": {"any_": list(states)}}
    query = {"flow_runs": which, "sort": "EXPECTED_START_TIME_ASC"}
    found = place.ask("flow_runs/filter", query)
    return [run for run in found if run["auto_scheduled"]]
