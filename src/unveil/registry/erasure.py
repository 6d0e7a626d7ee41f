"""Tag registered models that were trained on erased data."""

from collections.abc import Collection
from typing import Any

from mlflow import MlflowClient

from unveil.registry.connection import NAME, answer_timeout, connect, mlflow_errors, with_timeout

TAG = "erasure"


def mark_erased(digests: Collection[str], note: str) -> list[str]:
    """Add ``note`` to each version whose run used one of these files (md5); list the versions.

    Idempotent. Raises ``UserError`` if no server answers in time.
    """
    return with_timeout(answer_timeout(), lambda: _mark_versions(set(digests), note))


@mlflow_errors()
def _mark_versions(digests: set[str], note: str) -> list[str]:
    client = connect()
    marked = []
    for version in client.search_model_versions(f"name = '{NAME}'"):
        if _dataset_digests(client, version) & digests:
            _tag(client, version, note)
            marked.append(f"{NAME} version {version.version}")
    return sorted(marked)


def _tag(client: MlflowClient, version: Any, note: str) -> None:
    notes = version.tags.get(TAG, "")
    if note not in notes.split("; "):
        client.set_model_version_tag(NAME, version.version, TAG, f"{notes}; {note}".lstrip("; "))


def _dataset_digests(client: MlflowClient, version: Any) -> set[str]:
    inputs = client.get_run(version.run_id).inputs
    return {one.dataset.digest for one in inputs.dataset_inputs} if inputs else set()
