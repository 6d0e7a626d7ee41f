"""Log a running training to MLflow from a background thread."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from unveil.common.errors import reason
from unveil.config.params import Params
from unveil.registry import connection
from unveil.registry.connection import answer_timeout, connect, mlflow_errors, server_name
from unveil.registry.runs import (
    SWEEP,
    describe_training,
    find_or_create_run,
    log_epochs,
    log_parameters_and_data,
)

MAX_RETRY_PAUSE = 30
"""Longest pause between two attempts to reach a server, in seconds."""

INTERRUPT_TIMEOUT = 5
"""Seconds that an interrupted training waits for MLflow."""


class Reporter:
    """Sends the metrics of each epoch once and in order, and retries until the server accepts."""

    def __init__(
        self, key: str, params: Params, origin: str, tags: Mapping[str, str] | None = None
    ) -> None:
        self.training = describe_training(key, params, origin)
        self.training["tags"].update(tags or {})
        self.delivered = False
        self._given_up = self._missed = False
        self._rows: list[Mapping[str, float]] = []
        self._status = ""
        self._news, self._ending = threading.Event(), threading.Event()
        self._news.set()
        self._run: Run | None = None
        self._machine: SystemMetricsMonitor | None = None
        self._fault = f"MLflow at {server_name()}: no answer"
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def record(self, row: Mapping[str, float]) -> None:
        """Queue the metrics of an epoch; returns immediately."""
        self._rows.append(row)
        self._news.set()

    def end(self, status: str, *, seconds: float) -> None:
        """Set the final status and wait up to ``seconds`` until everything is sent."""
        self._status = status
        self._ending.set()
        self._news.set()
        # If the last attempt failed during training, a long wait will hardly help.
        self._thread.join(min(seconds, connection.ANSWER_TIMEOUT) if self._missed else seconds)
        if not self.delivered:
            self._given_up = True
            later = "" if SWEEP in self.training["tags"] else "; `unveil publish` logs it later"
            print(f"not logged to MLflow: {self._fault}{later}", file=sys.stderr)

    def _work(self) -> None:
        pause = 1.0
        while not (self.delivered or self._given_up):
            self._news.wait()
            self._news.clear()
            status = self._status
            try:
                with mlflow_errors():
                    self._tell(status)
                self.delivered, pause, self._missed = bool(status), 1.0, False
            except Exception as error:  # no error of MLflow's client may stop the training
                self._fault, self._run, self._missed = reason(error), None, True
                if self._ending.wait(pause):
                    time.sleep(1)
                self._news.set()
                pause = min(2 * pause, MAX_RETRY_PAUSE)

    def _tell(self, status: str) -> None:
        client = connect() if self._run is None else MlflowClient()
        if self._run is None:
            self._run = find_or_create_run(client, self.training)
            log_parameters_and_data(client, self._run, self.training)
            client.update_run(self._run.info.run_id, status="RUNNING")
            self._watch_machine(self._run.info.run_id)
        log_epochs(client, self._run, list(self._rows))
        if status:
            client.set_terminated(self._run.info.run_id, status)
            if self._machine is not None:
                self._machine.finish()  # type: ignore[no-untyped-call]

    def _watch_machine(self, run_id: str) -> None:
        # The previous monitor has stopped by itself if it could not reach the server.
        if self._machine is not None:
            self._machine.finish()  # type: ignore[no-untyped-call]
        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() != "false":
            self._machine = SystemMetricsMonitor(run_id, resume_logging=True)  # type: ignore[no-untyped-call]
            self._machine.start()  # type: ignore[no-untyped-call]


@contextmanager
def reporting(
    key: str, params: Params, origin: str, tags: Mapping[str, str] | None = None
) -> Iterator[Reporter]:
    """Log a training while the block runs; its status is FAILED if the block raises.

    ``tags`` are added to those of the run.
    """
    reporter = Reporter(key, params, origin, tags)
    try:
        yield reporter
    except Exception:
        reporter.end("FAILED", seconds=answer_timeout())
        raise
    except BaseException:
        reporter.end("KILLED", seconds=INTERRUPT_TIMEOUT)
        raise
    reporter.end("FINISHED", seconds=answer_timeout())
