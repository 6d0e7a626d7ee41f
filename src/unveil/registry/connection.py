"""Connection to the MLflow tracking server: address, timeouts and error messages."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from unveil.common.errors import UserError, mask_secrets, reason
from unveil.common.paths import PARAMS, TRACKING

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# An unreachable server would otherwise block every call for four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from unveil.registry import database

NAME = "facial-emotion"
"""Name of the experiment and of the registered model."""

DATABASE = "mlflow.db"
"""The database file in ``mlflow/state``, used if no server is configured."""

ANSWER_TIMEOUT = 30
"""Seconds to wait for an answer of a server."""

LOCAL_TIMEOUT = 60
"""Seconds to wait for the local database, which may have to create its tables."""

TRANSFER_TIMEOUT = 300
"""Seconds for the transfer of a training and its network."""

T = TypeVar("T")


@contextmanager
def mlflow_errors() -> Iterator[None]:
    """Convert MLflow errors to a ``UserError`` that names the server and the reason.

    Can be used as a decorator.
    """
    try:
        yield
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        raise UserError(f"MLflow at {server_name()}: {reason(error)}") from None


def server_name() -> str:
    """Return the tracking URI without its password."""
    return mask_secrets(os.environ.get("MLFLOW_TRACKING_URI") or mlflow.get_tracking_uri())


def answer_timeout() -> float:
    """Return how many seconds to wait for an answer."""
    return LOCAL_TIMEOUT if database.sqlite_path(_tracking_uri()) else ANSWER_TIMEOUT


def _tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or database.uri(TRACKING.absolute() / DATABASE)


def with_timeout(seconds: float, act: Callable[[], T]) -> T:
    """Return the result of ``act``; ``UserError`` if it takes longer than ``seconds``."""
    results: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            results.append(act())
        except BaseException as error:
            raised.append(error)

    # A thread that hangs in a request cannot be stopped; as a daemon it ends with the process.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not results:
        raise UserError(f"MLflow at {server_name()}: timed out after {seconds:.0f} seconds")
    return results[0]


def try_or_warn(act: Callable[[], T]) -> T | None:
    """Return the result of ``act``; if MLflow fails, print one line and return ``None``."""
    try:
        with mlflow_errors():
            return act()
    except UserError as error:
        print(f"not logged to MLflow: {error}", file=sys.stderr)
        return None


@mlflow_errors()
def connect() -> MlflowClient:
    """Connect to the tracking server or the local database; create the experiment if missing."""
    _silence_loggers()
    if path := database.sqlite_path(_tracking_uri()):
        _require_project(path)
        database.ensure_ready(path)
    mlflow.set_tracking_uri(_tracking_uri())
    client = MlflowClient()
    find_or_create_experiment(client, NAME)
    mlflow.set_experiment(NAME)
    return client


def _require_project(path: Path) -> None:
    """Do not create a database in a folder that merely happens to be the working directory."""
    own = not os.environ.get("MLFLOW_TRACKING_URI")
    if own and not path.exists() and not PARAMS.exists():
        raise UserError(
            f"{Path.cwd()} has no {PARAMS}: go to the folder of a project, or set "
            "MLFLOW_TRACKING_URI to a server"
        )


def find_or_create_experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment; create it if missing."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location()))
        except MlflowException as error:
            # Another process has just created it.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
        assert found is not None
    return str(found.experiment_id)


def _silence_loggers() -> None:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It warns that pip is missing, which a uv environment does not need.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    # It prints a traceback of every error; `mlflow_errors` makes it one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # An unreachable server is reported once, by `Reporter`.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)


def artifact_location() -> str | None:
    """Return the artifact location of a local experiment; ``None`` for a server, which has one."""
    local = mlflow.get_tracking_uri().startswith("sqlite")
    return (TRACKING / "artifacts").absolute().as_uri() if local else None
