"""Runs commands of DVC and unveil in processes of their own, and extracts their error lines."""

import codecs
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prefect import runtime

from flows import child_process
from flows.gpu_slots import MAKES
from unveil.common.errors import UserError, mask_secrets
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
    """Run a command that ends with this process, and forward its output as it arrives.

    ``makes`` names the architecture or stage it builds; two commands never build the same one.
    """
    # In a deployment the output is printed line by line, so that Prefect logs it to the server.
    pipes = {} if not deployed() else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with child_process.start(
        [sys.executable, "-m", *command],
        env={**environment(), MAKES: makes},
        grace=None if deployed() else GRACE,
        **(pipes or {"stderr": subprocess.PIPE}),
    ) as process:
        last: deque[str] = deque(maxlen=40)
        try:
            for line in _lines(process.stdout) if process.stdout else _forwarded(process.stderr):
                last.append(mask_secrets(line.strip()))
            return CommandResult(process.wait(), tuple(filter(None, last)))
        except BaseException:  # interrupted: the command must not outlive this process
            _close(process)
            raise


def _lines(stream: IO[bytes]) -> Iterator[str]:
    for line in stream:
        print(text := mask_secrets(line.decode(errors="replace").rstrip()))
        yield text


def _forwarded(stream: IO[bytes] | None) -> Iterator[str]:
    """Copy output to stderr at once, so that progress bars work; yields complete lines."""
    assert stream is not None
    text, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    while chunk := os.read(stream.fileno(), 1 << 16):
        read = text.decode(chunk)
        print(mask_secrets(read), end="", file=sys.stderr, flush=True)
        *whole, rest = (rest + read).split("\n")
        yield from (line.rpartition("\r")[2] for line in whole)
    yield rest


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
