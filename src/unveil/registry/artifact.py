"""The files of a registered version: copied, compared with their digests, and only then read.

A version whose files are gone stays READY in MLflow, and its download is an empty folder without an
error. So each version has a tag ``sha256`` with the digest of every file, and the ledger the digest
of that tag.
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

from unveil.errors import UserError, reason
from unveil.files import digests
from unveil.registry.connection import NAME, connect

T = TypeVar("T")


@contextmanager
def fetched(number: str) -> Iterator[Path]:
    """Copy a version's files into a folder of our own for as long as the block runs.

    Raises ``UserError`` where the version or its files cannot be had.
    """
    client = connect()
    with tempfile.TemporaryDirectory(prefix="unveil-version-") as folder:
        try:
            source = client.get_model_version_download_uri(NAME, number)
            copied = mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder)
        except (OSError, ValueError, MlflowException, requests.RequestException) as error:
            raise UserError(f"{uri(number)} cannot be loaded: {reason(error)}") from None
        yield Path(copied)


def check(folder: Path, expected: Mapping[str, str], said: str) -> None:
    """Refuse, with ``said`` before it, files that are gone, empty, altered or were added."""
    found = digests(folder)
    for name, digest in expected.items():
        if name not in found:
            raise UserError(f"{said}: {name} is gone")
        if found[name] != digest:
            fault = "was altered" if (folder / name).stat().st_size else "is empty"
            raise UserError(f"{said}: {name} {fault}")
    for name in sorted(found.keys() - expected.keys()):
        raise UserError(f"{said}: {name} was added")


def check_classes(folder: Path, tagged: tuple[str, ...], said: str) -> None:
    """Refuse a version whose tag, which an export takes, names other classes than its file."""
    logged = (Model.load(str(folder)).metadata or {}).get("classes")
    if logged is not None and tuple(logged) != tagged:
        raise UserError(
            f"{said}: its tag says classes {', '.join(tagged)}, its file {', '.join(logged)}"
        )


def tag(number: str, name: str, text: str, kind: type[T]) -> T:
    """Read a version's tag, which anyone may edit in MLflow's pages."""
    with suppress(ValueError, RecursionError):
        if isinstance(read := json.loads(text), kind):
            return read
    raise UserError(
        f"{uri(number)} has the tag {name} {text[:80]!r}, which is no JSON {kind.__name__}; "
        "mend the tag in MLflow"
    )


def uri(number: str) -> str:
    """Name a version as MLflow does."""
    return f"models:/{NAME}/{number}"


def written(found: Mapping[str, str]) -> str:
    """Write digests as the tag of a version."""
    return json.dumps(found, sort_keys=True)


def seal(tag: str) -> str:
    """Digest the tag of a version; ``""`` where it has none."""
    return hashlib.sha256(tag.encode()).hexdigest() if tag else ""
