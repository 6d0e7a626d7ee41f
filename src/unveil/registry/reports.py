"""The evaluation report of a registered version, as published by its training."""

import json
import tempfile
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.common.paths import MODELS
from unveil.data import origins
from unveil.registry.connection import connect, mlflow_errors
from unveil.registry.publish import face_source, training_origin
from unveil.registry.runs import runs_with_origin
from unveil.registry.versions import Version

REPORT = "report/metrics.json"


@mlflow_errors()
def version_report(version: Version) -> dict[str, Any]:
    """Read ``metrics.json`` of a version's run; empty if the run has none.

    Raises ``UserError`` if it was altered after publication, because it contains thresholds.
    """
    client = connect()
    for run in runs_with_origin(client, version.origin):
        run_id = run.info.run_id
        if REPORT in [file.path for file in client.list_artifacts(run_id, "report")]:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(client.download_artifacts(run_id, REPORT, folder))
                if sha256(path) != run.data.tags.get("report", sha256(path)):
                    raise UserError(f"{REPORT} of version {version.number} was altered in MLflow")
                return dict(json.loads(path.read_text()))
    return {}


def face_source_of(version: Version) -> str:
    """Return the source of a version's training images; if not registered, that of its folder."""
    folder = MODELS / version.architecture
    if version.faces != origins.UNKNOWN or not folder.exists():
        return version.faces
    return face_source(folder) if training_origin(folder) == version.origin else origins.UNKNOWN
