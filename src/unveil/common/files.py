"""Atomic file writes, temporary folders and checked reading of artifacts."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.common import atomic_swap, missing_files
from unveil.common.errors import UserError, reason

if TYPE_CHECKING:
    import pandas as pd

TEMPORARY_PREFIX = ".unveil-"
"""Prefix of the names of temporary folders; listed in .dvcignore."""
TEMPORARY_NAME = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}.+-[^-]+")
"""Full name of a temporary folder: prefix, target and random suffix. `.unveil-notes` is not one."""

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EROFS, errno.EPERM}


@contextmanager
def atomic_write(target: Path, *, at_once: bool = False) -> Iterator[Path]:
    """Yield a temporary path that replaces ``target`` when the block succeeds.

    The block may create a file or a folder there. If it fails or is interrupted, the target is
    unchanged and the temporary path is removed. With ``at_once`` a folder is exchanged in one step
    where the system supports it, so that concurrent readers always find one.

    Raises:
        UserError: the disk is full, over quota or not writable.
    """
    try:
        with _workspace(target) as workspace:
            made = workspace / target.name
            yield made
            _flush(made)
            if not (at_once and atomic_swap.exchange(made, target)):
                atomic_swap.replace(target, made, aside=workspace / f"{target.name}.old")
    except OSError as error:
        # The block may also fail to read another file, which is not reported as a write error.
        is_target = str(error.filename or "").startswith(str(target.parent))
        if error.errno in _DISK_FULL or (error.errno in _NOT_WRITABLE and is_target):
            raise UserError(f"{target} cannot be written: {str(error.strerror).lower()}") from error
        raise


@contextmanager
def _workspace(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(target.name, target.parent) as folder:
        yield folder


@contextmanager
def temporary_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield a temporary folder in ``parent`` (default: the system's) and remove it at the end.

    It is locked while the process lives: `remove_stale` removes those of killed processes.
    """
    parent = parent or Path(tempfile.gettempdir())
    remove_stale(parent)
    folder, lock = _locked_folder(name, parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(name: str, parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}{name}-", dir=parent))
        # Another process may remove it before it is locked: then create another one.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks, where nothing is removed either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def remove_stale(parent: Path) -> list[Path]:
    """Remove temporary folders of killed processes in ``parent``; return those still in use."""
    ours = (
        folder
        for folder in parent.glob(f"{TEMPORARY_PREFIX}*")
        if TEMPORARY_NAME.fullmatch(folder.name)
    )
    return [folder for folder in ours if not _remove_if_stale(folder)]


def _remove_if_stale(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _restore(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    except OSError:
        return False
    finally:
        os.close(lock)


def _restore(workspace: Path) -> None:
    """Restore a folder that had been moved aside when the process was killed."""
    for aside in workspace.glob("*.old"):
        target = workspace.parent / aside.stem
        if workspace.name.startswith(f"{TEMPORARY_PREFIX}{target.name}-") and not target.exists():
            aside.replace(target)


def _flush(made: Path) -> None:
    # Without fsync before the rename, a file could be empty after a power failure.
    for path in [made, *made.rglob("*")]:
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def write_json(target: Path, content: Any) -> None:
    """Write ``content`` atomically as sorted, indented JSON."""
    with atomic_write(target) as path:
        path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


@contextmanager
def reading_artifact(path: Path, *, made_by: str) -> Iterator[None]:
    """Turn any error while reading an artifact into a ``UserError`` naming the command to run.

    The block reads the file with any library; ``made_by`` is the command that makes the file.
    """
    require_path(path, made_by=made_by)
    try:
        yield
    except UserError:
        raise
    # zipfile, zlib, HDF5 and Arrow raise their own exceptions, which have no common base.
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        message = reason(error).replace(str(path), "it")
        raise UserError(f"{path} cannot be read: {message}; run `{made_by}` again") from error


def read_json(path: Path, *, made_by: str) -> Any:
    """Read a JSON artifact, which is an object.

    Raises ``UserError`` with the command to run if it is absent, damaged or not an object.
    """
    with reading_artifact(path, made_by=made_by):
        content = json.loads(
            path.read_text(), object_hook=lambda read: _Content(read, path, made_by=made_by)
        )
        if not isinstance(content, dict):
            raise ValueError(f"it is not an object but of type {type(content).__name__}")
        return content


class MissingKey(UserError, KeyError):
    """A key missing from an artifact, which is damaged or from another version."""

    def __str__(self) -> str:
        return str(self.args[0])


class _Content(dict[str, Any]):
    """An object of a JSON artifact; a missing key raises ``MissingKey`` naming the file."""

    def __init__(self, read: Any = (), path: Path | None = None, *, made_by: str = "") -> None:
        super().__init__(read)
        self._origin = (path, made_by)

    def __missing__(self, key: str) -> Any:
        path, made_by = self._origin
        if path is None:  # a copy made by `dataclasses.asdict`
            raise KeyError(key)
        raise MissingKey(f"{path} has no {key!r}; run `{made_by}` again")


def read_parquet(path: Path, *, made_by: str, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet table; raises ``UserError`` with the command to run if absent or damaged."""
    import pandas as pd

    # Opened here, because given a folder pandas would read all its files.
    with reading_artifact(path, made_by=made_by), path.open("rb") as file:
        return pd.read_parquet(file, columns=columns)


def require_path(path: Path, *, made_by: str) -> Path:
    """Return ``path``; if absent, raise ``UserError`` with the command to restore or make it."""
    if not path.exists():
        raise UserError(missing_files.restore_hint(path) or f"{path} not found; run `{made_by}`")
    return path


def sha256(path: Path) -> str:
    """Return the sha256 of a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
