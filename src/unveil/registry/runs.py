"""MLflow runs: a parent run for each train-all, a child run for each training.

A training finds its run by the tag ``origin``, which is generated without MLflow. So a training can
be logged later, or to another server, with the same result.
"""

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from sqlalchemy.exc import SQLAlchemyError

from unveil.common.paths import (
    DATA_CARD,
    DATA_CARD_PLOTS,
    DATA_DOCS,
    SUMMARY,
    VALIDATION,
)
from unveil.config.params import Params
from unveil.config.provenance import git_commit, hardware, parameters
from unveil.data import real_or_synthetic
from unveil.registry import description
from unveil.registry.connection import (
    NAME,
    answer_timeout,
    connect,
    mlflow_errors,
    try_or_warn,
    with_timeout,
)
from unveil.registry.datasets import data_digests, log_datasets
from unveil.registry.training_note import training_note

PARENT = "UNVEIL_PARENT_RUN"
"""The environment variable with the id of the parent run of a training."""

SWEEP = "sweep"
"""The tag of the runs of a hyperparameter search: ``ARCH/NAME``."""

CURVES = ("accuracy", "loss", "macro_f1")
"""The measures of each epoch."""

TrainingDescription = dict[str, Any]
"""The result of `describe_training`, which is stored as ``run.json``."""


@contextmanager
def train_all_run(params: Params) -> Iterator[str]:
    """Open the parent run of a train-all; yields its id, or ``""`` if MLflow is unreachable.

    Its artifacts are the reports about the data; its description links to them.
    """
    run_id = try_or_warn(lambda: _start_parent_run(params)) or ""
    if run_id:
        try_or_warn(_log_data_artifacts)
    status = "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        if run_id:
            try_or_warn(lambda: _update_note(run_id))
            try_or_warn(lambda: mlflow.end_run(status))


def mark_killed(origin: str) -> bool:
    """Set the status of an abandoned training's run to KILLED; return whether it succeeded."""

    def end() -> int:
        return _mark_running_as_killed(connect(), f"tags.origin = '{origin}'")

    return try_or_warn(lambda: with_timeout(answer_timeout(), end)) is not None


def open_run() -> str:
    """Return the id of the active run of this process, or ``""``."""
    run = mlflow.active_run()
    return str(run.info.run_id) if run else ""


@mlflow_errors()
def log_files(*paths: Path) -> None:
    """Log existing files and folders to the active run, if there is one."""
    for path in paths if open_run() else ():
        if path.is_dir():
            mlflow.log_artifacts(str(path), path.name)
        elif path.exists():
            mlflow.log_artifact(str(path))


def describe_training(key: str, params: Params, origin: str) -> TrainingDescription:
    """Describe a training that starts now: code, machine, parent run, parameters and data."""
    parent = os.environ.get(PARENT)
    above = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    return {
        "origin": origin,
        "tags": {
            "architecture": key,
            "faces": real_or_synthetic.origin_of_packed(),
            **code_and_hardware(),
            **_device_tags(key, params),
            **above,
        },
        "parameters": {name: str(value) for name, value in parameters(key, params).items()},
        "data": data_digests(),
        "classes": list(params.classes),
        "image_size": params.data.image_size,
    }


def find_or_create_run(client: MlflowClient, training: TrainingDescription) -> Run:
    """Find the run of a training, or create it."""
    origin, tags = training["origin"], training["tags"]
    found = runs_with_origin(client, origin)
    if not found:
        named = {"origin": origin, **tags, MLFLOW_RUN_NOTE: training_note(training, {})}
        client.create_run(experiment_id(), tags=named, run_name=tags["architecture"])
        found = runs_with_origin(client, origin)
    first, *others = found
    # A request that timed out was sent again, so there may be two runs.
    for other in others:
        client.delete_run(other.info.run_id)
    return first


def runs_with_origin(client: MlflowClient, origin: str) -> list[Run]:
    """Find the runs of a training, oldest first; normally there is one."""
    experiments, wanted = [experiment_id()], f"tags.origin = '{origin}'"
    return list(client.search_runs(experiments, wanted, order_by=["attributes.start_time ASC"]))


def log_parameters_and_data(client: MlflowClient, run: Run, training: TrainingDescription) -> None:
    """Log the parameters and datasets that a run lacks."""
    try:
        _log_parameters(client, run, training)
    except (MlflowException, SQLAlchemyError) as error:
        # A request of the training itself, which waited for a locked database, was faster.
        if "unique constraint" not in str(error).lower():
            raise
        _log_parameters(client, client.get_run(run.info.run_id), training)
    log_datasets(client, run, training["data"])


def _log_parameters(client: MlflowClient, run: Run, training: TrainingDescription) -> None:
    known = run.data.params
    missing = [Param(*pair) for pair in training["parameters"].items() if pair[0] not in known]
    client.log_batch(run.info.run_id, params=missing)


def log_epochs(client: MlflowClient, run: Run, rows: Iterable[Mapping[str, float]]) -> None:
    """Log the epochs that a run lacks: all metrics of an epoch at once, with its timestamp."""
    points = client.get_metric_history(run.info.run_id, "epoch_seconds")
    known = {point.step for point in points}
    for row in rows:
        if row["epoch"] not in known:
            client.log_batch(run.info.run_id, metrics=_metrics(row))


def _metrics(row: Mapping[str, float]) -> list[Metric]:
    when, epoch = int(row["timestamp"]), int(row["epoch"])
    return [
        Metric(_metric_name(name), value, when, epoch)
        for name, value in row.items()
        if name not in ("epoch", "timestamp")
    ]


def _metric_name(column: str) -> str:
    """Return the name of a column of ``history.csv`` in MLflow: that of the report's measure.

    Its value in the report is the last point of the curve. Runs of older versions have the names of
    the columns for the curves, and the report's names for the values of the report.
    """
    if column in CURVES:
        return f"train_{column}"
    if column.removeprefix("val_") in CURVES:
        return column.replace("val_", "validation_", 1)
    return "epoch_seconds" if column == "seconds" else column


def _start_parent_run(params: Params) -> str:
    client = connect()
    here = {"host": platform.node(), "checkout": _digest(Path.cwd())}
    # A run of this checkout that is still RUNNING was killed, or could not log its end.
    _mark_running_as_killed(
        client, " and ".join(f"tags.{name} = '{value}'" for name, value in here.items())
    )
    _set_experiment_tags(client)
    tags = {"recipe": params.recipe, **code_and_hardware(), **here}
    run = mlflow.start_run(run_name="train-all", tags=tags)
    log_datasets(client, run, data_digests())
    return str(run.info.run_id)


def _set_experiment_tags(client: MlflowClient) -> None:
    known = client.get_experiment(experiment_id()).tags
    for name, value in description.experiment_tags().items():
        if known.get(name) != value:
            # Another train-all may set the same tag at the same moment, which the database rejects.
            with suppress(MlflowException):
                client.set_experiment_tag(experiment_id(), name, value)


def _log_data_artifacts() -> None:
    log_files(SUMMARY, VALIDATION, DATA_DOCS, DATA_CARD, DATA_CARD_PLOTS)
    _update_note(open_run())


def _update_note(run_id: str) -> None:
    mlflow.set_tag(MLFLOW_RUN_NOTE, description.run_note(MlflowClient(), run_id))


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


def _mark_running_as_killed(client: MlflowClient, which: str) -> int:
    left = client.search_runs([experiment_id()], f"attributes.status = 'RUNNING' and {which}")
    for run in left:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(left)


def experiment_id() -> str:
    """Return the id of the experiment of trainings; created if missing."""
    return str(mlflow.set_experiment(NAME).experiment_id)


def code_and_hardware() -> dict[str, str]:
    """Return the tags of the git commit and of this machine."""
    machine = {f"hardware.{name}": value for name, value in hardware().items()}
    return {"git_commit": git_commit(), **machine}


def _device_tags(key: str, params: Params) -> dict[str, str]:
    from unveil.training import devices

    settings = devices.described(devices.precision(key, params))
    return {f"computed.{name}": value for name, value in settings.items()}
