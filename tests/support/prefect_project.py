"""A project with a Prefect server, deployments and workers, as real processes in a folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from tests.support import servers

TRIES = 5
ANSWER = 60
"""Timeout of a server's answer in seconds: tests run in parallel on few cores."""

TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class PrefectProject:
    """Runs commands in ``folder``; ``api`` is the server's address."""

    def __init__(self, folder: Path, api: str, home: Path) -> None:
        self.folder, self.api = folder, api
        kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        self.environment = {
            **kept,
            "PATH": f"{servers.BIN}:{os.environ['PATH']}",
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(home),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            # The locks of GPUs and cores are in the temporary folder, and tests run in parallel.
            "TMPDIR": str(home),
        }
        self.workers: list[subprocess.Popen] = []

    def call(self, *command: str, **changes: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **changes},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def done(self, *command: str) -> str:
        result = self.call(*command)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    def python(self, *arguments: str) -> str:
        return self.done(sys.executable, "-m", *arguments)

    def crew(self) -> None:
        """Start a worker for train-all, and two with one core each for trainings."""
        started = [self._start("--pool", "control")]
        started += [self._start("--cores", "1") for _ in range(2)]
        for log in started:
            within(180, lambda log=log: "started!" in log.read_text(), log.read_text)

    def worker(self, *arguments: str) -> subprocess.Popen:
        """Start a worker in a process group of its own."""
        log = self._start(*arguments)
        within(180, lambda: "started!" in log.read_text(), log.read_text)
        return self.workers[-1]

    def _start(self, *arguments: str) -> Path:
        log = self.folder.parent / f"worker-{len(self.workers)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.worker", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.workers.append(process)
        return log

    def start(self, *arguments: str) -> str:
        """Start a train-all; returns the id of its flow run."""
        return self.done("unveil", "run", "train-all", *arguments).split()[-1]

    def ask(self, path: str, wanted: dict | None = None) -> Any:
        """Request a path of the server: GET, or POST with a filter.

        Repeats a request that times out: training runs may use all cores meanwhile.
        """
        for _ in range(TRIES - 1):
            with suppress(httpx.TimeoutException):
                return self._request(path, wanted)
        return self._request(path, wanted)

    def _request(self, path: str, wanted: dict | None) -> Any:
        method = "GET" if wanted is None else "POST"
        answer = httpx.request(method, f"{self.api}/{path}", json=wanted, timeout=ANSWER)
        return answer.raise_for_status().json()

    def run(self, identity: str) -> dict:
        return self.ask(f"flow_runs/{identity}")

    def state(self, identity: str) -> str:
        return self.run(identity)["state"]["type"]

    def ended(self, identity: str, *, seconds: float) -> dict:
        """Wait until a run has ended; returns it."""
        within(seconds, lambda: self.state(identity) in TERMINAL, lambda: self.logs(identity))
        return self.run(identity)

    def trainings(self) -> list[dict]:
        """All runs of train-architecture, in the order of their creation."""
        wanted = {
            "flows": {"name": {"any_": ["train-architecture"]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return self.ask("flow_runs/filter", wanted)

    def logs(self, identity: str) -> str:
        wanted = {"logs": {"flow_run_id": {"any_": [identity]}}, "limit": 200}
        lines = self.ask("logs/filter", wanted)
        return "\n".join(line["message"] for line in lines)

    def edit(self, change: Callable[[dict], object]) -> None:
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def running(self, words: str) -> list[psutil.Process]:
        """The processes of this project whose command line contains ``words``."""
        found = []
        for process in psutil.process_iter():
            try:
                if words in " ".join(process.cmdline()) and process.cwd() == str(self.folder):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def close(self) -> None:
        for process in [*(psutil.Process(worker.pid) for worker in self._alive()), *self._runs()]:
            with_children(process, signal.SIGKILL)
        for worker in self.workers:
            worker.wait(timeout=20)

    def _alive(self) -> list[subprocess.Popen]:
        return [worker for worker in self.workers if worker.poll() is None]

    def _runs(self) -> list[psutil.Process]:
        return self.running("prefect.engine")


def with_children(process: psutil.Process, number: int) -> None:
    """Send a signal to a process and all its children, like the failure of a machine."""
    try:
        whole = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in whole:
        try:
            one.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def within(seconds: float, true: Callable[[], bool], say: Callable[[], object] = str) -> float:
    """Poll until a condition is true; returns the seconds it took, fails with ``say()``."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, str(say())[-5000:]
        time.sleep(0.2)
    return time.monotonic() - began


@contextmanager
def prefect_project(folder: Path, home: Path) -> Iterator[PrefectProject]:
    """Yield a deployed project; stops its server, workers and their runs at the end."""
    home.mkdir(parents=True, exist_ok=True)
    with servers.prefect_server(home) as api:
        place = PrefectProject(folder, api, home)
        try:
            place.python("flows.deploy")
            yield place
        finally:
            place.close()
