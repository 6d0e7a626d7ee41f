"""Where MLflow is, and how long we wait for it."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from unveil.common.errors import UserError, masked, reason
from unveil.common.paths import TRACKING

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
"""Of the experiment and of the registered model."""

DATABASE = "mlflow.db"
"""The file below ``mlflow/state``, where no server is named."""

ANSWER = 30
"""Seconds in which a server has to answer."""

LOCAL = 60
"""Seconds for a database of our own, which may have its tables to make."""

TRANSFER = 300
"""Seconds in which all of a training has to be transferred, its network included."""

T = TypeVar("T")


@contextmanager
def answering() -> Iterator[None]:
    """Turn what MLflow refuses, or cannot do, into one line that names the server and the reason.

    Also serves as a decorator.
    """
    try:
        yield
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        raise UserError(f"MLflow at {place()}: {reason(error)}") from None


def place() -> str:
    """Name the server without its password."""
    return masked(os.environ.get("MLFLOW_TRACKING_URI") or mlflow.get_tracking_uri())


def patience() -> float:
    """Give the seconds to wait for an answer."""
    return LOCAL if database.local(_uri()) else ANSWER


def _uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or database.uri(TRACKING.absolute() / DATABASE)


def within(seconds: float, act: Callable[[], T]) -> T:
    """Give what ``act`` gives; ``UserError`` when that takes longer than ``seconds``."""
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(act())
        except BaseException as error:
            raised.append(error)

    # A thread that hangs in a request cannot be stopped: it is left behind and dies with us.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not given:
        raise UserError(f"MLflow at {place()}: not done within {seconds:.0f} seconds")
    return given[0]


def attempt(act: Callable[[], T]) -> T | None:
    """Give what ``act`` gives, or say in one line why MLflow did not take it."""
    try:
        with answering():
            return act()
    except UserError as error:
        print(f"not recorded now: {error}", file=sys.stderr)
        return None


@answering()
def connect() -> MlflowClient:
    """Open the tracking server or the local database, and make the experiment when absent."""
    _quieten()
    if path := database.local(_uri()):
        database.ready(path)
    mlflow.set_tracking_uri(_uri())
    client = MlflowClient()
    if client.get_experiment_by_name(NAME) is None:
        _create(client)
    mlflow.set_experiment(NAME)
    return client


def _create(client: MlflowClient) -> None:
    try:
        client.create_experiment(NAME, artifact_location=artifacts())
    except MlflowException as error:
        # Another process was quicker.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _quieten() -> None:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It warns of a missing pip, which an environment made by uv does not need.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    # It prints a traceback of what it raises, which we say in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # A server that is away is said once, by us.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)


def artifacts() -> str | None:
    """Say where the files of an experiment of our own lie; a server knows that itself."""
    local = mlflow.get_tracking_uri().startswith("sqlite")
    return (TRACKING / "artifacts").absolute().as_uri() if local else None
