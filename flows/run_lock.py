"""One train-all at a time in a checkout, whoever starts it, by a lock that dies with its process.

A second one would be stopped by DVC's locks in the middle, and write over what the first made.
"""

import fcntl
import functools
import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from unveil.common.errors import UserError
from unveil.common.locks import opened

LOCK = Path(".dvc/tmp/train-all.lock")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_held: list[IO[str]] = []


@contextmanager
def turn() -> Iterator[None]:
    """Keep other train-alls out of this checkout; a `UserError` names the one that runs.

    A second time in one process it changes nothing.
    """
    if _held:
        yield
        return
    with opened(LOCK, LOCK) as file:
        _lock(file)
        _held.append(file)
        try:
            yield
        finally:
            _held.clear()


def _lock(file: IO[str]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read().strip() or "a process that has just begun"
        raise UserError(
            f"a train-all runs in this checkout: {who}; wait until it has ended, or end it"
        ) from None
    file.truncate(0)
    since = f"{datetime.now():%F %R}"
    file.write(f"process {os.getpid()} of {_user()} on {socket.gethostname()}, since {since}")
    file.flush()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return str(os.getuid())


def exclusive(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a function of a flow alone in this checkout."""

    @functools.wraps(work)
    def alone(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with turn():
            return work(*args, **kwargs)

    return alone
