"""Where MLflow is, and what it may do while we wait for it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from unveil.errors import UserError
from unveil.paths import TRACKING

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
# An unreachable server would otherwise block every call for four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

NAME = "facial-emotion"
"""Of the experiment and of the registered model."""


@contextmanager
def answering() -> Iterator[None]:
    """Turn what MLflow refuses, or cannot do, into one line that names the server and the reason.

    Also serves as a decorator.
    """
    try:
        yield
    except MlflowException as error:
        where = mlflow.get_tracking_uri().split("@")[-1]
        why = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise UserError(f"MLflow at {where}: {why}") from None


@answering()
def connect() -> MlflowClient:
    """Open the tracking server or the local database, and make the experiment when absent."""
    _quieten()
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        TRACKING.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{TRACKING.absolute() / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    if client.get_experiment_by_name(NAME) is None:
        _create(client)
    mlflow.set_experiment(NAME)
    return client


def _create(client: MlflowClient) -> None:
    try:
        client.create_experiment(NAME, artifact_location=_artifacts())
    except MlflowException as error:
        # Another process was quicker.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _quieten() -> None:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It warns of a missing pip, which an environment made by uv does not need.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)


def _artifacts() -> str | None:
    local = mlflow.get_tracking_uri().startswith("sqlite")
    return (TRACKING / "artifacts").absolute().as_uri() if local else None
