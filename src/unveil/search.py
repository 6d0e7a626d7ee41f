"""Is somebody in this file? Looks into all that `contents` finds there for faces and names.

Takes a file and a ``Person``; `unveil data erase` decides and proves by it.
"""

import html
import mmap
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pandas as pd

from unveil import archive as archives
from unveil import contents
from unveil.alike import is_among, is_part
from unveil.contents import LIMITS
from unveil.databases_inside import LOG, logged, stale
from unveil.images import SUFFIXES, Pixels, UnreadableImage, decode
from unveil.looks import digest
from unveil.parts import Buffer, Part, Picture, Stack, Table, Text, Unread

PIECE = 64  # bytes of a picture's file that no other file has by chance


@dataclass(frozen=True)
class Person:
    """The member names of somebody's pictures, and their files by the digest of their pixels."""

    members: frozenset[str]
    pictures: dict[str, bytes]

    @cached_property
    def named(self) -> re.Pattern[bytes]:
        """What a text has where it names a picture: a member, or a digest."""
        names = b"|".join(re.escape(name.encode()) for name in sorted(self.members))
        digests = sorted(digest.encode() for digest in self.pictures)
        return re.compile(b"|".join([rb"(?<![\w./-])(?:" + names + rb")(?![\w-])", *digests]))

    def is_named(self, words: bytes) -> bool:
        """Say whether a text names a picture, plainly or as JSON, HTML, CSV, or a URL write it."""
        return any(self.named.search(form) for form in _forms(words))

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """What a file has that holds a copy of a picture's file, or of its pixels."""
        whole = [*self.pictures.values(), *(one.tobytes() for one in self.pixels)]
        cut = (one[len(one) // 2 :][:PIECE] for one in whole)
        return tuple(piece for piece in cut if len(piece) == PIECE and len(set(piece)) > 16)

    @cached_property
    def pixels(self) -> tuple[Pixels, ...]:
        """The pictures, decoded."""
        return tuple(decode(content, LIMITS).pixels for content in self.pictures.values())

    def also(self, members: Iterable[str]) -> "Person":
        """Give the same with more names."""
        return replace(self, members=self.members | set(members))


def _forms(words: bytes) -> Iterator[bytes]:
    yield words
    text = words.decode("utf-8", "replace")
    plain = html.unescape(text) if "&" in text else text
    for escape, unescape in ESCAPES.items():
        if escape in text:
            yield unescape(plain).encode("utf-8", "replace")


def _unescaped(text: str) -> str:
    """Undo the escapes of JSON, and of Markdown."""
    coded = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    whole = coded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return re.sub(r"\\([^\w\s])", r"\1", re.sub(r"\\[nrt]", "\n", whole))


ESCAPES: dict[str, Callable[[str], str]] = {
    "&": str,
    "\\": _unescaped,
    '""': lambda text: text.replace('""', '"'),
    "%": unquote,
}


def picture(archive: zipfile.ZipFile, name: str) -> tuple[str, bytes] | None:
    """Give a member's digest and file; ``None`` where it cannot be read."""
    try:
        content = archives.content(archive, name, max_bytes=LIMITS.max_bytes)
        return digest(decode(content, LIMITS).pixels), content
    except UnreadableImage:
        return None


def is_archive(path: Path) -> bool:
    """Say whether a file is an archive with images."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(images(archive))
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def images(archive: zipfile.ZipFile) -> list[str]:
    """Name the images of an archive, also those of no class."""
    names = archive.namelist()
    return [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]


def members(path: Path, person: Person) -> list[str]:
    """Name the members of an archive that are somebody's, whatever they are called there."""
    with archives.opened(path) as archive:
        found = ((name, picture(archive, name)) for name in images(archive))
        return [
            name
            for name, seen in found
            if (seen[0] in person.pictures if seen else name in person.members)
        ]


@dataclass(frozen=True)
class Verdict:
    """Whether somebody is in a file, and what of it was not looked into, each with the reason."""

    held: bool
    unread: tuple[str, ...] = ()

    def of(self, name: str) -> "Verdict":
        """Give the same, told about a file of this name; of one that is held nothing is unread."""
        return Verdict(self.held, () if self.held else tuple(f"{name}{one}" for one in self.unread))


def holds(path: Path, person: Person) -> bool:
    """Say whether somebody is in a file: a picture, its pixels as packed, or its name."""
    return inspect(path, person).held


def inspect(path: Path, person: Person, *, names: bool = True) -> Verdict:
    """Look for somebody in a file; without ``names`` for pictures alone."""
    try:
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return Verdict(held=False)
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        whole = _whole(path, content)
    except OSError as error:
        return Verdict(False, (f": cannot be read: {str(error.strerror).lower()}",))
    except ValueError as error:
        return Verdict(False, (f": is a log that cannot be read: {error}",))
    verdict = _inspected(whole, person, names)
    if whole is content or not stale(content[:]):
        return verdict
    return Verdict(verdict.held, (*verdict.unread, ": holds pages of before it was begun anew"))


def _whole(path: Path, content: mmap.mmap) -> Buffer:
    """Give a file; a log of SQLite with the database that lies beside it."""
    beside = path.with_name(path.name.removesuffix("-wal"))
    if beside == path or content[:4] not in LOG or not beside.is_file():
        return content
    return logged(content[:], beside.read_bytes())


def _inspected(content: Buffer, person: Person, names: bool) -> Verdict:
    if any(content.find(piece) >= 0 for piece in person.pieces):
        return Verdict(held=True)
    unread = []
    for part in contents.parts(content):
        if isinstance(part, Unread):
            unread.append(f"{part.where}: {part.why}")
        elif _is_in(part, person, names):
            return Verdict(held=True)
    # What is of no known kind may still name somebody in plain words.
    held = bool(unread) and names and content[:2] != b"PK" and person.is_named(content[:])
    return Verdict(held, tuple(unread))


def _is_in(part: Part, person: Person, names: bool) -> bool:
    match part:
        case Text():
            return names and person.is_named(part.words)
        case Picture(pixels=None):
            return names and part.name in person.members
        case Picture(pixels=pixels) if pixels is not None:
            return digest(pixels) in person.pictures or is_part(pixels, person.pixels)
        case Stack():
            return is_among(part.numbers, person.pixels)
        case Table():
            return names and _listed(part.rows, person)
    return False


def _listed(table: pd.DataFrame, person: Person) -> bool:
    words = table.select_dtypes(exclude="number").map(str)
    if not {"member", "sha256"} <= set(table.columns):
        return person.is_named("\n".join(words.to_numpy().ravel()).encode())
    unreadable = table["member"].isin(person.members) & (table["sha256"] == "")
    if (table["sha256"].isin(person.pictures) | unreadable).any():
        return True
    # A split's rows may name a twin in another, in words or by its digest.
    told = words[[name for name in ("fault", "twins") if name in table]]
    return person.is_named("\n".join(told.to_numpy().ravel()).encode())
