"""Links to MLflow's pages, and the description of a train-all run: its inputs and results."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

import mlflow
from mlflow import MlflowClient

from unveil.common.paths import COMPARISON, DATA_CARD, DATA_DOCS, LEADERBOARD, PROMOTION, VALIDATION
from unveil.registry.connection import NAME, connect, mlflow_errors

LOCAL_PORT = "5000"
"""The port of `make ui`."""
FRAGMENT = "UNVEIL_TRAININGS_PAGE"
"""The environment variable with the page that `start_page` opens, ``#/experiments/...``."""
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


@mlflow_errors()
def trainings_url(server: str = "") -> str:
    """Return the URL of the list of trainings, sorted by test macro-F1, best first.

    ``server`` is by default ``MLFLOW_TRACKING_URI`` without its password, and if that is no server,
    the address of `make ui`.
    """
    client = connect()
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    server = server or _server_url() or f"http://127.0.0.1:{LOCAL_PORT}/"
    return f"{server.rstrip('/')}/#/experiments/{experiment.experiment_id}/runs?{_best_first()}"


def artifact_url(name: str) -> str:
    """Return the URL of an artifact of the active run; ``""`` without a server."""
    run, server = mlflow.active_run(), _server_url()
    if run is None or not server:
        return ""
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/{name}"
    return f"{server}{place}"


def _server_url() -> str:
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not server.startswith("http"):
        return ""
    # The server's address may contain a password.
    parts = urlsplit(server)
    return urlunsplit((parts.scheme, parts.netloc.split("@")[-1], f"{parts.path}/", "", ""))


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
    return f"{urlencode({'searchFilter': wanted})}&{_best_first()}"


def _best_first() -> str:
    order = {"orderByKey": "metrics.`test_macro_f1`", "orderByAsc": "false"}
    return urlencode({**WORKFLOW, **order})


def _links(named: Mapping[str, Path], kept: set[str], page: str) -> list[str]:
    # The artifact path is the path below data/NN_folder.
    places = {name: Path(*path.parts[2:]) for name, path in named.items()}
    return [
        f"- [{name}]({page}/{place})" for name, place in places.items() if place.parts[0] in kept
    ]
