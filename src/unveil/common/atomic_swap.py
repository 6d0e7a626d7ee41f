"""Atomic replacement of files and folders by renaming."""

import ctypes
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HERE = -100  # AT_FDCWD: relative paths are resolved against the working directory


def exchange(made: Path, target: Path) -> bool:
    """Exchange two folders in one step.

    Returns False if the system does not support it or ``target`` is not a folder.
    """
    # Python has no binding for Linux's renameat2 and its flag RENAME_EXCHANGE, 2.
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    paths = (_HERE, os.fsencode(made), _HERE, os.fsencode(target))
    return target.is_dir() and rename(*paths, ctypes.c_uint(2)) == 0


def replace(target: Path, made: Path, *, aside: Path) -> None:
    """Rename ``made`` to ``target``; if that fails, the old ``target`` is restored.

    An existing folder is first renamed to ``aside``.
    """
    # A folder cannot be renamed over another folder: the old one is moved aside first.
    if not target.is_dir() and not made.is_dir():
        made.replace(target)
        return
    with _folder_lock(target.parent):
        if not target.is_dir():
            made.replace(target)
            return
        target.replace(aside)
        try:
            made.replace(target)
        except BaseException:
            aside.replace(target)
            raise


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Lock a folder, so that one process at a time renames its entries."""
    file = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems cannot lock a folder.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
