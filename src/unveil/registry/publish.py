"""Log a finished training to MLflow from its files; idempotent."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from unveil.common.errors import UserError
from unveil.common.files import read_json, reading_artifact, sha256
from unveil.common.paths import PACKED, TrainingPaths, pipeline_paths
from unveil.config.provenance import dvc_hash, requirements
from unveil.data import real_or_synthetic
from unveil.registry.connection import (
    TRANSFER_TIMEOUT,
    answer_timeout,
    connect,
    mlflow_errors,
    with_timeout,
)
from unveil.registry.runs import (
    TrainingDescription,
    find_or_create_run,
    log_epochs,
    log_parameters_and_data,
)
from unveil.registry.training_note import training_note

if TYPE_CHECKING:
    import keras

REPORT = "report/metrics.json"
"""An artifact of a run; the run's tag ``report`` is its sha256."""


def read_training(folder: Path) -> TrainingDescription:
    """Read ``run.json`` of a training's folder."""
    training: TrainingDescription = read_json(
        folder / "run.json", made_by=f"unveil train {folder.name}"
    )
    if "parameters" not in training:
        raise UserError(f"{folder}/run.json is of an older version; train {folder.name} again")
    return training


def training_origin(folder: Path) -> str:
    """Return the tag ``origin`` by which a training's run is found in MLflow."""
    return str(read_training(folder)["origin"])


def face_source(folder: Path) -> str:
    """Return the source of a training's images, as in `real_or_synthetic`.

    A training that did not record it (older version, or no manifest) has the source of the packed
    images, if it used the same file.
    """
    training = read_training(folder)
    known = str(training["tags"].get("faces", real_or_synthetic.UNKNOWN))
    path = PACKED / "train.npz"
    digest = training["data"].get("training", {}).get("md5")
    if known == real_or_synthetic.UNKNOWN and path.exists() and digest == dvc_hash(path):
        return real_or_synthetic.origin_of_packed()
    return known


def publish(key: str, place: TrainingPaths | None = None) -> str:
    """Log a training's run, metrics, network and report, where MLflow lacks them.

    ``place`` is the folder of the training, by default the pipeline's. Returns the URI of the
    network, ``models:/...``. Raises ``UserError`` if no server answers within ``ANSWER_TIMEOUT``
    seconds or the transfer takes longer than ``TRANSFER_TIMEOUT`` seconds.
    """
    client = with_timeout(answer_timeout(), connect)
    return with_timeout(
        TRANSFER_TIMEOUT, lambda: _publish(client, key, place or pipeline_paths(key))
    )


@mlflow_errors()
def attach_folder(key: str, folder: Path, name: str) -> None:
    """Log a folder as the artifact ``name`` of a trained architecture's run."""
    client = connect()
    run = find_or_create_run(client, read_training(pipeline_paths(key).model))
    client.log_artifacts(run.info.run_id, str(folder), name)


@mlflow_errors()
def _publish(client: MlflowClient, key: str, place: TrainingPaths) -> str:
    folder = place.model
    training = read_training(folder)
    with reading_artifact(folder / "history.csv", made_by=f"unveil train {key}"):
        rows = _read_history(folder / "history.csv")
    run = find_or_create_run(client, training)
    log_parameters_and_data(client, run, training)
    log_epochs(client, run, rows)
    uri = _log_network(client, run, folder / "model.keras", training)
    _log_report(client, run, place.report, folder / "model.keras", training)
    if run.info.status != "FINISHED":
        client.set_terminated(run.info.run_id, end_time=int(rows[-1]["timestamp"]))
    return uri


def _read_history(path: Path) -> list[dict[str, float]]:
    # Not with pandas: its fast float parser may differ in the last bit.
    with path.open() as file:
        rows = csv.DictReader(file)
        return [{name: float(value) for name, value in row.items() if value} for row in rows]


def _log_network(client: MlflowClient, run: Run, path: Path, training: TrainingDescription) -> str:
    from unveil.training import train

    known = run.data.tags.get("model_uri")
    if known:
        return str(known)
    uri = _log_model(train.load(path), run.info.run_id, training)
    client.set_tag(run.info.run_id, "model_uri", uri)
    return uri


def _log_model(network: "keras.Model", run_id: str, training: TrainingDescription) -> str:
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    size, classes = training["image_size"], training["classes"]
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, size, size, 1))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(classes)))]),
    )
    logged = Model.log(
        artifact_path=None,
        flavor=_Keras,
        name="model",
        run_id=run_id,
        model=network,
        signature=signature,
        input_example=np.zeros((1, size, size, 1), np.uint8),
        # Without this list MLflow infers the requirements in a subprocess, which takes 20 seconds.
        pip_requirements=requirements(),
        metadata={"classes": classes},
    )
    return str(logged.model_uri)


def _log_report(
    client: MlflowClient, run: Run, folder: Path, model: Path, training: TrainingDescription
) -> None:
    from unveil.evaluation.evaluate import flat

    path, run_id = folder / "metrics.json", run.info.run_id
    metrics = read_json(path, made_by="unveil evaluate") if path.exists() else {}
    if metrics.get("model_digest") != sha256(model):
        return
    for name, value in flat(metrics).items():
        if run.data.metrics.get(name) != value:
            # After the epochs, whose curves have the same names.
            client.log_metric(run_id, name, value, step=int(metrics["epochs"]))
    if run.data.tags.get("report") != sha256(path) or not has_report(client, run):
        client.log_artifacts(run_id, str(folder), "report")
        client.set_tag(run_id, "report", sha256(path))
        client.set_tag(run_id, MLFLOW_RUN_NOTE, training_note(training, metrics))


def has_report(client: MlflowClient, run: Run) -> bool:
    """Return whether the artifact exists; the tag remains if the artifact was deleted."""
    return REPORT in [file.path for file in client.list_artifacts(run.info.run_id, "report")]


class _Keras:
    """The flavor mlflow.keras; version 3.17.2 writes the example before it creates the folder."""

    @staticmethod
    def save_model(*, path: str, **settings: Any) -> None:
        import mlflow.keras

        Path(path).mkdir(parents=True)
        mlflow.keras.save_model(path=path, **settings)
