"""Runs `unveil serve` of this or another build for a measurement, in a temporary folder."""

import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unveil.common.errors import UserError

THIS = (sys.executable, "-m", "unveil")
"""The command of this build."""
STARTING = 60.0
"""Seconds until a server must be ready."""


@contextmanager
def running(
    bundle: Path, *, command: Sequence[str] = THIS, options: Sequence[str] = ()
) -> Iterator[tuple[str, float]]:
    """Run a server on a free port; yields its URL and the seconds until it was ready.

    Raises ``UserError`` if it does not start.
    """
    serve = [*command, "serve", "--purpose", "measure the server itself"]
    serve += ["--bundle", str(bundle.absolute()), "--port", "0", *options]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(serve, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            spoke, _, _ = select.select([process.stdout], [], [], STARTING)
            line = process.stdout.readline() if spoke else ""
            if not line:
                raise UserError(f"{' '.join(command)} serve does not start with {bundle}")
            url = line.split()[-1]
            _wait_until_ready(url, deadline=began + STARTING)
            yield url, time.perf_counter() - began
        finally:
            process.terminate()
            process.communicate()


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Pin this thread, and the processes that it starts, to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def memory(url: str) -> float:
    """Return the resident memory of a server in MB; its decoders have more."""
    return _metric(url, "process_resident_memory_bytes") / 1e6


def cpu_seconds(url: str) -> float:
    """Return the CPU time of a server since its start, without its decoders."""
    return _metric(url, "process_cpu_seconds_total")


def _metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(one.split()[1]) for one in lines if one.startswith(f"{name} "))


def _wait_until_ready(url: str, *, deadline: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=30):
                return
        except urllib.error.HTTPError as error:  # its decoders are starting
            if error.code != 503 or time.perf_counter() > deadline:
                raise
        time.sleep(0.05)
