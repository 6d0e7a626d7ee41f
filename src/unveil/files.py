"""Files appear whole or not at all: write beside the target, then rename."""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOCKED = {errno.EACCES, errno.EROFS}
_HERE = -100  # AT_FDCWD: a relative path is of the working directory


@contextmanager
def replacing(target: Path, *, at_once: bool = False) -> Iterator[Path]:
    """Yield a temporary path that takes the place of ``target`` when the block succeeds.

    The block may make a file or a folder there. When it fails, or is interrupted, the target
    is as it was and the temporary path is gone. A disk that is full, over its quota or not to be
    written to becomes a ``UserError``. A folder that others read is exchanged ``at_once``, where
    the system can: they find the old or the new one, never none.
    """
    try:
        with _workspace(target) as workspace:
            made = workspace / target.name
            yield made
            _flush(made)
            if at_once and _exchanged(made, target):
                return
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
    for path in [made, *made.rglob("*")]:
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _exchanged(made: Path, target: Path) -> bool:
    # Python has no name for Linux's renameat2, nor for its flag RENAME_EXCHANGE, 2.
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    paths = (_HERE, os.fsencode(made), _HERE, os.fsencode(target))
    return target.is_dir() and rename(*paths, ctypes.c_uint(2)) == 0


def _replace(target: Path, made: Path, *, aside: Path) -> None:
    # A folder cannot be renamed over another: the old one steps aside, and back if that fails.
    if not target.is_dir():
        made.replace(target)
        return
    target.replace(aside)
    try:
        made.replace(target)
    except BaseException:
        aside.replace(target)
        raise


def write_json(target: Path, content: Any) -> None:
    """Write ``content`` as sorted, indented JSON, whole or not at all."""
    with replacing(target) as path:
        path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, *, made_by: str) -> Any:
    """Read a JSON artefact; when it is absent, say which command makes it."""
    return json.loads(existing(path, made_by=made_by).read_text())


def existing(path: Path, *, made_by: str) -> Path:
    """Give ``path`` back, or say which command makes it."""
    if not path.exists():
        raise UserError(f"{path} is not there; `{made_by}` makes it")
    return path


def sha256(path: Path) -> str:
    """Digest a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Digest every file below a folder (sha256), by its path within it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
