"""Which registered models learned from data that is erased now, said in their tags."""

import sys
from collections.abc import Collection
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from unveil.registry.connection import NAME, answering, connect, patience, within

TAG = "erasure"


def mark_erased(digests: Collection[str], note: str) -> list[str]:
    """Tag each version whose run used one of these files (md5) with ``note``; name the versions.

    A version without a run is tagged too, as nobody knows what it learned from; a line says so.
    A second time changes nothing. Raises ``UserError`` when no server answers in time.
    """
    return within(patience(), lambda: _marked(set(digests), note))


@answering()
def _marked(digests: set[str], note: str) -> list[str]:
    client = connect()
    marked = []
    for version in client.search_model_versions(f"name = '{NAME}'"):
        name = f"{NAME} version {version.version}"
        used = _data(client, version)
        if used is None:
            print(f"{name} has no run: what it learned from is not known", file=sys.stderr)
            _tag(client, version, f"{note}, perhaps: no run tells")
        elif used & digests:
            _tag(client, version, note)
        if used is None or used & digests:
            marked.append(name)
    return sorted(marked)


def _tag(client: MlflowClient, version: Any, note: str) -> None:
    notes = version.tags.get(TAG, "")
    if note not in notes.split("; "):
        client.set_model_version_tag(NAME, version.version, TAG, f"{notes}; {note}".lstrip("; "))


def _data(client: MlflowClient, version: Any) -> set[str] | None:
    """Give the md5s of what a version learned from; ``None`` where it has no run."""
    if not version.run_id:
        return None
    try:
        inputs = client.get_run(version.run_id).inputs
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return {one.dataset.digest for one in inputs.dataset_inputs} if inputs else set()
