"""The bundle of a registered version: kept with the run it came of, given back byte for byte.

``bundle/DIGEST`` among the run's artifacts has its files, DIGEST being the sha256 of
``bundle.json``, so that no bundle ever takes the place of another. The version's tag ``bundle`` has
the digest of each file; what the ledger says of a version that was champion counts more.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow
import requests
from mlflow.exceptions import MlflowException

from unveil.errors import UserError, reason
from unveil.files import digests
from unveil.registry import artifact
from unveil.registry.connection import NAME, TRANSFER, answering, connect, within
from unveil.registry.versions import BUNDLE, Version

CARD = "bundle.json"


def store_bundle(version: Version, folder: Path) -> Version:
    """Keep a bundle with a version; gives the version that knows its digests."""
    found = digests(folder)
    within(TRANSFER, lambda: _store(version, folder, found))
    return replace(version, bundle=artifact.written(found))


@answering()
def _store(version: Version, folder: Path, found: dict[str, str]) -> None:
    client = connect()
    run_id = str(client.get_model_version(NAME, version.number).run_id)
    client.log_artifacts(run_id, str(folder), _place(found))
    client.set_model_version_tag(NAME, version.number, BUNDLE, artifact.written(found))


@contextmanager
def stored_bundle(version: Version) -> Iterator[Path]:
    """Give a copy of a version's bundle that has its digests, for as long as the block runs.

    Raises ``UserError`` that names the version, and the file that is gone, empty or altered.
    """
    expected = bundle_digests(version)
    said = f"the bundle of {artifact.uri(version.number)} cannot be restored"
    if not expected:
        raise UserError(f"{said}: it was registered without one")
    with tempfile.TemporaryDirectory(prefix="unveil-bundle-") as folder:
        try:
            copied = within(TRANSFER, lambda: _fetch(version, _place(expected), folder))
        except (OSError, ValueError, MlflowException, requests.RequestException) as error:
            raise UserError(f"{said}: {reason(error)}") from None
        artifact.check(copied, expected, said)
        yield copied


def _fetch(version: Version, place: str, folder: str) -> Path:
    run_id = connect().get_model_version(NAME, version.number).run_id
    return Path(
        mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=place, dst_path=folder)
    )


def bundle_digests(version: Version) -> dict[str, str]:
    """Give the sha256 of each file of a version's bundle; empty where none is known."""
    if not version.bundle:
        return {}
    return dict(artifact.tag(version.number, "bundle", version.bundle, dict))


def _place(found: dict[str, str]) -> str:
    return f"bundle/{found.get(CARD, 'unknown')}"
