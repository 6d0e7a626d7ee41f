"""What people say an expression is -> lines of a file and, where they consent, pictures of faces.

A folder holds ``feedback.jsonl``, a line for each entry, which only grows, and
``pictures/SHA256.png``, gray faces named by the digest of their file. All of it is for its owner
only; nothing says who sent it or when in the day. `unveil serve --feedback FOLDER` writes it,
`unveil data feedback FOLDER` reads it. Who removes a picture's file has taken the picture back.
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

from unveil import journal
from unveil.errors import UserError
from unveil.files import replacing
from unveil.images import Pixels
from unveil.locks import wait

LINES, PICTURES = "feedback.jsonl", "pictures"


class Filled(Exception):
    """There are as many entries as may be kept."""


@dataclass(frozen=True)
class Entry:
    """What one person said: the expression it is, and what was answered.

    ``picture`` is the SHA-256 of the file of a face that was consented to, ``model`` the start of
    the digest of the bundle that served then, ``date`` a day, UTC.
    """

    date: str
    emotion: str
    answered: str | None
    model: str
    picture: str | None = None


class Folder:
    """Where feedback is kept, ``most`` entries of it."""

    def __init__(self, path: Path, most: int) -> None:
        """Make the folder; ``UserError`` where that cannot be, or where it is open to others."""
        self.path, self._most = path, most
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.stat().st_mode & 0o077:
                raise UserError(f"{path} is open to others; chmod 700 {path}")
            (path / PICTURES).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(f"{path} cannot be made: {str(error.strerror).lower()}") from None

    def keep(self, entry: Entry, picture: bytes | None = None) -> None:
        """Add an entry and the file of its picture; raises ``Filled``, or ``UserError``."""
        with self._turn():
            if self._counted() >= self._most:
                raise Filled
            # The line first: a picture without a word of consent is never there.
            journal.append(self.path / LINES, asdict(entry), mode=0o600)
            if picture is not None:
                _write(self.path / PICTURES / f"{entry.picture}.png", picture)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # Other servers may keep theirs in the same folder, in which nothing but feedback lies.
        folder = os.open(self.path, os.O_RDONLY)
        try:
            wait(folder, self.path / LINES)
            yield
        finally:
            os.close(folder)

    def _counted(self) -> int:
        path = self.path / LINES
        return path.read_bytes().count(b"\n") if path.exists() else 0


def encoded(face: Pixels) -> tuple[str, bytes]:
    """Write a face as PNG, of its pixels alone; gives the file's SHA-256, too."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "PNG")
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest(), content


def read(folder: Path) -> Iterator[Entry]:
    """Read all entries; ``UserError`` names a line that is none."""
    path = folder / LINES
    if not path.is_file():
        raise UserError(f"{path} is not there; `unveil serve --feedback {folder}` makes it")
    known = ", ".join(field.name for field in fields(Entry))
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line:
            continue
        try:
            content = json.loads(line)
            yield _checked(Entry(**content))
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"{path}, line {number} is no entry of {known}") from None


def _checked(entry: Entry) -> Entry:
    # A picture's name becomes that of a file: it may lead nowhere else.
    named = entry.picture is None or re.fullmatch("[0-9a-f]{64}", entry.picture)
    if not named or not isinstance(entry.emotion, str):
        raise ValueError
    return entry


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        return
    with replacing(path) as made:
        file = os.open(made, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
