"""A file -> the pictures, arrays and texts in it, or why it was not looked into.

Known are zips (archives of faces, npz, networks of Keras), arrays of numpy, parquet, Arrow, HDF5,
SQLite and its log, ONNX, pictures, texts with numbers or with bytes in letters, tar, gzip, bzip2
and xz, one in the other. Fonts and WebAssembly hold no pictures. Nothing is unpickled or run, and
no member is larger than ``MOST``.
"""

import bz2
import gzip
import io
import lzma
import re
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, Any

import pandas as pd
from google.protobuf.message import DecodeError
from PIL import Image

from unveil import bytes_inside, databases_inside, numbers_inside, tables_inside, texts_inside
from unveil.archive import DAMAGED
from unveil.images import FORMATS, SUFFIXES, Limits, UnreadableImage, decode
from unveil.parts import Buffer, Look, Part, Picture, Stack, Table, Text, Unread, opened

MOST = 1 << 31
"""Bytes of one member of an archive that are looked at."""
DEEP = 8
"""So many wraps, one in the other, are opened."""
_ANY = 1 << 30
LIMITS = Limits(
    _ANY,
    max_pixels=1 << 28,
    min_side=1,
    max_side=_ANY,
    max_scans=_ANY,
    max_parts=_ANY,
    max_notes=(),
)
"""A picture is looked for whether or not it would be accepted today."""
WITHOUT = (b"\0asm", b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0\0", b"\x18\xe2\x2d\0")
"""How files begin that hold no picture: WebAssembly, fonts, the index of SQLite's log."""
BROKEN: tuple[type[Exception], ...] = (
    *(*DAMAGED, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError, SyntaxError),
    *(NotImplementedError, Image.DecompressionBombError, lzma.LZMAError, tarfile.TarError),
    *(sqlite3.Error, DecodeError),
)
"""What the libraries raise on damaged files, each in its own way."""


def parts(content: Buffer, where: str = "", depth: int = 0) -> Iterator[Part]:
    """Give all that is in a file; ``where`` it is, in the file it came from."""
    head = bytes(content[:512])
    if not head or head.startswith(WITHOUT):
        return
    if depth > DEEP:
        yield Unread(where, f"lies in more than {DEEP} wraps")
        return
    look = next((look for known, look in KINDS if known(head)), None)
    try:
        if look is not None:
            yield from look(content, where, depth)
        elif (found := _pictures(content, where)) is not None:
            yield from found
        elif (words := _words(content)) is not None:
            yield from _text(words, where, depth)
        elif not numbers_inside.is_onnx(content):
            yield Unread(where, "is of a kind that is not known")
    except BROKEN as error:
        yield Unread(where, f"is damaged: {' '.join(str(error).split())[:100] or 'cut short'}")


def _zip(content: Buffer, where: str, depth: int) -> Iterator[Part]:
    with zipfile.ZipFile(opened(content)) as archive:
        for entry in archive.infolist():
            # What `unveil ingest` could not read has a reason in its place, and no bytes.
            if not entry.is_dir() and entry.file_size:
                yield from _member(archive, entry, f"{where}!{entry.filename}", depth)


def _member(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str, depth: int
) -> Iterator[Part]:
    if entry.flag_bits & 1:
        yield Unread(where, "is protected by a password")
    elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield Unread(where, f"is compressed in a way that is not supported, {entry.compress_type}")
    else:
        try:
            with archive.open(entry) as file:
                if entry.filename.endswith(".npy"):
                    yield from _cells(numbers_inside.arrays(file), where, depth)
                    return
                data = _bounded(file)
        except BROKEN as error:
            yield Unread(where, f"is damaged: {' '.join(str(error).split())[:100]}")
            return
        if PurePosixPath(entry.filename).suffix.lower() not in SUFFIXES:
            yield Text(entry.filename.encode("utf-8", "replace"))
            yield from parts(data, where, depth + 1)
        elif (found := _pictures(data, where)) is None:
            yield Picture(entry.filename, None, member=True)
            yield from parts(data, where, depth + 1)
        else:
            for one in found:
                if isinstance(one, Picture):
                    yield Picture(entry.filename, one.pixels, member=True)
                else:
                    yield one


def _bounded(file: IO[bytes]) -> bytes:
    data = file.read(MOST + 1)
    if len(data) > MOST:
        raise ValueError(f"more than {MOST} bytes")
    return data


def _unwrapped(opener: Callable[..., Any]) -> Look:
    def look(content: Buffer, where: str, depth: int) -> Iterator[Part]:
        with opener(opened(content)) as file:
            data = _bounded(file)
        yield from parts(data, f"{where}!", depth + 1)

    return look


def _tar(content: Buffer, where: str, depth: int) -> Iterator[Part]:
    with tarfile.open(fileobj=opened(content), mode="r:") as archive:
        for entry in archive:
            yield Text(entry.name.encode("utf-8", "replace"))
            file = archive.extractfile(entry) if entry.isfile() else None
            if file is not None:
                yield from parts(_bounded(file), f"{where}!{entry.name}", depth + 1)


def _by(reader: Callable[[IO[bytes]], Iterator[Any]]) -> Look:
    return lambda content, where, depth: _cells(reader(opened(content)), where, depth)


def _log(content: Buffer, where: str, depth: int) -> Iterator[Part]:
    """Give what a log of SQLite holds by itself: its words, and its pages where they are all."""
    whole = bytes(content)
    yield Text(whole)
    if databases_inside.stale(whole):
        yield Unread(where, "holds pages of before it was begun anew")
    yield from parts(databases_inside.logged(whole), where, depth + 1)


def _cells(cells: Iterator[Any], where: str, depth: int) -> Iterator[Part]:
    """Make parts of the numbers, texts, bytes and tables that a reader gives."""
    for cell in cells:
        if isinstance(cell, bytes):
            yield from _lenient(cell, where, depth)
        elif isinstance(cell, str):
            yield from _text(cell.encode("utf-8", "replace"), where, depth)
        elif isinstance(cell, Unread):
            yield Unread(f"{where}{cell.where}", cell.why)
        else:
            yield Table(cell) if isinstance(cell, pd.DataFrame) else Stack(cell)


def _pictures(content: Buffer, where: str) -> Iterator[Part] | None:
    """Give each frame of a picture; ``None`` where it is none."""
    try:
        with Image.open(opened(content), formats=(*FORMATS, "MPO", "ICO", "AVIF")) as image:
            frames = getattr(image, "n_frames", 1)
    except BROKEN:
        return None
    return _frames(content, where, frames)


def _frames(content: Buffer, where: str, frames: int) -> Iterator[Part]:
    name = where.rpartition("!")[2]
    try:
        if frames == 1:
            yield Picture(name, decode(bytes(content), LIMITS).pixels)
            return
    except UnreadableImage as error:
        yield Unread(where, f"is a picture that cannot be read: {error}")
        return
    with Image.open(opened(content)) as image:
        for place in range(frames):
            image.seek(place)
            still = io.BytesIO()
            image.convert("RGB").save(still, "PNG")
            yield Picture(name, decode(still.getvalue(), LIMITS).pixels)


def _words(content: Buffer) -> bytes | None:
    """Give a text in UTF-8; ``None`` where it is none."""
    whole = bytes(content)
    if whole.startswith((b"\xff\xfe", b"\xfe\xff")):
        with suppress(UnicodeDecodeError):
            return whole.decode("utf-16").encode()
    if b"\0" in whole:
        return None
    try:
        whole.decode()
        return whole
    except UnicodeDecodeError:
        odd = re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", whole)
        return None if odd else whole.decode("latin-1").encode()


def _text(words: bytes, where: str, depth: int) -> Iterator[Part]:
    yield Text(words)
    for line in texts_inside.numbers(words):
        yield from _cells(numbers_inside.told(line), where, depth)
    for data in texts_inside.encoded(words):
        yield from _lenient(data, where, depth)


def _lenient(data: bytes, where: str, depth: int) -> Iterator[Part]:
    """Give what is in bytes that may be anything; only damage of a known kind is told."""
    yield from map(Stack, bytes_inside.readings(data))
    for part in parts(data, where, depth + 1):
        if not isinstance(part, Unread) or "not known" not in part.why:
            yield part
    for begun in bytes_inside.starts(data):
        yield from _pictures(begun, where) or ()


def _begins(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(heads)


KINDS: tuple[tuple[Callable[[bytes], bool], Look], ...] = (
    (_begins(b"PK\3\4", b"PK\5\6", b"PK\7\x08"), _zip),
    (_begins(b"\x93NUMPY"), _by(numbers_inside.arrays)),
    (_begins(b"\x89HDF\r\n\x1a\n"), _by(numbers_inside.datasets)),
    (_begins(b"PAR1"), _by(tables_inside.parquet)),
    (_begins(b"ARROW1\0\0"), _by(tables_inside.arrow)),
    (_begins(b"\xff\xff\xff\xff"), _by(tables_inside.stream)),
    (_begins(b"SQLite format 3\0"), _by(databases_inside.database)),
    (_begins(*databases_inside.LOG), _log),
    (_begins(b"\x1f\x8b"), _unwrapped(gzip.open)),
    (_begins(b"BZh"), _unwrapped(bz2.open)),
    (_begins(b"\xfd7zXZ\0"), _unwrapped(lzma.open)),
    (lambda head: head[257:262] == b"ustar", _tar),
)
