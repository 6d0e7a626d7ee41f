"""MLflow runs of a hyperparameter search: a parent run, and a child run for each trial.

Both are found by the tag ``origin``, so that a search which was interrupted continues in its runs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from unveil.registry import runs
from unveil.registry.connection import answer_timeout, connect, try_or_warn, with_timeout
from unveil.registry.datasets import data_digests, log_datasets

RESULTS = ("trials.csv", "plot.png", "recipe.diff")
"""The files of a search that are logged to its run."""


def trial_tags(name: str, number: int, parent: str) -> dict[str, str]:
    """Return the tags of a trial's run; ``parent`` is the id of the parent run or ``""``."""
    above = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    return {runs.SWEEP: name, "trial": str(number), "trial.state": "running", **above}


def end_trial(origin: str, state: str, score: float | None) -> None:
    """Record how a trial ended: ``complete``, ``pruned`` or ``failed``, and its best epoch."""

    def end() -> None:
        client = connect()
        for run in runs.runs_with_origin(client, origin):
            client.set_tag(run.info.run_id, "trial.state", state)
            if score is not None:
                client.log_metric(run.info.run_id, "best_validation_macro_f1", score)

    try_or_warn(lambda: with_timeout(answer_timeout(), end))


@contextmanager
def sweep_run(name: str, origin: str, folder: Path, about: Mapping[str, str]) -> Iterator[str]:
    """Open the parent run of a search, or reopen it; yields its id, ``""`` without MLflow.

    At the end the files of ``folder`` are its artifacts. ``about`` are its parameters.
    """
    run_id = try_or_warn(lambda: with_timeout(answer_timeout(), lambda: _open(name, origin, about)))
    status = "FAILED"
    try:
        yield run_id or ""
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if run_id:
            try_or_warn(
                lambda: with_timeout(answer_timeout(), lambda: _close(run_id, status, folder))
            )


def _open(name: str, origin: str, about: Mapping[str, str]) -> str:
    client = connect()
    run = _find_or_create(client, name, origin)
    client.update_run(run.info.run_id, status="RUNNING")
    for key, value in about.items():
        if key not in run.data.params:
            client.log_param(run.info.run_id, key, value)
    log_datasets(client, run, data_digests())
    return str(run.info.run_id)


def _find_or_create(client: MlflowClient, name: str, origin: str) -> Run:
    if found := runs.runs_with_origin(client, origin):
        return found[0]
    note = f"The hyperparameter search `{name}`; its trials are the runs below it."
    tags = {"origin": origin, runs.SWEEP: name, MLFLOW_RUN_NOTE: note, **runs.code_and_hardware()}
    return client.create_run(runs.experiment_id(), tags=tags, run_name=f"sweep {name}")


def _close(run_id: str, status: str, folder: Path) -> None:
    client = MlflowClient()
    for path in sorted(folder.glob("*.*")) if status == "FINISHED" else ():
        if path.name in RESULTS:
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, status)
