"""A file or a folder takes the place of another, by renaming alone."""

import ctypes
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HERE = -100  # AT_FDCWD: a relative path is of the working directory


def exchanged(made: Path, target: Path) -> bool:
    """Exchange two folders in one step; false where the system cannot, or there is no target."""
    # Python has no name for Linux's renameat2, nor for its flag RENAME_EXCHANGE, 2.
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    paths = (_HERE, os.fsencode(made), _HERE, os.fsencode(target))
    return target.is_dir() and rename(*paths, ctypes.c_uint(2)) == 0


def replace(target: Path, made: Path, *, aside: Path) -> None:
    """Put ``made`` into the place of ``target``, which is back where that fails."""
    # A folder cannot be renamed over another: the old one steps aside.
    if not target.is_dir() and not made.is_dir():
        made.replace(target)
        return
    with _turn(target.parent):
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
def _turn(folder: Path) -> Iterator[None]:
    """Let one process at a time exchange what lies in a folder; others wait, for two renames."""
    file = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems know no lock of a folder.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
