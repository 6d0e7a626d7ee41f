"""Who is champion: versions of the registered model, and its alias."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException

from unveil.errors import UserError
from unveil.paths import MODELS
from unveil.registry.connection import NAME, answering, connect
from unveil.registry.publish import described, publish

if TYPE_CHECKING:
    import keras

ALIAS = "champion"


@dataclass(frozen=True)
class Version:
    """A registered model: ``number`` as MLflow counts, and what it was registered with."""

    number: str
    origin: str
    architecture: str
    classes: tuple[str, ...]
    image_size: int


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


def register(key: str) -> Version:
    """Make a trained network a version of the registered model; no alias moves.

    A server that never saw the training (its folder came out of DVC's cache) is told all of it.
    """
    uri, made = publish(key), described(MODELS / key)
    tags = {
        "architecture": key,
        "classes": json.dumps(made["classes"]),
        "image_size": str(made["image_size"]),
        "recipe": made["parameters"]["recipe"],
        "origin": made["origin"],
    }
    with answering():
        return _version(mlflow.register_model(uri, NAME, tags=tags))


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
        origin=tags.get("origin", ""),
        architecture=tags.get("architecture", "unknown"),
        classes=tuple(json.loads(tags.get("classes", "[]"))),
        image_size=int(tags.get("image_size", 0)),
    )
