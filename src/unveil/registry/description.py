"""What the run of a train-all says of itself in MLflow: links to what it was made of and made."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

import mlflow
from mlflow import MlflowClient

from unveil.common.paths import CARD, COMPARISON, DATA_DOCS, LEADERBOARD, PROMOTION, VERDICT
from unveil.registry.connection import NAME

MADE_OF = {"Data sheet": CARD, "Data Docs": DATA_DOCS / "index.html", "verdict": VERDICT}
MADE = {
    "leaderboard": LEADERBOARD,
    "comparison": COMPARISON,
    "report": Path("data/05_reports/report.html"),
    "decision about the champion": PROMOTION,
}
EVALUATED = "metrics.test_macro_f1 > 0"
"""The filter that all trainings with a report pass, whatever their architecture."""
PAGES = {"workflowType": "machine_learning"}
"""MLflow's pages for training, not those for language models."""
BEST = "best-of-each"
"""The saved view of last week's best training of each architecture."""
COLUMNS = ("test_macro_f1", "test_accuracy", "validation_macro_f1", "parameters", "seconds")


def tags() -> dict[str, str]:
    """Give the tags of our experiment: MLflow's pages for training, and the saved view."""
    view = {
        "searchFilter": EVALUATED,
        "startTime": "LAST_7_DAYS",
        "orderByKey": "metrics.`test_macro_f1`",
        "orderByAsc": False,
        "selectedColumns": [f"metrics.`{name}`" for name in COLUMNS],
        "groupBy": {
            "aggregateFunction": "max",
            "groupByKeys": [{"mode": "param", "groupByData": "architecture"}],
        },
    }
    return {
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{BEST}": json.dumps(view),
    }


def page_of(name: str) -> str:
    """Give the address of an artifact of the open run, ``""`` where no server has it."""
    run, server = mlflow.active_run(), os.environ.get("MLFLOW_TRACKING_URI", "")
    if run is None or not server.startswith("http"):
        return ""
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/{name}"
    # A password may stand in the server's address.
    parts = urlsplit(server)
    return urlunsplit((parts.scheme, parts.netloc.split("@")[-1], f"{parts.path}/", "", "")) + place


def described(client: MlflowClient, run_id: str) -> str:
    """Write the description, with a link to each file that the run has."""
    run = client.get_run(run_id)
    experiment = f"#/experiments/{run.info.experiment_id}"
    page = f"{experiment}/runs/{run_id}/artifacts"
    kept = {file.path for file in client.list_artifacts(run_id)}
    lines = ["What it was trained on:", "", *_links(MADE_OF, kept, page)]
    if made := _links(MADE, kept, page):
        lines += ["", "What came of it:", "", *made]
        own = f"tags.`mlflow.parentRunId` = '{run_id}'"
        lines.append(f"- [its trainings, the best first]({experiment}/runs?{ranked(own)})")
        lines.append(f"- [all versions and the champion](#/models/{NAME})")
    saved = f"{experiment}/runs?{urlencode({'viewStateShareKey': BEST, **PAGES})}"
    lines += ["", f"[Last week's best of each architecture]({saved})"]
    return "\n".join(lines)


def ranked(wanted: str) -> str:
    """Write MLflow's query for trainings, the best test macro-F1 first."""
    order = {"orderByKey": "metrics.`test_macro_f1`", "orderByAsc": "false"}
    return urlencode({"searchFilter": wanted, **order, **PAGES})


def _links(named: Mapping[str, Path], kept: set[str], page: str) -> list[str]:
    # An artifact lies where it does below data/NN_folder.
    places = {name: Path(*path.parts[2:]) for name, path in named.items()}
    return [
        f"- [{name}]({page}/{place})" for name, place in places.items() if place.parts[0] in kept
    ]
