"""Search a file for a person's images and their names.

Searches all parts that `file_contents` extracts; used by `unveil data erase`.
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

from unveil.data import archive as archives
from unveil.data.decoding import SUFFIXES, Pixels, UnreadableImage, decode
from unveil.data.fingerprints import digest
from unveil.privacy import file_contents
from unveil.privacy.face_match import is_in_array, is_in_picture
from unveil.privacy.file_contents import LIMITS
from unveil.privacy.file_parts import Array, Buffer, Part, Picture, Table, Text, Unsearched
from unveil.privacy.sqlite_search import OLD_FRAMES, WAL_SIGNATURES, apply_wal, has_old_frames

SIGNATURE_BYTES = 64  # bytes of an image file that no other file has by chance


@dataclass(frozen=True)
class Person:
    """The member names of a person's images, and the image files by the digest of their pixels."""

    members: frozenset[str]
    pictures: dict[str, bytes]

    @cached_property
    def name_pattern(self) -> re.Pattern[bytes]:
        """A regex that matches the member names and digests in a text."""
        names = b"|".join(re.escape(name.encode()) for name in sorted(self.members))
        digests = sorted(digest.encode() for digest in self.pictures)
        return re.compile(b"|".join([rb"(?<![\w./-])(?:" + names + rb")(?![\w-])", *digests]))

    def mentions(self, words: bytes) -> bool:
        """Return whether a text names an image, plain or escaped (JSON, HTML, CSV, URL)."""
        return any(self.name_pattern.search(form) for form in _decodings(words))

    @cached_property
    def signatures(self) -> tuple[bytes, ...]:
        """Byte sequences of the image files and of their pixels, which identify a copy."""
        whole = [*self.pictures.values(), *(one.tobytes() for one in self.pixels)]
        cut = (one[len(one) // 2 :][:SIGNATURE_BYTES] for one in whole)
        return tuple(
            piece for piece in cut if len(piece) == SIGNATURE_BYTES and len(set(piece)) > 16
        )

    @cached_property
    def pixels(self) -> tuple[Pixels, ...]:
        """The decoded images."""
        return tuple(decode(content, LIMITS).pixels for content in self.pictures.values())

    def with_members(self, members: Iterable[str]) -> "Person":
        """Return a copy with more member names."""
        return replace(self, members=self.members | set(members))


def _decodings(words: bytes) -> Iterator[bytes]:
    yield words
    text = words.decode("utf-8", "replace")
    plain = html.unescape(text) if "&" in text else text
    for escape, unescape in ESCAPES.items():
        if escape in text:
            yield unescape(plain).encode("utf-8", "replace")


def _unescape(text: str) -> str:
    """Undo the escapes of JSON and Markdown."""
    coded = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    whole = coded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return re.sub(r"\\([^\w\s])", r"\1", re.sub(r"\\[nrt]", "\n", whole))


ESCAPES: dict[str, Callable[[str], str]] = {
    "&": str,
    "\\": _unescape,
    '""': lambda text: text.replace('""', '"'),
    "%": unquote,
}


def read_picture(archive: zipfile.ZipFile, name: str) -> tuple[str, bytes] | None:
    """Return the pixel digest and the file of an archive member; ``None`` if unreadable."""
    try:
        content = archives.read_member(archive, name, max_bytes=LIMITS.max_bytes)
        return digest(decode(content, LIMITS).pixels), content
    except UnreadableImage:
        return None


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip archive with images."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(image_names(archive))
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def image_names(archive: zipfile.ZipFile) -> list[str]:
    """List the images of an archive, including those without a class."""
    names = archive.namelist()
    return [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]


def members_of(path: Path, person: Person) -> list[str]:
    """List the members of an archive that are a person's images, whatever their names."""
    with archives.open_archive(path) as archive:
        found = ((name, read_picture(archive, name)) for name in image_names(archive))
        return [
            name
            for name, seen in found
            if (seen[0] in person.pictures if seen else name in person.members)
        ]


@dataclass(frozen=True)
class SearchResult:
    """Whether a file contains a person's images, and the parts that were not searched, and why."""

    found: bool
    unsearched: tuple[str, ...] = ()

    def for_file(self, name: str) -> "SearchResult":
        """Return a copy with a file name before each reason; without reasons if found."""
        return SearchResult(
            self.found, () if self.found else tuple(f"{name}{one}" for one in self.unsearched)
        )


def contains(path: Path, person: Person) -> bool:
    """Return whether a file contains a person's image, its packed pixels or its name."""
    return search_file(path, person).found


def search_file(path: Path, person: Person, *, names: bool = True) -> SearchResult:
    """Search a file for a person; without ``names`` for images only."""
    try:
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return SearchResult(found=False)
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        whole = _with_database(path, content)
    except OSError as error:
        return SearchResult(False, (f": cannot be read: {str(error.strerror).lower()}",))
    except ValueError as error:
        return SearchResult(False, (f": is a write-ahead log that cannot be read: {error}",))
    result = _search_content(whole, person, names)
    if whole is content or not has_old_frames(content[:]):
        return result
    return SearchResult(result.found, (*result.unsearched, f": {OLD_FRAMES}"))


def _with_database(path: Path, content: mmap.mmap) -> Buffer:
    """Return the content of a file; for a write-ahead log, its database with the log applied."""
    database = path.with_name(path.name.removesuffix("-wal"))
    if database == path or content[:4] not in WAL_SIGNATURES or not database.is_file():
        return content
    return apply_wal(content[:], database.read_bytes())


def _search_content(content: Buffer, person: Person, names: bool) -> SearchResult:
    if any(content.find(piece) >= 0 for piece in person.signatures):
        return SearchResult(found=True)
    unsearched = []
    for part in file_contents.parts(content):
        if isinstance(part, Unsearched):
            unsearched.append(f"{part.location}: {part.reason}")
        elif _is_in(part, person, names):
            return SearchResult(found=True)
    # A file of an unknown type may still contain a name as plain text.
    found = bool(unsearched) and names and content[:2] != b"PK" and person.mentions(content[:])
    return SearchResult(found, tuple(unsearched))


def _is_in(part: Part, person: Person, names: bool) -> bool:
    match part:
        case Text():
            return names and person.mentions(part.content)
        case Picture(pixels=None):
            return names and part.name in person.members
        case Picture(pixels=pixels) if pixels is not None:
            return digest(pixels) in person.pictures or is_in_picture(pixels, person.pixels)
        case Array():
            return is_in_array(part.values, person.pixels)
        case Table():
            return names and _is_in_table(part.rows, person)
    return False


def _is_in_table(table: pd.DataFrame, person: Person) -> bool:
    words = table.select_dtypes(exclude="number").map(str)
    if not {"member", "sha256"} <= set(table.columns):
        return person.mentions("\n".join(words.to_numpy().ravel()).encode())
    unreadable = table["member"].isin(person.members) & (table["sha256"] == "")
    if (table["sha256"].isin(person.pictures) | unreadable).any():
        return True
    # A row may refer to a duplicate in another split, by its name or its digest.
    references = words[[name for name in ("fault", "twins") if name in table]]
    return person.mentions("\n".join(references.to_numpy().ravel()).encode())
