"""A lock that allows one train-all at a time in a checkout; the end of its process releases it.

A second train-all would fail at DVC's locks halfway, and overwrite results of the first.
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
from unveil.common.locks import open_lock_file

LOCK = Path(".dvc/tmp/train-all.lock")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_held: list[IO[str]] = []


@contextmanager
def checkout_lock() -> Iterator[None]:
    """Lock this checkout for one train-all; raises `UserError` that names a running one.

    Reentrant within one process.
    """
    if _held:
        yield
        return
    with open_lock_file(LOCK, LOCK) as file:
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
        owner = file.read().strip() or "a process that has just started"
        raise UserError(
            f"a train-all already runs in this checkout: {owner}; wait for its end, or stop it"
        ) from None
    file.truncate(0)
    since = f"{datetime.now():%F %R}"
    file.write(f"process {os.getpid()} of {_user()} on {socket.gethostname()}, since {since}")
    file.flush()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run with a user id that has no name
        return str(os.getuid())


def exclusive(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function of a flow to hold `checkout_lock` while it runs."""

    @functools.wraps(work)
    def locked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with checkout_lock():
            return work(*args, **kwargs)

    return locked
