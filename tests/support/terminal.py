"""Runs a command whose stderr is a terminal, until it has shown something."""

import os
import pty
import re
import signal
import subprocess
import termios
import time
from contextlib import nullcontext
from pathlib import Path
from select import select

DEADLINE = 120
SIZE = 24, 100
"""Lines and columns."""


def shown(command: list[str], pattern: str, output: Path | None = None) -> str:
    """Run a command until its terminal matches, interrupt it, and return what it showed.

    Its stdout goes to a file, as `> FILE` does, or to the terminal.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, SIZE)
    with output.open("wb") if output else nullcontext(theirs) as file:
        process = subprocess.Popen(command, stdout=file, stderr=theirs)
    os.close(theirs)
    text, end = "", time.monotonic() + DEADLINE
    try:
        while time.monotonic() < end and not re.search(pattern, text):
            if select([ours], [], [], 1)[0]:
                try:
                    text += os.read(ours, 65536).decode(errors="replace")
                except OSError:  # the command ended, and nobody has the terminal any more
                    break
    finally:
        process.send_signal(signal.SIGINT)
        # A terminal that nobody reads would stop it.
        while process.poll() is None:
            if select([ours], [], [], 0.1)[0]:
                try:
                    os.read(ours, 65536)
                except OSError:
                    process.wait(DEADLINE)
        os.close(ours)
    assert re.search(pattern, text), text
    return text
