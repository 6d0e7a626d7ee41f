"""What happened: a parent run for each train-all, a child run for each training."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from unveil.errors import UserError
from unveil.params import Params
from unveil.paths import ARCHIVE, PACKED
from unveil.provenance import dvc_hash, git_commit, hardware, parameters
from unveil.registry.connection import NAME, answering, connect

PARENT = "UNVEIL_PARENT_RUN"
"""The environment variable through which a training hears of the train-all it belongs to."""


@contextmanager
def train_all_run(params: Params) -> Iterator[str]:
    """Open the parent run that the trainings of one train-all stand under."""
    connect()
    tags = {"recipe": params.recipe, **_made_with()}
    with answering(), mlflow.start_run(run_name="train-all", tags=tags) as run:
        _log_data()
        yield run.info.run_id


def open_run() -> str:
    """Give the id of the run that is open in this process, or nothing."""
    run = mlflow.active_run()
    return str(run.info.run_id) if run else ""


@contextmanager
def training_run(key: str, params: Params) -> Iterator[str]:
    """Open the run of one training; it ends as FAILED when the block raises."""
    connect()
    parent = os.environ.get(PARENT)
    with (
        answering(),
        mlflow.start_run(
            run_name=key,
            parent_run_id=parent or None,
            tags={"architecture": key, **_made_with()},
            log_system_metrics=True,
        ) as run,
    ):
        mlflow.log_params(parameters(key, params))
        _log_data()
        yield run.info.run_id


def record(epoch: int, values: dict[str, float]) -> None:
    """Log the measures of an epoch, counted over both stages, to the open run.

    A server that does not take them costs these points in MLflow, not the training.
    """
    try:
        with answering():
            mlflow.log_metrics(values, step=epoch)
    except UserError as error:
        print(f"epoch {epoch} is in history.csv alone: {error}", file=sys.stderr)


@answering()
def log_report(origin: str, metrics: Mapping[str, float], folder: Path) -> None:
    """Add an evaluation to the run of its training."""
    connect()
    with mlflow.start_run(run_id=known_run(origin)):
        mlflow.log_metrics(dict(metrics))
        mlflow.log_artifacts(str(folder), "report")


@answering()
def log_files(*paths: Path) -> None:
    """Add files and folders, those that exist, to the open run."""
    for path in paths:
        if path.is_dir():
            mlflow.log_artifacts(str(path), path.name)
        elif path.exists():
            mlflow.log_artifact(str(path))


def known_run(origin: str) -> str:
    """Find a run, or the one that stands for it where this server has never seen it."""
    client = MlflowClient()
    try:
        run = client.get_run(origin)
        if run.info.lifecycle_stage == "active":
            return str(run.info.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    experiment = mlflow.set_experiment(NAME).experiment_id
    found = client.search_runs([experiment], f"tags.origin = '{origin}'", max_results=1)
    run = found[0] if found else client.create_run(experiment, tags={"origin": origin})
    return str(run.info.run_id)


def _made_with() -> dict[str, str]:
    machine = {f"hardware.{name}": value for name, value in hardware().items()}
    return {"git_commit": git_commit(), **machine}


def _log_data() -> None:
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    for path, context in (
        (ARCHIVE, "archive"),
        (PACKED / "train.npz", "training"),
        (PACKED / "validation.npz", "validation"),
        (PACKED / "test.npz", "testing"),
    ):
        if path.exists():
            source = HTTPDatasetSource(f"dvc:{path}")  # type: ignore[no-untyped-call]
            digest = dvc_hash(path)
            data = MetaDataset(source, name=path.name, digest=digest)  # type: ignore[abstract]
            mlflow.log_input(data, context=context)
