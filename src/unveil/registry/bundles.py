"""The ONNX bundle of a registered version, stored as artifacts of its run.

Its files are in the artifact folder ``bundle/DIGEST``; DIGEST is the sha256 of ``bundle.json``, so
no bundle overwrites another. The version's tag ``bundle`` has the digest of each file. For a
version that was champion, the digests in the champion history take precedence.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow
import requests
from mlflow.exceptions import MlflowException

from unveil.common.errors import UserError, reason
from unveil.common.files import digests
from unveil.inference.bundle_files import CARD
from unveil.registry import artifact
from unveil.registry.connection import NAME, TRANSFER_TIMEOUT, connect, mlflow_errors, with_timeout
from unveil.registry.versions import BUNDLE, Version


def store_bundle(version: Version, folder: Path) -> Version:
    """Store a bundle with a version; return the version with the digests of the bundle."""
    found = digests(folder)
    with_timeout(TRANSFER_TIMEOUT, lambda: _log_bundle(version, folder, found))
    return replace(version, bundle=artifact.digests_tag(found))


@mlflow_errors()
def _log_bundle(version: Version, folder: Path, found: dict[str, str]) -> None:
    client = connect()
    run_id = str(client.get_model_version(NAME, version.number).run_id)
    client.log_artifacts(run_id, str(folder), _artifact_folder(found))
    client.set_model_version_tag(NAME, version.number, BUNDLE, artifact.digests_tag(found))


@contextmanager
def stored_bundle(version: Version) -> Iterator[Path]:
    """Download a version's bundle and verify its digests; deleted when the block ends.

    Raises ``UserError`` that names the version, and the file that is missing, empty or altered.
    """
    expected = bundle_digests(version)
    prefix = f"the bundle of {artifact.model_uri(version.number)} cannot be restored"
    if not expected:
        raise UserError(f"{prefix}: it was registered without one")
    with tempfile.TemporaryDirectory(prefix="unveil-bundle-") as folder:
        try:
            copied = with_timeout(
                TRANSFER_TIMEOUT, lambda: _download(version, _artifact_folder(expected), folder)
            )
        except (OSError, ValueError, MlflowException, requests.RequestException) as error:
            raise UserError(f"{prefix}: {reason(error)}") from None
        artifact.check_files(copied, expected, prefix)
        yield copied


def _download(version: Version, place: str, folder: str) -> Path:
    run_id = connect().get_model_version(NAME, version.number).run_id
    return Path(
        mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=place, dst_path=folder)
    )


def bundle_digests(version: Version) -> dict[str, str]:
    """Return the sha256 of each file of a version's bundle; empty if it has no bundle."""
    if not version.bundle:
        return {}
    return dict(artifact.read_tag(version.number, "bundle", version.bundle, dict))


def _artifact_folder(found: dict[str, str]) -> str:
    return f"bundle/{found.get(CARD, 'unknown')}"
