"""What one process alone may do in a checkout, by a file that it locks.

The system lets go of a lock when its process dies, however it dies. The file stays: were it
removed, two processes could each lock a file of that name.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from unveil.common.errors import UserError, reason

LOCK = "lock"
"""The name of such a file, in the folder of what it guards."""

WAIT = 30.0
"""Seconds that `held` waits; reading, changing and writing a small file takes milliseconds."""

_PAUSE = 0.02


@contextmanager
def alone(folder: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock of a folder; ``UserError`` says ``otherwise`` at once where another has it."""
    with opened(folder / LOCK, folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(otherwise) from None
        yield


@contextmanager
def held(target: Path, *, seconds: float = WAIT) -> Iterator[None]:
    """Hold the lock of a file while it is read, changed and written.

    Waits for another process; after ``seconds`` a ``UserError`` names it.
    """
    with locked(target.with_name(f".{target.name}.lock"), target, seconds=seconds):
        yield


@contextmanager
def locked(lock: Path, target: Path, *, seconds: float = WAIT) -> Iterator[None]:
    """Hold a lock whose file has another name than `held` gives it."""
    with opened(lock, target) as file:
        wait(file.fileno(), target, seconds=seconds)
        yield


def wait(file: int, target: Path, *, seconds: float = WAIT) -> None:
    """Lock an open file for as long as it is open; ``UserError`` names who has it too long."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                said = f"{target} is being changed by {_holder(file)}"
                raise UserError(
                    f"{said} for more than {seconds:g} seconds; try again when it has ended"
                ) from None
            time.sleep(_PAUSE)


@contextmanager
def opened(lock: Path, target: Path) -> Iterator[IO[str]]:
    """Open the file of a lock; ``UserError`` names ``target`` where that cannot be."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+")
    except OSError as error:
        raise UserError(f"{target} cannot be written: {reason(error).lower()}") from None
    with file:
        yield file


def _holder(file: int) -> str:
    """Name the process that holds a lock, by Linux's table of them."""
    try:
        number = os.fstat(file).st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(number):
                words = Path(f"/proc/{words[4]}/cmdline").read_text().split("\0")
                return f"process {line.split()[4]} ({' '.join(words).strip()[:120]})"
    except (OSError, IndexError):
        pass
    return "another process"
