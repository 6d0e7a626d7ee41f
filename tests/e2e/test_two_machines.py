"""Two clones that share git, S3, MLflow and Prefect train half the architectures each."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.e2e.test_dispatch import KEYS, toy
from tests.support import servers
from tests.support.prefect_project import PrefectProject, prefect_project

MODEL = "data/04_models/{}/model.keras"
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An S3 server with a bucket, and an MLflow server that stores its artifacts there."""
    folder = tmp_path_factory.mktemp("shared")
    with servers.s3_server(folder) as endpoint:
        for bucket in ("mlflow", "dvc"):
            servers.s3(endpoint).create_bucket(Bucket=bucket)
        keys = {**servers.S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": endpoint}
        with servers.mlflow_server(folder, artifacts="s3://mlflow", env=keys) as tracking:
            yield endpoint, tracking


@pytest.fixture(scope="module")
def machines(project, shared, tmp_path_factory):
    """The controller, with a worker of its own, and a second machine; with their environment."""
    endpoint, tracking = shared
    root = tmp_path_factory.mktemp("machines")
    for machine in ("controller", "other", "alone"):
        clone = ["git", "clone", "--quiet", project, root / machine / "unveil"]
        subprocess.run(clone, check=True)
    with prefect_project(root / "controller/unveil", root / "prefect") as controller:
        given = {"MLFLOW_TRACKING_URI": tracking, **servers.S3_KEYS}
        controller.environment |= given
        controller.edit(toy)
        other = PrefectProject(root / "other/unveil", controller.api, root / "prefect")
        other.environment |= given
        for place in (controller, other):
            place.done("dvc", "remote", "add", "--local", "--default", "store", "s3://dvc/unveil")
            place.done("dvc", "remote", "modify", "--local", "store", "endpointurl", endpoint)
        controller.worker("--pool", "control")
        controller.worker("--cores", "1")
        other.worker("--cores", "1")
        yield controller, other
        other.close()


@pytest.fixture(scope="module")
def run(machines) -> dict:
    controller, _ = machines
    ended = controller.ended(controller.start(), seconds=600)
    assert ended["state"]["type"] == "COMPLETED", controller.logs(ended["id"])
    return ended


def test_each_machine_trained_one_model_and_the_controller_has_both(machines, run):
    controller, other = machines
    here = {key for key in KEYS if (other.folder / MODEL.format(key)).exists()}
    assert len(here) == 1
    for key in KEYS:
        assert (controller.folder / MODEL.format(key)).exists()
    (key,) = here
    model, copy = (place.folder / MODEL.format(key) for place in (other, controller))
    assert model.read_bytes() == copy.read_bytes()
    for name in ("params.yaml", "data/03_packed/train.npz"):
        assert (other.folder / name).read_bytes() == (controller.folder / name).read_bytes()
    stages = [f"{stage}@{key}" for stage in ("train", "evaluate")]
    assert controller.done("dvc", "status", *stages).strip().endswith("up to date.")


def test_mlflow_has_both_trainings_and_their_models_under_one_run(machines, shared, run):
    endpoint, tracking = shared
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name("facial-emotion")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["mlflow.runName"] == "train-all"]
    assert len(parents) == 1
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId")]
    assert sorted(run.data.tags["architecture"] for run in children) == sorted(KEYS)
    assert {run.info.status for run in children} == {"FINISHED"}
    kept = servers.s3(endpoint).list_objects_v2(Bucket="mlflow")["Contents"]
    assert sum(item["Key"].endswith("model.keras") for item in kept) == len(KEYS)


def test_with_nothing_to_do_no_machine_gets_a_run(machines, run):
    controller, _ = machines
    before = len(controller.trainings())
    again = controller.ended(controller.start(), seconds=60)
    assert again["state"]["message"] == "nothing to do: same data, parameters and code"
    assert len(controller.trainings()) == before


def test_the_comparison_equals_that_of_one_machine(machines, run):
    controller, _ = machines
    alone = controller.folder.parents[1] / "alone/unveil"
    for name in ("params.yaml", "data/01_raw/faces.zip", "data/01_raw/faces.zip.dvc"):
        (alone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(controller.folder / name, alone / name)
    # On one core, like the workers: with several threads sums have another rounding order.
    one_core = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]
    environment = {**controller.environment, **ONE_THREAD, "MLFLOW_TRACKING_URI": ""}
    subprocess.run([*one_core, "dvc", "repro", "--quiet"], cwd=alone, env=environment, check=True)
    assert comparison(alone) == comparison(controller.folder)


def comparison(folder: Path) -> dict:
    """The comparison without the times and without the digest of a file that contains a date."""
    content = json.loads((folder / "data/05_reports/comparison.json").read_text())
    for report in content["reports"].values():
        for name in ("seconds", "seconds_per_epoch", "model_digest"):
            del report[name]
    return content
