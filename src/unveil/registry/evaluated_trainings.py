"""Read evaluated trainings from MLflow, whichever machine they ran on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from unveil.registry.connection import NAME, answer_timeout, connect, mlflow_errors, with_timeout

PAGE = 500


@dataclass(frozen=True)
class Training:
    """An evaluated training: tags, parameters and last metrics of its run.

    ``data`` is the md5 of the packed training images.
    """

    run_id: str
    tags: dict[str, str]
    parameters: dict[str, str]
    metrics: dict[str, float]
    data: str


def evaluated_trainings() -> list[Training]:
    """List the trainings that have a test score, newest first."""
    return with_timeout(answer_timeout(), lambda: [_training(run) for run in _runs(connect())])


def training_report(training: Training) -> dict[str, Any]:
    """Read ``metrics.json`` of a training's report; empty if the run has none."""
    return with_timeout(answer_timeout(), lambda: _report(training.run_id))


@mlflow_errors()
def _report(run_id: str) -> dict[str, Any]:
    try:
        read: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{run_id}/report/metrics.json")
    except (MlflowException, OSError):
        return {}
    return read


@mlflow_errors()
def _runs(client: MlflowClient) -> Iterator[Run]:
    experiment = str(mlflow.set_experiment(NAME).experiment_id)
    token = None
    while True:
        wanted = "metrics.test_macro_f1 >= 0"
        page = client.search_runs(
            [experiment],
            wanted,
            max_results=PAGE,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def _training(run: Run) -> Training:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    read = {one.dataset.name: one.dataset.digest for one in inputs}
    return Training(
        run_id=run.info.run_id,
        tags=dict(run.data.tags),
        parameters=dict(run.data.params),
        metrics=dict(run.data.metrics),
        data=read.get("train.npz", "unknown"),
    )
