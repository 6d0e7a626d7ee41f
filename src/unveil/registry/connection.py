"""Where MLflow is, and what it may do while we wait for it."""

import os

from unveil.errors import UserError
from unveil.paths import TRACKING

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
# An unreachable server would otherwise block every call for four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
from mlflow import MlflowClient

NAME = "facial-emotion"
"""Of the experiment and of the registered model."""


def connect() -> MlflowClient:
    """Open the tracking server or the local database, and make the experiment when absent."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        TRACKING.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{TRACKING.absolute() / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    try:
        if client.get_experiment_by_name(NAME) is None:
            client.create_experiment(NAME, artifact_location=_artifacts())
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise unreachable(error) from None
    mlflow.set_experiment(NAME)
    return client


def unreachable(error: Exception) -> UserError:
    """Say in one line which tracking server did not do what was asked, and why."""
    why = str(error).splitlines()[0][:200]
    return UserError(f"MLflow at {mlflow.get_tracking_uri().split('@')[-1]}: {why}")


def _artifacts() -> str | None:
    local = mlflow.get_tracking_uri().startswith("sqlite")
    return (TRACKING / "artifacts").absolute().as_uri() if local else None
