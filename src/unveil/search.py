"""Is somebody in this file? Looks into archives, arrays, tables and texts for faces and names.

Takes a file and a ``Person``; `unveil data erase` decides and proves by it.
"""

import html
import io
import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil import archive as archives
from unveil.images import SUFFIXES, Limits, Pixels, UnreadableImage, decode, resize
from unveil.looks import digest

_ANY = 1 << 30
LIMITS = Limits(_ANY, max_pixels=1 << 28, min_side=1, max_side=_ANY, max_scans=_ANY, max_parts=_ANY)
"""A picture is looked for whether or not it would be accepted today."""
PIECE = 64  # bytes of a picture's file that no other file has by chance


@dataclass(frozen=True)
class Person:
    """The member names of somebody's pictures, and their files by the digest of their pixels."""

    members: frozenset[str]
    pictures: dict[str, bytes]

    @cached_property
    def named(self) -> re.Pattern[bytes]:
        """What a text has where it names a picture: a member, also as JSON or HTML, or a digest."""
        written = {
            form.encode()
            for name in self.members
            for form in (name, json.dumps(name)[1:-1], html.escape(name))
        }
        names = b"|".join(map(re.escape, sorted(written)))
        digests = sorted(digest.encode() for digest in self.pictures)
        return re.compile(b"|".join([rb"(?<![\w./-])(?:" + names + rb")(?![\w-])", *digests]))

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


def holds(path: Path, person: Person) -> bool:
    """Say whether somebody is in a file: a picture, its pixels as packed, or its name."""
    if is_archive(path):
        return bool(members(path, person)) or _attributed(path, person)
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        return _listed(content, person)
    if content.startswith((b"PK", b"\x93NUMPY")) and _packed(path, person):
        return True
    return any(piece in content for piece in person.pieces) or bool(person.named.search(content))


def _attributed(path: Path, person: Person) -> bool:
    with archives.opened(path) as archive:
        tables = [name for name in archive.namelist() if name.endswith(archives.ATTRIBUTES)]
        return any(person.named.search(archive.read(name)) for name in tables)


def _packed(path: Path, person: Person) -> bool:
    try:
        arrays = _arrays(path)
    except (zipfile.BadZipFile, ValueError):
        return False
    return any(_pictured(one, person) for one in arrays if one.dtype == np.uint8 and one.ndim > 2)


def _arrays(path: Path) -> list[NDArray[Any]]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return [loaded]
    with loaded:
        return list(loaded.values())


def _pictured(faces: Pixels, person: Person) -> bool:
    wanted = {resize(one, faces.shape[1]).tobytes() for one in person.pixels}
    return any(face.tobytes() in wanted for face in faces)


def _listed(content: bytes, person: Person) -> bool:
    table = pd.read_parquet(io.BytesIO(content))
    if not {"member", "sha256"} <= set(table.columns):
        return False
    unreadable = table["member"].isin(person.members) & (table["sha256"] == "")
    if (table["sha256"].isin(person.pictures) | unreadable).any():
        return True
    # A split's rows may name a twin in another, in words or by its digest.
    told = table[[name for name in ("fault", "twins") if name in table]].to_numpy(dtype=str)
    return bool(person.named.search("\n".join(told.ravel()).encode()))
