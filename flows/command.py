"""Runs commands of DVC and unveil in processes of their own, and extracts their error lines."""

import codecs
import os
import re
import selectors
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prefect import runtime

from flows import child_process
from flows.gpu_slots import MAKES
from flows.run_state import BAR
from flows.view import current
from unveil.common.errors import UserError, mask_secrets
from unveil.experiments.epoch_lines import EPOCHS
from unveil.registry import PARENT, open_run

KILLED = re.compile(r"exited with (-\d+|1[2-9]\d)\b")
"""DVC's message for a command that was ended by a signal; a shell adds 128 to its number."""


MARKS = (
    re.compile("unveil: "),
    re.compile("ERROR: "),
    re.compile(r"(?='.+' (is invalid|validation failed))"),  # a file that DVC cannot read
)
"""The beginnings of error lines, most specific first."""

GRACE = 2.0
"""Seconds between interrupt and kill in a local run; deployments use flows.child_process's."""


@dataclass(frozen=True)
class CommandResult:
    """The result of a command: its exit code, and the last lines of its output."""

    status: int
    lines: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether a signal ended the stage's process, such as the kernel's when out of memory."""
        return any(KILLED.search(line) for line in self.lines)

    @property
    def reason(self) -> str:
        """The last error line, else the last line, else the exit code."""
        for mark in MARKS:
            for place in reversed(range(len(self.lines))):
                if mark.match(line := self.lines[place]):
                    # DVC lists the processes that hold its locks on the following lines.
                    following = self.lines[place + 1 : place + 3] if line.endswith(":") else ()
                    return " ".join((mark.sub("", line), *following))[:500]
        return self.lines[-1][:500] if self.lines else f"exit code {self.status}"


def deployed() -> bool:
    """Whether a worker runs this flow for a deployment, rather than a person locally."""
    return runtime.deployment.id is not None


def environment() -> dict[str, str]:
    """The environment of a command: this virtual environment first, no telemetry, parent run."""
    folder = str(Path(sys.executable).parent)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    parent = open_run() or os.environ.get(PARENT, "")
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", PARENT: parent}


def run(*command: str, makes: str = "") -> CommandResult:
    """Run a command that ends with this process; print its output line by line as it arrives.

    A local run prints to its log; in a deployment Prefect logs the lines to the server.
    ``makes`` names the architecture or stage it builds; two commands never build the same one.
    """
    epochs = {EPOCHS: "1"} if current().listens else {}
    with child_process.start(
        [sys.executable, "-m", *command],
        env={**environment(), **epochs, MAKES: makes},
        grace=None if deployed() else GRACE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        last: deque[str] = deque(maxlen=40)
        try:
            _follow(process, last)
            return CommandResult(process.wait(), tuple(filter(None, last)))
        except BaseException:  # interrupted: the command must not outlive this process
            _close(process)
            raise


class _Reader:
    """Splits what a stream delivers into lines; of a progress bar only the last state is a line."""

    def __init__(self, stream: IO[bytes], *, error: bool) -> None:
        self._stream, self.error = stream, error
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def lines(self) -> list[str] | None:
        """Read what is there: the lines it completes; None at the end of the stream."""
        if not (chunk := os.read(self._stream.fileno(), 1 << 16)):
            return None
        *whole, rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        self._rest = rest.rpartition("\r")[2]
        return [mask_secrets(line.rpartition("\r")[2].rstrip()) for line in whole]

    @property
    def rest(self) -> str:
        """The beginning of a line, or the state of a progress bar."""
        return mask_secrets(self._rest.strip())


def _follow(process: subprocess.Popen[bytes], last: deque[str]) -> None:
    """Print both streams of a process until their end, show them, and keep the last lines."""
    assert process.stdout is not None and process.stderr is not None
    with selectors.DefaultSelector() as streams:
        for stream, error in ((process.stdout, False), (process.stderr, True)):
            streams.register(stream, selectors.EVENT_READ, _Reader(stream, error=error))
        while streams.get_map():
            for key, _ in streams.select(timeout=1):
                lines = key.data.lines()
                if lines is None:
                    streams.unregister(key.fileobj)
                    lines = [key.data.rest] if key.data.rest else []
                elif BAR.match(key.data.rest):
                    current().hear(key.data.rest)
                for line in lines:
                    print(line)
                    last.append(line.strip())
                    current().hear(line, error=key.data.error)
            current().refresh()


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def ask_dvc(*arguments: str) -> str:
    """Return the output of a DVC command; raises `UserError` with its error line if it fails."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if result.returncode:
        lines = tuple(line.strip() for line in result.stderr.splitlines() if line.strip())
        raise UserError(CommandResult(result.returncode, lines).reason)
    return result.stdout
