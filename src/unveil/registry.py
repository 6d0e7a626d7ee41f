"""The only door to MLflow: runs, models, and who is champion.

SQLite below ``mlflow/state`` by default, ``MLFLOW_TRACKING_URI`` respected. One experiment and one
registered model, both ``facial-emotion``; one parent run for each train-all, one child run for each
training. A metric has one name in every run.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.errors import UserError
from unveil.files import read_json
from unveil.params import Params
from unveil.paths import ARCHIVE, PACKED, TRACKING
from unveil.provenance import dvc_hash, git_commit, hardware

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
# An unreachable server would otherwise block every call for four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
from mlflow import MlflowClient
from pydantic import TypeAdapter

if TYPE_CHECKING:
    import keras

NAME = "facial-emotion"
ALIAS = "champion"
PARENT = "UNVEIL_PARENT_RUN"
"""The environment variable through which a training hears of the train-all it belongs to."""


@dataclass(frozen=True)
class Version:
    """A registered model: ``number`` as MLflow counts, and what it was registered with."""

    number: str
    run_id: str
    architecture: str
    classes: tuple[str, ...]
    image_size: int


def connect() -> MlflowClient:
    """Open the tracking server or the local database, and make the experiment when absent."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        TRACKING.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{TRACKING.absolute() / 'mlflow.db'}")
    client = MlflowClient()
    try:
        if client.get_experiment_by_name(NAME) is None:
            client.create_experiment(NAME, artifact_location=_artifacts())
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise unreachable(error) from None
    mlflow.set_experiment(NAME)
    return client


def unreachable(error: Exception) -> UserError:
    """Say in one line which tracking server did not do what was asked, and why."""
    why = str(error).splitlines()[0][:200]
    return UserError(f"MLflow at {mlflow.get_tracking_uri().split('@')[-1]}: {why}")


@contextmanager
def training_run(key: str, params: Params) -> Iterator[str]:
    """Open the run of one training; it ends as FAILED when the block raises."""
    connect()
    parent = os.environ.get(PARENT)
    with mlflow.start_run(
        run_name=key, parent_run_id=parent or None, tags=_tags(key), log_system_metrics=True
    ) as run:
        mlflow.log_params(_described(key, params))
        _log_data()
        yield run.info.run_id


def record(epoch: int, values: dict[str, float]) -> None:
    """Log the measures of an epoch, counted over both stages, to the open run."""
    mlflow.log_metrics(values, step=epoch)


def log_network(network: "keras.Model", params: Params) -> str:
    """Log a network to the open run, with signature and an input example; gives its URI."""
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    size = params.data.image_size
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, size, size, 1))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(params.classes)))]),
    )
    logged = Model.log(
        artifact_path=None,
        flavor=_Keras,
        name="model",
        model=network,
        signature=signature,
        input_example=np.zeros((1, size, size, 1), np.uint8),
        # Without the list MLflow looks for it in a process of its own, for 20 seconds.
        pip_requirements=_requirements(),
        metadata={"classes": list(params.classes)},
    )
    uri: str = logged.model_uri
    return uri


def log_report(origin: str, metrics: Mapping[str, float], folder: Path) -> None:
    """Add an evaluation to the run of its training."""
    connect()
    with mlflow.start_run(run_id=_run_of(origin)):
        mlflow.log_metrics(dict(metrics))
        mlflow.log_artifacts(str(folder), "report")


@contextmanager
def train_all_run(params: Params) -> Iterator[str]:
    """Open the parent run that the trainings of one train-all stand under."""
    connect()
    with mlflow.start_run(
        run_name="train-all", tags={"recipe": params.recipe, **_made_with()}
    ) as run:
        _log_data()
        yield run.info.run_id


def open_run() -> str:
    """Give the id of the run that is open in this process, or nothing."""
    run = mlflow.active_run()
    return str(run.info.run_id) if run else ""


def log_files(*paths: Path) -> None:
    """Add files and folders, those that exist, to the open run."""
    for path in paths:
        if path.is_dir():
            mlflow.log_artifacts(str(path), path.name)
        elif path.exists():
            mlflow.log_artifact(str(path))


def champion() -> Version | None:
    """Say which version the alias points at, or ``None``."""
    client = connect()
    try:
        found = client.get_model_version_by_alias(NAME, ALIAS)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise unreachable(error) from None
    return _version(found)


def register(uri: str, run_id: str, *, key: str, params: Params) -> Version:
    """Make a logged network a version of the registered model; no alias moves."""
    connect()
    tags = {
        "architecture": key,
        "classes": " ".join(params.classes),
        "image_size": str(params.data.image_size),
        "recipe": params.recipe,
        "run": run_id,
    }
    return _version(mlflow.register_model(uri, NAME, tags=tags))


def crown(version: Version) -> None:
    """Point the alias ``champion`` at a version."""
    connect().set_registered_model_alias(NAME, ALIAS, version.number)


def load(version: Version) -> "keras.Model":
    """Load a registered network; an absent artefact is refused by name."""
    import mlflow.keras

    connect()
    uri = f"models:/{NAME}/{version.number}"
    try:
        return mlflow.keras.load_model(uri, load_model_kwargs={"safe_mode": True})
    except (OSError, ValueError, mlflow.exceptions.MlflowException) as error:
        raise UserError(f"{uri} cannot be loaded: {str(error).splitlines()[0][:160]}") from None


def origin(folder: Path) -> tuple[str, str]:
    """Read which run and logged model a training's folder came from."""
    run = read_json(folder / "run.json", made_by="unveil train")
    return run["run_id"], run["model_uri"]


class _Keras:
    """The flavor mlflow.keras, which in 3.17.2 writes the example before it makes the folder."""

    @staticmethod
    def save_model(*, path: str, **settings: Any) -> None:
        import mlflow.keras

        Path(path).mkdir(parents=True)
        mlflow.keras.save_model(path=path, **settings)


def _artifacts() -> str | None:
    local = mlflow.get_tracking_uri().startswith("sqlite")
    return (TRACKING / "artifacts").absolute().as_uri() if local else None


def _run_of(origin: str) -> str:
    """Find a run, or the one that stands for it where this server has never seen it."""
    client = MlflowClient()
    try:
        return str(client.get_run(origin).info.run_id)
    except mlflow.exceptions.MlflowException:
        experiment = mlflow.set_experiment(NAME).experiment_id
        found = client.search_runs([experiment], f"tags.origin = '{origin}'", max_results=1)
        run = found[0] if found else client.create_run(experiment, tags={"origin": origin})
        return str(run.info.run_id)


def _version(found: Any) -> Version:
    tags = found.tags
    return Version(
        number=str(found.version),
        run_id=tags.get("run", found.run_id or ""),
        architecture=tags.get("architecture", "unknown"),
        classes=tuple(tags.get("classes", "").split()),
        image_size=int(tags.get("image_size", 0)),
    )


def _tags(key: str) -> dict[str, str]:
    return {"architecture": key, **_made_with()}


def _made_with() -> dict[str, str]:
    machine = {f"hardware.{name}": value for name, value in hardware().items()}
    return {"git_commit": git_commit(), **machine}


def _described(key: str, params: Params) -> dict[str, Any]:
    schedule = params.schedules[key]
    network = _fields(params.architectures[key])
    described: dict[str, Any] = {
        "architecture": key,
        "recipe": params.recipe,
        "train_images": schedule.train_images or "all",
        **{f"network.{name}": value for name, value in network.items()},
    }
    for name, value in _fields(params.training).items():
        described[f"training.{name}"] = value
    for number, stage in enumerate(schedule.stages, start=1):
        for name, value in _fields(stage).items():
            described[f"stage{number}.{name}"] = value
    return described


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


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("keras", "numpy")]


def _fields(settings: object) -> dict[str, Any]:
    fields = TypeAdapter(type(settings)).dump_python(settings)
    return {name: value for name, value in fields.items() if value is not None}
