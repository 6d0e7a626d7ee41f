"""Who is champion: logged networks, versions of the registered model, its alias."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException

from unveil.errors import UserError
from unveil.files import read_json
from unveil.params import Params
from unveil.provenance import requirements
from unveil.registry.connection import NAME, answering, connect
from unveil.registry.runs import known_run

if TYPE_CHECKING:
    import keras

ALIAS = "champion"


@dataclass(frozen=True)
class Version:
    """A registered model: ``number`` as MLflow counts, and what it was registered with."""

    number: str
    run_id: str
    architecture: str
    classes: tuple[str, ...]
    image_size: int


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
        pip_requirements=requirements(),
        metadata={"classes": list(params.classes)},
    )
    uri: str = logged.model_uri
    return uri


def origin(folder: Path) -> tuple[str, str]:
    """Read which run and logged model a training's folder came from."""
    run = read_json(folder / "run.json", made_by="unveil train")
    return run["run_id"], run["model_uri"]


@answering()
def champion() -> Version | None:
    """Say which version the alias points at, or ``None``."""
    client = connect()
    try:
        found = client.get_model_version_by_alias(NAME, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return _version(found)


@answering()
def register(network: "keras.Model", folder: Path, *, key: str, params: Params) -> Version:
    """Make a trained network a version of the registered model; no alias moves.

    A server that never saw the training (its folder came out of DVC's cache) is given the network.
    """
    connect()
    run_id, uri = origin(folder)
    tags = {
        "architecture": key,
        "classes": json.dumps(params.classes),
        "image_size": str(params.data.image_size),
        "recipe": params.recipe,
        "run": run_id,
    }
    try:
        found = mlflow.register_model(uri, NAME, tags=tags)
    except MlflowException:
        with mlflow.start_run(run_id=known_run(run_id)):
            uri = log_network(network, params)
        found = mlflow.register_model(uri, NAME, tags=tags)
    return _version(found)


@answering()
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
    except (OSError, ValueError, MlflowException) as error:
        raise UserError(f"{uri} cannot be loaded: {str(error).splitlines()[0][:160]}") from None


def _version(found: Any) -> Version:
    tags = found.tags
    return Version(
        number=str(found.version),
        run_id=tags.get("run", found.run_id or ""),
        architecture=tags.get("architecture", "unknown"),
        classes=tuple(json.loads(tags.get("classes", "[]"))),
        image_size=int(tags.get("image_size", 0)),
    )


class _Keras:
    """The flavor mlflow.keras, which in 3.17.2 writes the example before it makes the folder."""

    @staticmethod
    def save_model(*, path: str, **settings: Any) -> None:
        import mlflow.keras

        Path(path).mkdir(parents=True)
        mlflow.keras.save_model(path=path, **settings)
