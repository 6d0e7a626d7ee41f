"""Which registered models learned from data that is erased now, said in their tags."""

from collections.abc import Collection
from typing import Any

from mlflow import MlflowClient

from unveil.registry.connection import NAME, answering, connect, patience, within

TAG = "erasure"


def mark_erased(digests: Collection[str], note: str) -> list[str]:
    """Tag each version whose run used one of these files (md5) with ``note``; name the versions.

    A second time changes nothing. Raises ``UserError`` when no server answers in time.
    """
    return within(patience(), lambda: _marked(set(digests), note))


@answering()
def _marked(digests: set[str], note: str) -> list[str]:
    client = connect()
    marked = []
    for version in client.search_model_versions(f"name = '{NAME}'"):
        if _data(client, version) & digests:
            _tag(client, version, note)
            marked.append(f"{NAME} version {version.version}")
    return sorted(marked)


def _tag(client: MlflowClient, version: Any, note: str) -> None:
    notes = version.tags.get(TAG, "")
    if note not in notes.split("; "):
        client.set_model_version_tag(NAME, version.version, TAG, f"{notes}; {note}".lstrip("; "))


def _data(client: MlflowClient, version: Any) -> set[str]:
    inputs = client.get_run(version.run_id).inputs
    return {one.dataset.digest for one in inputs.dataset_inputs} if inputs else set()
