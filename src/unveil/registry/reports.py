"""The report of a version, as its training published it."""

import json
import tempfile
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from unveil import origins
from unveil.errors import UserError
from unveil.files import sha256
from unveil.paths import MODELS, pipeline
from unveil.registry.connection import answering, connect
from unveil.registry.publish import REPORT, faces, has_report, origin
from unveil.registry.runs import with_origin
from unveil.registry.versions import Version


@answering()
def report(version: Version) -> dict[str, Any]:
    """Read ``metrics.json`` of a version's run; empty where none was ever published.

    One that is gone from MLflow is put back from ``data/05_reports`` where it is there. Raises
    ``UserError`` where it is not, or where MLflow's is another: thresholds stand in it.
    """
    client = connect()
    runs = with_origin(client, version.origin)
    for run in runs:
        if has_report(client, run):
            return _read(client, run, version)
    for run in runs:
        if "report" in run.data.tags:
            return _put_back(client, run, version)
    return {}


def _read(client: MlflowClient, run: Run, version: Version) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(client.download_artifacts(run.info.run_id, REPORT, folder))
        if sha256(path) != run.data.tags.get("report", sha256(path)):
            raise UserError(f"{REPORT} of version {version.number} was altered in MLflow")
        return dict(json.loads(path.read_text()))


def _put_back(client: MlflowClient, run: Run, version: Version) -> dict[str, Any]:
    folder = pipeline(version.architecture).report
    path = folder / "metrics.json"
    if not path.is_file() or sha256(path) != run.data.tags["report"]:
        raise UserError(
            f"{REPORT} of run {run.info.run_id}, version {version.number}, is gone from MLflow, "
            f"and {path} is not it: put the artifact back, or `unveil evaluate "
            f"{version.architecture}` and `unveil publish` where version {version.number} was "
            "trained"
        )
    client.log_artifacts(run.info.run_id, str(folder), "report")
    return dict(json.loads(path.read_text()))


def faces_of(version: Version) -> str:
    """Say what a version learned from; of one registered without it, what its folder here says."""
    folder = MODELS / version.architecture
    if version.faces != origins.UNKNOWN or not folder.exists():
        return version.faces
    return faces(folder) if origin(folder) == version.origin else origins.UNKNOWN
