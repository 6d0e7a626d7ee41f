"""What happened: a parent run for each train-all, a child run for each training.

A training knows its run by the tag ``origin``, made before MLflow is asked: so a server that comes
late, or another one, is told the same.
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
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from sqlalchemy.exc import SQLAlchemyError

from unveil.common.paths import ARCHIVE, CARD, CARD_PLOTS, DATA_DOCS, PACKED, SUMMARY, VERDICT
from unveil.config.params import Params
from unveil.config.provenance import dvc_hash, git_commit, hardware, parameters
from unveil.data import origins
from unveil.registry import description
from unveil.registry.connection import NAME, answering, attempt, connect, patience, within

PARENT = "UNVEIL_PARENT_RUN"
"""The environment variable through which a training hears of the train-all it belongs to."""

Described = dict[str, Any]
"""What `described` gives and ``run.json`` keeps, as JSON has it."""


@contextmanager
def train_all_run(params: Params) -> Iterator[str]:
    """Open the parent run of one train-all; where MLflow is away, go on without (``""``).

    It has what is known of the data as artifacts, and a description that leads to them.
    """
    run_id = attempt(lambda: _begun(params)) or ""
    if run_id:
        attempt(_show)
    status = "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        if run_id:
            attempt(lambda: _tell(run_id))
            attempt(lambda: mlflow.end_run(status))


def abandon(origin: str) -> bool:
    """End the run of a training that nobody goes on with as KILLED; says whether MLflow heard."""

    def end() -> int:
        return _kill(connect(), f"tags.origin = '{origin}'")

    return attempt(lambda: within(patience(), end)) is not None


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


def described(key: str, params: Params, origin: str) -> Described:
    """Describe a training that happens here and now: code, machine, train-all, parameters, data."""
    parent = os.environ.get(PARENT)
    above = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    return {
        "origin": origin,
        "tags": {
            "architecture": key,
            "faces": origins.packed(),
            **_made_with(),
            **_computed(key, params),
            **above,
        },
        "parameters": {name: str(value) for name, value in parameters(key, params).items()},
        "data": _data(),
        "classes": list(params.classes),
        "image_size": params.data.image_size,
    }


def run_of(client: MlflowClient, made: Described) -> Run:
    """Find the run of a training, or begin it."""
    origin, tags = made["origin"], made["tags"]
    found = with_origin(client, origin)
    if not found:
        named = {"origin": origin, **tags}
        client.create_run(_experiment(), tags=named, run_name=tags["architecture"])
        found = with_origin(client, origin)
    first, *others = found
    # A request that was answered too late has been sent twice.
    for other in others:
        client.delete_run(other.info.run_id)
    return first


def with_origin(client: MlflowClient, origin: str) -> list[Run]:
    """Find the runs of a training, the first made first; there should be one."""
    experiments, wanted = [_experiment()], f"tags.origin = '{origin}'"
    return list(client.search_runs(experiments, wanted, order_by=["attributes.start_time ASC"]))


def describe(client: MlflowClient, run: Run, made: Described) -> None:
    """Add the parameters and the data that a run does not name yet."""
    known = run.data.params
    missing = [Param(*pair) for pair in made["parameters"].items() if pair[0] not in known]
    client.log_batch(run.info.run_id, params=missing)
    log_data(client, run, made["data"])


def log_data(client: MlflowClient, run: Run, data: Mapping[str, Mapping[str, str]]) -> None:
    """Tell which data a run read; the same again changes nothing."""
    try:
        client.log_inputs(run.info.run_id, datasets=_inputs(data))
    except (MlflowException, SQLAlchemyError) as error:
        # Two runs told of the same new data at once, and MLflow added it for one of them.
        if "unique constraint" not in str(error).lower():
            raise
        client.log_inputs(run.info.run_id, datasets=_inputs(data))


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
    here = {"host": platform.node(), "checkout": _digest(Path.cwd())}
    # One of this checkout that is said to be running was killed, or could not say how it ended.
    _kill(client, " and ".join(f"tags.{name} = '{value}'" for name, value in here.items()))
    _dress(client)
    made = {"recipe": params.recipe, **_made_with(), **here}
    run = mlflow.start_run(run_name="train-all", tags=made)
    log_data(client, run, _data())
    return str(run.info.run_id)


def _dress(client: MlflowClient) -> None:
    known = client.get_experiment(_experiment()).tags
    for name, value in description.tags().items():
        if known.get(name) != value:
            # Another train-all may write the same at the same moment, which a database refuses.
            with suppress(MlflowException):
                client.set_experiment_tag(_experiment(), name, value)


def _show() -> None:
    log_files(SUMMARY, VERDICT, DATA_DOCS, CARD, CARD_PLOTS)
    _tell(open_run())


def _tell(run_id: str) -> None:
    mlflow.set_tag(MLFLOW_RUN_NOTE, description.described(MlflowClient(), run_id))


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


def _kill(client: MlflowClient, which: str) -> int:
    left = client.search_runs([_experiment()], f"attributes.status = 'RUNNING' and {which}")
    for run in left:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(left)


def _experiment() -> str:
    return str(mlflow.set_experiment(NAME).experiment_id)


def _made_with() -> dict[str, str]:
    machine = {f"hardware.{name}": value for name, value in hardware().items()}
    return {"git_commit": git_commit(), **machine}


def _computed(key: str, params: Params) -> dict[str, str]:
    from unveil.training import devices

    told = devices.described(devices.precision(key, params))
    return {f"computed.{name}": value for name, value in told.items()}


def _data() -> dict[str, dict[str, str]]:
    used = {
        "archive": ARCHIVE,
        "training": PACKED / "train.npz",
        "validation": PACKED / "validation.npz",
        "testing": PACKED / "test.npz",
    }
    return {
        context: {"path": str(path), "md5": dvc_hash(path)}
        for context, path in used.items()
        if path.exists()
    }


def _inputs(data: Mapping[str, Mapping[str, str]]) -> list[DatasetInput]:
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    inputs = []
    for context, one in data.items():
        source = HTTPDatasetSource(f"dvc:{one['path']}")  # type: ignore[no-untyped-call]
        name = Path(one["path"]).name
        dataset = MetaDataset(source, name=name, digest=one["md5"])  # type: ignore[abstract]
        told = [InputTag(MLFLOW_DATASET_CONTEXT, context)]
        inputs.append(DatasetInput(dataset._to_mlflow_entity(), told))
    return inputs
