"""Files of a registered model version: download them and verify their digests before use.

MLflow keeps a version whose files are missing as READY, and downloads an empty folder without an
error. So each version has a tag ``sha256`` with the digest of every file, and the champion history
has the digest of that tag.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from unveil.common.errors import UserError, reason
from unveil.common.files import digests
from unveil.registry.connection import NAME, connect

T = TypeVar("T")


@contextmanager
def downloaded(number: str) -> Iterator[Path]:
    """Download a version's files to a temporary folder, which is deleted when the block ends.

    Raises ``UserError`` if the version or its files cannot be downloaded.
    """
    client = connect()
    with tempfile.TemporaryDirectory(prefix="unveil-version-") as folder:
        try:
            source = client.get_model_version_download_uri(NAME, number)
            copied = mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder)
        except (OSError, ValueError, MlflowException, requests.RequestException) as error:
            raise UserError(f"{model_uri(number)} cannot be loaded: {reason(error)}") from None
        yield Path(copied)


def check_files(folder: Path, expected: Mapping[str, str], prefix: str) -> None:
    """Compare files with their expected sha256 digests, by name.

    Raises ``UserError``, starting with ``prefix``, for a missing, empty, altered or added file.
    """
    found = digests(folder)
    for name, digest in expected.items():
        if name not in found:
            raise UserError(f"{prefix}: {name} is missing")
        if found[name] != digest:
            fault = "was altered" if (folder / name).stat().st_size else "is empty"
            raise UserError(f"{prefix}: {name} {fault}")
    for name in sorted(found.keys() - expected.keys()):
        raise UserError(f"{prefix}: {name} was added")


def check_classes(folder: Path, tagged: tuple[str, ...], prefix: str) -> None:
    """Raise ``UserError`` if the classes in a version's tag differ from those in its file."""
    logged = (Model.load(str(folder)).metadata or {}).get("classes")
    if logged is not None and tuple(logged) != tagged:
        raise UserError(
            f"{prefix}: its tag says classes {', '.join(tagged)}, its file {', '.join(logged)}"
        )


def read_tag(number: str, name: str, text: str, kind: type[T]) -> T:
    """Parse the JSON of a version's tag, which users can edit in MLflow's pages."""
    with suppress(ValueError, RecursionError):
        if isinstance(value := json.loads(text), kind):
            return value
    raise UserError(
        f"{model_uri(number)} has the tag {name} {text[:80]!r}, which is not a JSON "
        f"{kind.__name__}; correct the tag in MLflow"
    )


def model_uri(number: str) -> str:
    """Return the MLflow URI of a version."""
    return f"models:/{NAME}/{number}"


def digests_tag(found: Mapping[str, str]) -> str:
    """Return digests as the JSON text of a version's tag."""
    return json.dumps(found, sort_keys=True)


def seal(tag: str) -> str:
    """Return the sha256 of a version's digests tag; ``""`` if it has none."""
    return hashlib.sha256(tag.encode()).hexdigest() if tag else ""
