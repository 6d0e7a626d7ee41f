"""Commands of DVC and unveil in processes of their own, and what they said when they failed."""

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
from unveil.common.errors import UserError, masked
from unveil.registry import PARENT, open_run

KILLED = re.compile(r"exited with (-\d+|1[2-9]\d)\b")
"""What DVC says of a command that died by a signal; a shell adds 128 to its number."""


MARKS = (
    re.compile("unveil: "),
    re.compile("ERROR: "),
    re.compile(r"(?='.+' (is invalid|validation failed))"),  # a file that DVC cannot read
)
"""What a line begins with that says why a command failed."""

GRACE = 2.0
"""Seconds a command has after an interrupt here; one for a deployment has flows.child_process's."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and the last it said where we hear it."""

    status: int
    said: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether the stage's process died by a signal, such as the kernel's when out of memory."""
        return any(KILLED.search(line) for line in self.said)

    @property
    def reason(self) -> str:
        """Give the last line that states one."""
        for mark in MARKS:
            for place in reversed(range(len(self.said))):
                if mark.match(line := self.said[place]):
                    # DVC names the processes that hold its locks in lines of their own.
                    further = self.said[place + 1 : place + 3] if line.endswith(":") else ()
                    return " ".join((mark.sub("", line), *further))[:500]
        return self.said[-1][:500] if self.said else f"exit code {self.status}"


def deployed() -> bool:
    """Whether a worker runs this flow, for a deployment; else a person does, in this process."""
    return runtime.deployment.id is not None


def environment() -> dict[str, str]:
    """What a command finds: our programs first, no telemetry, the open run as its parent."""
    folder = str(Path(sys.executable).parent)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    parent = open_run() or os.environ.get(PARENT, "")
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", PARENT: parent}


def run(*command: str, makes: str = "") -> Ended:
    """Run a command that ends with us, however we end, and tell what it says as it comes."""
    # A worker's own output may be gone before the run is: then only the server hears it.
    ours = {} if not deployed() else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with child_process.start(
        [sys.executable, "-m", *command],
        env={**environment(), MAKES: makes},
        grace=None if deployed() else GRACE,
        **(ours or {"stderr": subprocess.PIPE}),
    ) as process:
        said: deque[str] = deque(maxlen=40)
        try:
            for line in _lines(process.stdout) if process.stdout else _shown(process.stderr):
                said.append(masked(line.strip()))
            return Ended(process.wait(), tuple(filter(None, said)))
        except BaseException:  # we are interrupted: nothing goes on when we have gone
            _close(process)
            raise


def _lines(stream: IO[bytes]) -> Iterator[str]:
    for line in stream:
        print(text := masked(line.decode(errors="replace").rstrip()))
        yield text


def _shown(stream: IO[bytes] | None) -> Iterator[str]:
    """Write what comes to our stderr at once, so that bars move in place; give whole lines."""
    assert stream is not None
    text, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    while chunk := os.read(stream.fileno(), 1 << 16):
        read = text.decode(chunk)
        print(masked(read), end="", file=sys.stderr, flush=True)
        *whole, rest = (rest + read).split("\n")
        yield from (line.rpartition("\r")[2] for line in whole)
    yield rest


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def ask_dvc(*arguments: str) -> str:
    """Give what a command of DVC prints; a `UserError` says what it said where it fails."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    asked = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if asked.returncode:
        said = tuple(line.strip() for line in asked.stderr.splitlines() if line.strip())
        raise UserError(Ended(asked.returncode, said).reason)
    return asked.stdout
