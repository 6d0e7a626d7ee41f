"""The MLflow description of a train-all run: links to its inputs and results."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

import mlflow
from mlflow import MlflowClient

from unveil.common.paths import COMPARISON, DATA_CARD, DATA_DOCS, LEADERBOARD, PROMOTION, VALIDATION
from unveil.registry.connection import NAME

INPUTS = {
    "Data sheet": DATA_CARD,
    "Data Docs": DATA_DOCS / "index.html",
    "validation result": VALIDATION,
}
OUTPUTS = {
    "leaderboard": LEADERBOARD,
    "comparison": COMPARISON,
    "report": Path("data/05_reports/report.html"),
    "promotion decision": PROMOTION,
}
EVALUATED_FILTER = "metrics.test_macro_f1 > 0"
"""The filter for evaluated trainings of all architectures."""
WORKFLOW = {"workflowType": "machine_learning"}
"""Selects MLflow's pages for training, not those for language models."""
BEST_VIEW = "best-of-each"
"""Name of the saved view: the best training of each architecture in the last seven days."""
COLUMNS = ("test_macro_f1", "test_accuracy", "validation_macro_f1", "parameters", "seconds")


def experiment_tags() -> dict[str, str]:
    """Return the tags of the experiment: its kind of pages in MLflow, and the saved view."""
    view = {
        "searchFilter": EVALUATED_FILTER,
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
        f"mlflow.sharedViewState.{BEST_VIEW}": json.dumps(view),
    }


def artifact_url(name: str) -> str:
    """Return the URL of an artifact of the active run; ``""`` without a server."""
    run, server = mlflow.active_run(), os.environ.get("MLFLOW_TRACKING_URI", "")
    if run is None or not server.startswith("http"):
        return ""
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/{name}"
    # The server's address may contain a password.
    parts = urlsplit(server)
    return urlunsplit((parts.scheme, parts.netloc.split("@")[-1], f"{parts.path}/", "", "")) + place


def run_note(client: MlflowClient, run_id: str) -> str:
    """Return the description in Markdown, with a link to each artifact of the run."""
    run = client.get_run(run_id)
    experiment = f"#/experiments/{run.info.experiment_id}"
    page = f"{experiment}/runs/{run_id}/artifacts"
    kept = {file.path for file in client.list_artifacts(run_id)}
    lines = ["Training data:", "", *_links(INPUTS, kept, page)]
    if results := _links(OUTPUTS, kept, page):
        lines += ["", "Results of this run:", "", *results]
        own = f"tags.`mlflow.parentRunId` = '{run_id}'"
        lines.append(f"- [training runs, best first]({experiment}/runs?{ranking_query(own)})")
        lines.append(f"- [all model versions and the champion](#/models/{NAME})")
    saved = f"{experiment}/runs?{urlencode({'viewStateShareKey': BEST_VIEW, **WORKFLOW})}"
    lines += ["", f"[Best training of each architecture, last 7 days]({saved})"]
    return "\n".join(lines)


def ranking_query(wanted: str) -> str:
    """Return the URL query that lists trainings by test macro-F1, best first."""
    order = {"orderByKey": "metrics.`test_macro_f1`", "orderByAsc": "false"}
    return urlencode({"searchFilter": wanted, **order, **WORKFLOW})


def _links(named: Mapping[str, Path], kept: set[str], page: str) -> list[str]:
    # The artifact path is the path below data/NN_folder.
    places = {name: Path(*path.parts[2:]) for name, path in named.items()}
    return [
        f"- [{name}]({page}/{place})" for name, place in places.items() if place.parts[0] in kept
    ]
