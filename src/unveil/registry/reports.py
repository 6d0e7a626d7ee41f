"""The evaluation report of a registered version, as published by its training."""

import json
import tempfile
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.common.paths import MODELS, pipeline_paths
from unveil.data import real_or_synthetic
from unveil.registry.connection import connect, mlflow_errors
from unveil.registry.publish import REPORT, face_source, has_report, training_origin
from unveil.registry.runs import runs_with_origin
from unveil.registry.versions import Version


@mlflow_errors()
def version_report(version: Version) -> dict[str, Any]:
    """Read ``metrics.json`` of a version's run; empty if none was ever published.

    A report that was deleted from MLflow is restored from ``data/05_reports``. Raises ``UserError``
    if that has another one, or if the report in MLflow was altered: it contains thresholds.
    """
    client = connect()
    runs = runs_with_origin(client, version.origin)
    for run in runs:
        if has_report(client, run):
            return _read_report(client, run, version)
    for run in runs:
        if "report" in run.data.tags:
            return _restore_report(client, run, version)
    return {}


def _read_report(client: MlflowClient, run: Run, version: Version) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(client.download_artifacts(run.info.run_id, REPORT, folder))
        if sha256(path) != run.data.tags.get("report", sha256(path)):
            raise UserError(f"{REPORT} of version {version.number} was altered in MLflow")
        return dict(json.loads(path.read_text()))


def _restore_report(client: MlflowClient, run: Run, version: Version) -> dict[str, Any]:
    folder = pipeline_paths(version.architecture).report
    path = folder / "metrics.json"
    if not path.is_file() or sha256(path) != run.data.tags["report"]:
        raise UserError(
            f"{REPORT} of run {run.info.run_id}, version {version.number}, is missing in MLflow, "
            f"and {path} is missing or differs from it: restore the artifact, or run `unveil "
            f"evaluate {version.architecture}` and `unveil publish` where version "
            f"{version.number} was trained"
        )
    client.log_artifacts(run.info.run_id, str(folder), "report")
    return dict(json.loads(path.read_text()))


def face_source_of(version: Version) -> str:
    """Return the source of a version's training images; if not registered, that of its folder."""
    folder = MODELS / version.architecture
    if version.faces != real_or_synthetic.UNKNOWN or not folder.exists():
        return version.faces
    return (
        face_source(folder)
        if training_origin(folder) == version.origin
        else real_or_synthetic.UNKNOWN
    )
