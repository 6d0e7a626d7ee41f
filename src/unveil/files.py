"""Files appear whole or not at all: write beside the target, then rename."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.errors import UserError, reason

if TYPE_CHECKING:
    import pandas as pd

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LOCKED = {errno.EACCES, errno.EROFS, errno.EPERM}


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of ``target`` when the block succeeds.

    The block may make a file or a folder there. When it fails, or is interrupted, the target
    is as it was and the temporary path is gone. A disk that is full, over its quota or not to be
    written to becomes a ``UserError``.
    """
    try:
        with _workspace(target) as workspace:
            made = workspace / target.name
            yield made
            _flush(made)
            _replace(target, made, aside=workspace / f"{target.name}.old")
    except OSError as error:
        # What the block reads may be locked too; that is another file's name.
        ours = str(error.filename or "").startswith(str(target.parent))
        if error.errno in _FULL or (error.errno in _LOCKED and ours):
            raise UserError(f"{target} cannot be written: {str(error.strerror).lower()}") from error
        raise


@contextmanager
def _workspace(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    # .dvcignore knows the name: a kill may leave such a folder behind.
    folder = Path(tempfile.mkdtemp(prefix=f".unveil-{target.name}-", dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-made in a folder that nobody else writes to now."""
    for workspace in folder.glob(".unveil-*"):
        shutil.rmtree(workspace, ignore_errors=True)


def _flush(made: Path) -> None:
    # Renamed before its content is on the disk, a file would be empty after a loss of power.
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())


def _replace(target: Path, made: Path, *, aside: Path) -> None:
    # A folder cannot be renamed over another: the old one steps aside, and back if that fails.
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


def write_json(target: Path, content: Any) -> None:
    """Write ``content`` as sorted, indented JSON, whole or not at all."""
    with replacing(target) as path:
        path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


@contextmanager
def reading(path: Path, *, made_by: str) -> Iterator[None]:
    """Have what cannot be read of a file be a ``UserError`` that says which command makes it.

    The block reads an artefact of ours with a library, whatever that raises for a damaged one.
    """
    existing(path, made_by=made_by)
    try:
        yield
    except UserError:
        raise
    # zipfile, zlib, HDF5 and Arrow each have exceptions of their own, which share no other.
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        said = reason(error).replace(str(path), "it")
        raise UserError(f"{path} cannot be read: {said}; `{made_by}` makes it anew") from error


def read_json(path: Path, *, made_by: str) -> Any:
    """Read a JSON artefact; when it is absent or damaged, say which command makes it."""
    with reading(path, made_by=made_by):
        return json.loads(
            path.read_text(), object_hook=lambda read: _Content(read, path, made_by=made_by)
        )


class Missing(UserError, KeyError):
    """What a file should say and does not: it is of another version, or damaged."""

    def __str__(self) -> str:
        return str(self.args[0])


class _Content(dict[str, Any]):
    """What stands in a JSON artefact; a key that is absent names the file."""

    def __init__(self, read: dict[str, Any], path: Path, *, made_by: str) -> None:
        super().__init__(read)
        self._said = (path, made_by)

    def __missing__(self, key: str) -> Any:
        path, made_by = self._said
        raise Missing(f"{path} has no {key!r}; `{made_by}` makes it anew")


def read_parquet(path: Path, *, made_by: str, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a table; when it is absent or damaged, say which command makes it."""
    import pandas as pd

    # Opened by us: of a folder pandas would read all files.
    with reading(path, made_by=made_by), path.open("rb") as file:
        return pd.read_parquet(file, columns=columns)


def existing(path: Path, *, made_by: str) -> Path:
    """Give ``path`` back, or say which command makes it."""
    if not path.exists():
        raise UserError(f"{path} is not there; `{made_by}` makes it")
    return path


def sha256(path: Path) -> str:
    """Digest a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
