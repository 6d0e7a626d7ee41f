"""The report of a version, as its training published it."""

import json
import tempfile
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.common.paths import MODELS
from unveil.data import origins
from unveil.registry.connection import answering, connect
from unveil.registry.publish import faces, origin
from unveil.registry.runs import with_origin
from unveil.registry.versions import Version

REPORT = "report/metrics.json"


@answering()
def report(version: Version) -> dict[str, Any]:
    """Read ``metrics.json`` of a version's run; empty where the run has none.

    ``UserError`` where it is not the one that was published: thresholds stand in it.
    """
    client = connect()
    for run in with_origin(client, version.origin):
        run_id = run.info.run_id
        if REPORT in [file.path for file in client.list_artifacts(run_id, "report")]:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(client.download_artifacts(run_id, REPORT, folder))
                if sha256(path) != run.data.tags.get("report", sha256(path)):
                    raise UserError(f"{REPORT} of version {version.number} was altered in MLflow")
                return dict(json.loads(path.read_text()))
    return {}


def faces_of(version: Version) -> str:
    """Say what a version learned from; of one registered without it, what its folder here says."""
    folder = MODELS / version.architecture
    if version.faces != origins.UNKNOWN or not folder.exists():
        return version.faces
    return faces(folder) if origin(folder) == version.origin else origins.UNKNOWN
