"""A training tells MLflow of itself from a thread of its own, and never waits for it."""

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
from unveil.registry.connection import answering, connect, patience, place
from unveil.registry.runs import describe, described, run_of, send

LONGEST = 30
"""Seconds between two tries to reach a server, at most."""

INTERRUPTED = 5
"""Seconds that an interrupted training gives MLflow to hear of it."""


class Reporter:
    """Sends the rows of epochs as the server takes them: each once, in order, however late."""

    def __init__(self, key: str, params: Params, origin: str) -> None:
        self.made = described(key, params, origin)
        self.delivered = False
        self._given_up = self._missed = False
        self._rows: list[Mapping[str, float]] = []
        self._status = ""
        self._news, self._ending = threading.Event(), threading.Event()
        self._news.set()
        self._run: Run | None = None
        self._machine: SystemMetricsMonitor | None = None
        self._fault = f"MLflow at {place()}: no answer"
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def record(self, row: Mapping[str, float]) -> None:
        """Take the row of an epoch; returns at once."""
        self._rows.append(row)
        self._news.set()

    def end(self, status: str, *, seconds: float) -> None:
        """Say how the training ended, and wait until MLflow knows all, but no longer."""
        self._status = status
        self._ending.set()
        self._news.set()
        # What MLflow did not take while we trained it will hardly take by waiting longer.
        self._thread.join(min(seconds, connection.ANSWER) if self._missed else seconds)
        if not self.delivered:
            self._given_up = True
            print(
                f"not recorded now: {self._fault}; `unveil publish` does it later",
                file=sys.stderr,
            )

    def _work(self) -> None:
        pause = 1.0
        while not (self.delivered or self._given_up):
            self._news.wait()
            self._news.clear()
            status = self._status
            try:
                with answering():
                    self._tell(status)
                self.delivered, pause, self._missed = bool(status), 1.0, False
            except Exception as error:  # whatever MLflow's client raises, the training goes on
                self._fault, self._run, self._missed = reason(error), None, True
                if self._ending.wait(pause):
                    time.sleep(1)
                self._news.set()
                pause = min(2 * pause, LONGEST)

    def _tell(self, status: str) -> None:
        client = connect() if self._run is None else MlflowClient()
        if self._run is None:
            self._run = run_of(client, self.made)
            describe(client, self._run, self.made)
            client.update_run(self._run.info.run_id, status="RUNNING")
            self._watch_machine(self._run.info.run_id)
        send(client, self._run, list(self._rows))
        if status:
            client.set_terminated(self._run.info.run_id, status)
            if self._machine is not None:
                self._machine.finish()  # type: ignore[no-untyped-call]

    def _watch_machine(self, run_id: str) -> None:
        # The one of before has ended by itself when it could not reach the server.
        if self._machine is not None:
            self._machine.finish()  # type: ignore[no-untyped-call]
        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() != "false":
            self._machine = SystemMetricsMonitor(run_id, resume_logging=True)  # type: ignore[no-untyped-call]
            self._machine.start()  # type: ignore[no-untyped-call]


@contextmanager
def reporting(key: str, params: Params, origin: str) -> Iterator[Reporter]:
    """Report a training for as long as the block runs; it FAILED where the block raises."""
    reporter = Reporter(key, params, origin)
    try:
        yield reporter
    except Exception:
        reporter.end("FAILED", seconds=patience())
        raise
    except BaseException:
        reporter.end("KILLED", seconds=INTERRUPTED)
        raise
    reporter.end("FINISHED", seconds=patience())
