"""Storage of user feedback: corrected expressions and, with consent, pictures of faces.

A folder has the append-only ``feedback.jsonl``, one line for each entry, and
``pictures/SHA256.png``, gray faces named by the digest of their file. It is readable only by its
owner, and records neither the sender nor the time of day. `unveil serve --feedback FOLDER` writes
it, `unveil data feedback FOLDER` reads it. A picture is withdrawn by removing its file.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from PIL import Image

from unveil.common import audit_log
from unveil.common.errors import UserError
from unveil.common.files import atomic_write
from unveil.common.locks import acquire
from unveil.data.decoding import Pixels

LINES, PICTURES = "feedback.jsonl", "pictures"


class FeedbackFull(Exception):
    """The folder has the maximum number of entries."""


@dataclass(frozen=True)
class FeedbackEntry:
    """One feedback entry: the expression given by the user, and the model's answer.

    ``picture`` is the SHA-256 of the picture's file, if the user consented; ``model`` is the start
    of the digest of the serving bundle; ``date`` is a day (UTC).
    """

    date: str
    emotion: str
    answered: str | None
    model: str
    picture: str | None = None


class FeedbackFolder:
    """A folder for at most ``most`` feedback entries."""

    def __init__(self, path: Path, most: int) -> None:
        """Create the folder; raises ``UserError`` if that fails or it is accessible to others."""
        self.path, self._most = path, most
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.stat().st_mode & 0o077:
                raise UserError(f"{path} is accessible to others; run chmod 700 {path}")
            (path / PICTURES).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(f"{path} cannot be created: {str(error.strerror).lower()}") from None

    def keep(self, entry: FeedbackEntry, picture: bytes | None = None) -> None:
        """Add an entry and its picture; raises ``FeedbackFull`` or ``UserError``."""
        with self._locked():
            if self._count() >= self._most:
                raise FeedbackFull
            # The entry first, so that no picture is ever stored without a record of consent.
            audit_log.append(self.path / LINES, asdict(entry), mode=0o600)
            if picture is not None:
                _write(self.path / PICTURES / f"{entry.picture}.png", picture)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Several servers may write to the same folder.
        folder = os.open(self.path, os.O_RDONLY)
        try:
            acquire(folder, self.path / LINES)
            yield
        finally:
            os.close(folder)

    def _count(self) -> int:
        path = self.path / LINES
        return path.read_bytes().count(b"\n") if path.exists() else 0


def encode_png(face: Pixels) -> tuple[str, bytes]:
    """Encode a face as PNG without metadata; return the SHA-256 of the file and its content."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest(), content


def read(folder: Path) -> Iterator[FeedbackEntry]:
    """Read all entries; raises ``UserError`` with the number of an invalid line."""
    path = folder / LINES
    if not path.is_file():
        raise UserError(f"{path} not found; `unveil serve --feedback {folder}` creates it")
    known = ", ".join(field.name for field in fields(FeedbackEntry))
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line:
            continue
        try:
            content = json.loads(line)
            yield _validate(FeedbackEntry(**content))
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"{path}, line {number} is not an entry with {known}") from None


def _validate(entry: FeedbackEntry) -> FeedbackEntry:
    # The name of a picture becomes a file name: it must not be a path.
    named = entry.picture is None or re.fullmatch("[0-9a-f]{64}", entry.picture)
    if not named or not isinstance(entry.emotion, str):
        raise ValueError
    return entry


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        return
    with atomic_write(path) as made:
        file = os.open(made, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
