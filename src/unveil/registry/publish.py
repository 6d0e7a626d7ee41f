"""A finished training -> MLflow, from its files alone; a second time changes nothing."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Run

from unveil import origins
from unveil.errors import UserError
from unveil.files import read_json, reading, sha256
from unveil.paths import PACKED, Place, pipeline
from unveil.provenance import dvc_hash, requirements
from unveil.registry.connection import TRANSFER, answering, connect, patience, within
from unveil.registry.runs import Described, describe, run_of, send

if TYPE_CHECKING:
    import keras

REPORT = "report/metrics.json"
"""Among a run's artifacts; the tag ``report`` has its sha256."""


def described(folder: Path) -> Described:
    """Read what a training's folder says of how it was made."""
    made: Described = read_json(folder / "run.json", made_by=f"unveil train {folder.name}")
    if "parameters" not in made:
        raise UserError(f"{folder}/run.json is of an older version; train {folder.name} again")
    return made


def origin(folder: Path) -> str:
    """Read by which tag a training's folder finds its run."""
    return str(described(folder)["origin"])


def faces(folder: Path) -> str:
    """Say where the faces of a training are from, by `origins`.

    One that did not record it, of an older version or where no table of them was, may have learned
    from those that are packed now.
    """
    made = described(folder)
    known = str(made["tags"].get("faces", origins.UNKNOWN))
    path = PACKED / "train.npz"
    digest = made["data"].get("training", {}).get("md5")
    if known == origins.UNKNOWN and path.exists() and digest == dvc_hash(path):
        return origins.packed()
    return known


def publish(key: str, place: Place | None = None) -> str:
    """See to it that MLflow has a training's run, metrics, network and report; gives the URI.

    The network's URI, ``models:/...``; the training is the pipeline's own, or another. Raises
    ``UserError`` when no server answers within ``ANSWER`` seconds or the rest takes longer than
    ``TRANSFER``.
    """
    client = within(patience(), connect)
    return within(TRANSFER, lambda: _published(client, key, place or pipeline(key)))


@answering()
def attach(key: str, folder: Path, name: str) -> None:
    """Add a folder to the run of a trained architecture, as its artifact ``name``."""
    client = connect()
    run = run_of(client, described(pipeline(key).model))
    client.log_artifacts(run.info.run_id, str(folder), name)


@answering()
def _published(client: MlflowClient, key: str, place: Place) -> str:
    folder = place.model
    made = described(folder)
    with reading(folder / "history.csv", made_by=f"unveil train {key}"):
        rows = _epochs(folder / "history.csv")
    run = run_of(client, made)
    describe(client, run, made)
    send(client, run, rows)
    uri = _network(client, run, folder / "model.keras", made)
    _report(client, run, place.report, folder / "model.keras")
    if run.info.status != "FINISHED":
        client.set_terminated(run.info.run_id, end_time=int(rows[-1]["timestamp"]))
    return uri


def _epochs(path: Path) -> list[dict[str, float]]:
    # Not with pandas: its quicker reading of numbers may differ in the last bit.
    with path.open() as file:
        rows = csv.DictReader(file)
        return [{name: float(value) for name, value in row.items() if value} for row in rows]


def _network(client: MlflowClient, run: Run, path: Path, made: Described) -> str:
    from unveil import train

    known = run.data.tags.get("model_uri")
    if known:
        return str(known)
    uri = _log(train.load(path), run.info.run_id, made)
    client.set_tag(run.info.run_id, "model_uri", uri)
    return uri


def _log(network: "keras.Model", run_id: str, made: Described) -> str:
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    size, classes = made["image_size"], made["classes"]
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
        # Without the list MLflow looks for it in a process of its own, for 20 seconds.
        pip_requirements=requirements(),
        metadata={"classes": classes},
    )
    return str(logged.model_uri)


def _report(client: MlflowClient, run: Run, folder: Path, model: Path) -> None:
    from unveil.evaluate import flat

    path = folder / "metrics.json"
    metrics = read_json(path, made_by="unveil evaluate") if path.exists() else {}
    if metrics.get("model_digest") != sha256(model):
        return
    for name, value in flat(metrics).items():
        if run.data.metrics.get(name) != value:
            client.log_metric(run.info.run_id, name, value)
    if run.data.tags.get("report") != sha256(path) or not has_report(client, run):
        client.log_artifacts(run.info.run_id, str(folder), "report")
        client.set_tag(run.info.run_id, "report", sha256(path))


def has_report(client: MlflowClient, run: Run) -> bool:
    """Whether the file is there: a run keeps its tag where its artifacts were deleted."""
    return REPORT in [file.path for file in client.list_artifacts(run.info.run_id, "report")]


class _Keras:
    """The flavor mlflow.keras, which in 3.17.2 writes the example before it makes the folder."""

    @staticmethod
    def save_model(*, path: str, **settings: Any) -> None:
        import mlflow.keras

        Path(path).mkdir(parents=True)
        mlflow.keras.save_model(path=path, **settings)
