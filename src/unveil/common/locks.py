"""Inter-process locks by lock files (``flock``).

The system releases a lock when its process ends, however it ends. The lock file is never removed:
otherwise two processes could each lock a different file of the same name.
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
"""Name of the lock file in a locked folder."""

TIMEOUT = 30.0
"""Default timeout in seconds; reading, changing and writing a small file takes milliseconds."""

_PAUSE = 0.02


@contextmanager
def exclusive_lock(folder: Path, message: str) -> Iterator[None]:
    """Hold the lock of a folder; if it is taken, raise ``UserError(message)`` at once."""
    with open_lock_file(folder / LOCK, folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(message) from None
        yield


@contextmanager
def file_lock(target: Path, *, seconds: float = TIMEOUT) -> Iterator[None]:
    """Hold the lock of a file while it is read, changed and written.

    Waits for other processes; after ``seconds`` raises ``UserError`` naming the holder.
    """
    with lock_file(target.with_name(f".{target.name}.lock"), target, seconds=seconds):
        yield


@contextmanager
def lock_file(lock: Path, target: Path, *, seconds: float = TIMEOUT) -> Iterator[None]:
    """Hold the lock file ``lock``, which guards ``target``; see `file_lock`."""
    with open_lock_file(lock, target) as file:
        acquire(file.fileno(), target, seconds=seconds)
        yield


def acquire(file: int, target: Path, *, seconds: float = TIMEOUT) -> None:
    """Lock an open file descriptor until it is closed; raises ``UserError`` after ``seconds``."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                message = f"{target} is being changed by {_holder(file)}"
                raise UserError(
                    f"{message} for more than {seconds:g} seconds; try again when it has ended"
                ) from None
            time.sleep(_PAUSE)


@contextmanager
def open_lock_file(lock: Path, target: Path) -> Iterator[IO[str]]:
    """Open a lock file; raises ``UserError`` naming ``target`` if it cannot be created."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+")
    except OSError as error:
        raise UserError(f"{target} cannot be written: {reason(error).lower()}") from None
    with file:
        yield file


def _holder(file: int) -> str:
    """Return the process that holds a lock, from Linux's ``/proc/locks``."""
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
