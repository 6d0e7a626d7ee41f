"""The report of a version, as its training published it."""

import json
import tempfile
from pathlib import Path
from typing import Any

from unveil.registry.connection import answering, connect
from unveil.registry.runs import with_origin
from unveil.registry.versions import Version

REPORT = "report/metrics.json"


@answering()
def report(version: Version) -> dict[str, Any]:
    """Read ``metrics.json`` of a version's run; empty where the run has none."""
    client = connect()
    for run in with_origin(client, version.origin):
        run_id = run.info.run_id
        if REPORT in [file.path for file in client.list_artifacts(run_id, "report")]:
            with tempfile.TemporaryDirectory() as folder:
                path = client.download_artifacts(run_id, REPORT, folder)
                return dict(json.loads(Path(path).read_text()))
    return {}
