"""What happened: a parent run for each train-all, a child run for each training.

A training knows its run by the tag ``origin``, made before MLflow is asked: so a server that comes
late, or another one, is told the same.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID

from unveil.params import Params
from unveil.paths import ARCHIVE, PACKED
from unveil.provenance import dvc_hash, git_commit, hardware, parameters
from unveil.registry.connection import NAME, answering, attempt, connect

PARENT = "UNVEIL_PARENT_RUN"
"""The environment variable through which a training hears of the train-all it belongs to."""


@contextmanager
def train_all_run(params: Params) -> Iterator[str]:
    """Open the parent run of one train-all; where MLflow is away, go on without (``""``)."""
    run_id = attempt(lambda: _begun(params)) or ""
    status = "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        if run_id:
            attempt(lambda: mlflow.end_run(status))


def open_run() -> str:
    """Give the id of the run that is open in this process, or nothing."""
    run = mlflow.active_run()
    return str(run.info.run_id) if run else ""


@answering()
def log_files(*paths: Path) -> None:
    """Add files and folders, those that exist, to the open run, if there is one."""
    for path in paths if open_run() else ():
        if path.is_dir():
            mlflow.log_artifacts(str(path), path.name)
        elif path.exists():
            mlflow.log_artifact(str(path))


def tags(key: str) -> dict[str, str]:
    """Describe a training that happens here and now: code, machine, train-all."""
    parent = os.environ.get(PARENT)
    above = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    return {"architecture": key, **_made_with(), **above}


def run_of(client: MlflowClient, origin: str, described: Mapping[str, str]) -> Run:
    """Find the run of a training, or begin it."""
    found = _with_origin(client, origin)
    if not found:
        client.create_run(
            _experiment(),
            tags={"origin": origin, **described},
            run_name=described["architecture"],
        )
        found = _with_origin(client, origin)
    first, *others = found
    # A request that was answered too late has been sent twice.
    for other in others:
        client.delete_run(other.info.run_id)
    return first


def describe(client: MlflowClient, run: Run, key: str, params: Params) -> None:
    """Add the parameters and the data that a run does not name yet."""
    missing = {
        name: value
        for name, value in parameters(key, params).items()
        if name not in run.data.params
    }
    client.log_batch(run.info.run_id, params=[Param(*pair) for pair in _texts(missing)])
    client.log_inputs(run.info.run_id, datasets=_data())


def send(client: MlflowClient, run: Run, rows: Iterable[Mapping[str, float]]) -> None:
    """Log the epochs that a run does not have yet, each whole, with its own time."""
    points = client.get_metric_history(run.info.run_id, "epoch_seconds")
    known = {point.step for point in points}
    for row in rows:
        if row["epoch"] not in known:
            client.log_batch(run.info.run_id, metrics=_metrics(row))


def _metrics(row: Mapping[str, float]) -> list[Metric]:
    when, epoch = int(row["timestamp"]), int(row["epoch"])
    named = {"epoch_seconds" if name == "seconds" else name: value for name, value in row.items()}
    return [
        Metric(name, value, when, epoch)
        for name, value in named.items()
        if name not in ("epoch", "timestamp")
    ]


def _begun(params: Params) -> str:
    client = connect()
    run = mlflow.start_run(run_name="train-all", tags={"recipe": params.recipe, **_made_with()})
    client.log_inputs(run.info.run_id, datasets=_data())
    return str(run.info.run_id)


def _with_origin(client: MlflowClient, origin: str) -> list[Run]:
    experiments, wanted = [_experiment()], f"tags.origin = '{origin}'"
    return list(client.search_runs(experiments, wanted, order_by=["attributes.start_time ASC"]))


def _experiment() -> str:
    return str(mlflow.set_experiment(NAME).experiment_id)


def _made_with() -> dict[str, str]:
    machine = {f"hardware.{name}": value for name, value in hardware().items()}
    return {"git_commit": git_commit(), **machine}


def _texts(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in values.items()]


def _data() -> list[DatasetInput]:
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    inputs = []
    for path, context in (
        (ARCHIVE, "archive"),
        (PACKED / "train.npz", "training"),
        (PACKED / "validation.npz", "validation"),
        (PACKED / "test.npz", "testing"),
    ):
        if path.exists():
            source = HTTPDatasetSource(f"dvc:{path}")  # type: ignore[no-untyped-call]
            data = MetaDataset(source, name=path.name, digest=dvc_hash(path))  # type: ignore[abstract]
            told = [InputTag(MLFLOW_DATASET_CONTEXT, context)]
            inputs.append(DatasetInput(data._to_mlflow_entity(), told))
    return inputs
