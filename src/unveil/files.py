"""Files appear whole or not at all: write beside the target, then rename."""

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

from unveil import swap, tracked
from unveil.errors import UserError, reason

if TYPE_CHECKING:
    import pandas as pd

HALF_MADE = ".unveil-"
"""How the name of a folder begins in which something is made; .dvcignore knows it."""
OURS = re.compile(rf"{re.escape(HALF_MADE)}.+-[^-]+")
"""Its whole name, what is made and a random end; `.unveil-notes` is a person's and not swept."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LOCKED = {errno.EACCES, errno.EROFS, errno.EPERM}


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
            if not (at_once and swap.exchanged(made, target)):
                swap.replace(target, made, aside=workspace / f"{target.name}.old")
    except OSError as error:
        # What the block reads may be locked too; that is another file's name.
        ours = str(error.filename or "").startswith(str(target.parent))
        if error.errno in _FULL or (error.errno in _LOCKED and ours):
            raise UserError(f"{target} cannot be written: {str(error.strerror).lower()}") from error
        raise


@contextmanager
def _workspace(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary(target.name, target.parent) as folder:
        yield folder


@contextmanager
def temporary(name: str, place: Path | None = None) -> Iterator[Path]:
    """Give a folder below ``place``, or the system's temporary one, that is removed at the end.

    It is locked as long as its process lives: `sweep` removes what a killed one left.
    """
    place = place or Path(tempfile.gettempdir())
    sweep(place)
    folder, lock = _locked_folder(name, place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(name: str, place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{HALF_MADE}{name}-", dir=place))
        # Before it is locked another process may sweep it: then another one is made.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks, where nothing is swept either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def sweep(place: Path) -> list[Path]:
    """Remove what killed processes left half-made in a folder; gives what living ones make now."""
    ours = (folder for folder in place.glob(f"{HALF_MADE}*") if OURS.fullmatch(folder.name))
    return [folder for folder in ours if not _swept(folder)]


def _swept(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _put_back(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    except OSError:
        return False
    finally:
        os.close(lock)


def _put_back(workspace: Path) -> None:
    """Put a folder back that had stepped aside for a new one when its process was killed."""
    for aside in workspace.glob("*.old"):
        target = workspace.parent / aside.stem
        if workspace.name.startswith(f"{HALF_MADE}{target.name}-") and not target.exists():
            aside.replace(target)


def _flush(made: Path) -> None:
    # Renamed before its content is on the disk, a file would be empty after a loss of power.
    for path in [made, *made.rglob("*")]:
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


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
    """Read a JSON artefact; when it is absent, damaged or no object, say which command makes it."""
    with reading(path, made_by=made_by):
        read = json.loads(
            path.read_text(), object_hook=lambda read: _Content(read, path, made_by=made_by)
        )
        if not isinstance(read, dict):
            raise ValueError(f"it holds no object but a {type(read).__name__}")
        return read


class Missing(UserError, KeyError):
    """What a file should say and does not: it is of another version, or damaged."""

    def __str__(self) -> str:
        return str(self.args[0])


class _Content(dict[str, Any]):
    """What stands in a JSON artefact; a key that is absent names the file."""

    def __init__(self, read: Any = (), path: Path | None = None, *, made_by: str = "") -> None:
        super().__init__(read)
        self._said = (path, made_by)

    def __missing__(self, key: str) -> Any:
        path, made_by = self._said
        if path is None:  # a copy, which `dataclasses.asdict` makes of the content alone
            raise KeyError(key)
        raise Missing(f"{path} has no {key!r}; `{made_by}` makes it anew")


def read_parquet(path: Path, *, made_by: str, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a table; when it is absent or damaged, say which command makes it."""
    import pandas as pd

    # Opened by us: of a folder pandas would read all files.
    with reading(path, made_by=made_by), path.open("rb") as file:
        return pd.read_parquet(file, columns=columns)


def existing(path: Path, *, made_by: str) -> Path:
    """Give ``path`` back, or say what brings it back or, where nobody has it, makes it."""
    if not path.exists():
        raise UserError(tracked.lost(path) or f"{path} is not there; `{made_by}` makes it")
    return path


def sha256(path: Path) -> str:
    """Digest a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Digest every file below a folder (sha256), by its path within it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
