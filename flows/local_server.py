"""A temporary Prefect server for one command, if PREFECT_API_URL is not set.

Prefect's own temporary server runs in the same process group: Ctrl-C would end it while the flow
still reports to it. This one gets no signals and runs until this process has ended.
"""

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import httpx
import prefect
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from flows import child_process
from flows.server import configured_url, connect
from unveil.common.errors import UserError

GRACE = 5
"""Seconds for the server to store the last events."""

_settings = ExitStack()  # stays open: Prefect still sends events at exit


def ensure_server() -> None:
    """Use the server of PREFECT_API_URL, or start one that ends with this process."""
    if configured_url():
        connect()
        return
    url = f"http://127.0.0.1:{_free_port()}/api"
    with tempfile.TemporaryFile() as log:
        server = child_process.start(
            _command(url), grace=GRACE, stdout=log, stderr=log, env=_environment()
        )
        # Registered before Prefect's own exit handlers, which therefore run first.
        atexit.register(_stop, server)
        _wait(server, url, log)
    os.environ["PREFECT_API_URL"] = url  # for child processes and threads
    _settings.enter_context(temporary_settings({PREFECT_API_URL: url}))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(url: str) -> list[str]:
    parts = httpx.URL(url)
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--app-dir", str(Path(prefect.__file__).parents[1])]
    command += ["--host", parts.host, "--port", str(parts.port)]
    return [*command, "--log-level", "error", "--lifespan", "on"]


def _environment() -> dict[str, str]:
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    ephemeral = {
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    return {**os.environ, **settings, **ephemeral}


def _wait(server: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> None:
    patience = get_current_settings().server.ephemeral.startup_timeout_seconds
    deadline = time.monotonic() + patience
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    why = next((line for line in reversed(lines) if line.strip()), f"no answer in {patience} s")
    raise UserError(f"no temporary Prefect server could be started: {why.strip()[:300]}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
