"""Runs Python with a closed standard stream, as a shell does for `2>&-`."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def run(program: str, number: int) -> subprocess.CompletedProcess[str]:
    """Run a program with this file descriptor closed; returns what the other streams got."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {number}>&-', "sh", sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/src"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
