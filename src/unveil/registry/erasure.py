"""Tag registered models that were trained on erased data."""

import sys
from collections.abc import Collection
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from unveil.registry.connection import NAME, answer_timeout, connect, mlflow_errors, with_timeout

TAG = "erasure"


def mark_erased(digests: Collection[str], note: str) -> list[str]:
    """Add ``note`` to each version whose run used one of these files (md5); list the versions.

    A version without a run is tagged too, because its training data is unknown; a line on stderr
    says so. Idempotent. Raises ``UserError`` if no server answers in time.
    """
    return with_timeout(answer_timeout(), lambda: _mark_versions(set(digests), note))


@mlflow_errors()
def _mark_versions(digests: set[str], note: str) -> list[str]:
    client = connect()
    marked = []
    for version in client.search_model_versions(f"name = '{NAME}'"):
        name = f"{NAME} version {version.version}"
        used = _dataset_digests(client, version)
        if used is None:
            print(f"{name} has no run: its training data is unknown", file=sys.stderr)
            _tag(client, version, f"{note}, possibly: it has no run")
        elif used & digests:
            _tag(client, version, note)
        if used is None or used & digests:
            marked.append(name)
    return sorted(marked)


def _tag(client: MlflowClient, version: Any, note: str) -> None:
    notes = version.tags.get(TAG, "")
    if note not in notes.split("; "):
        client.set_model_version_tag(NAME, version.version, TAG, f"{notes}; {note}".lstrip("; "))


def _dataset_digests(client: MlflowClient, version: Any) -> set[str] | None:
    """Return the md5s of a version's training data; ``None`` if it has no run."""
    if not version.run_id:
        return None
    try:
        inputs = client.get_run(version.run_id).inputs
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return {one.dataset.digest for one in inputs.dataset_inputs} if inputs else set()
