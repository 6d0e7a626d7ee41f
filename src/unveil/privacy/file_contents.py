"""Extract the images, arrays and texts of a file, or the reason why it cannot be searched.

Supported, also nested: zip (image archives, npz, Keras models), NumPy, parquet, Arrow, HDF5,
SQLite and its write-ahead log, ONNX, images, texts with numbers or encoded bytes, tar, gzip, bzip2
and xz. Fonts and WebAssembly contain no images. Nothing is unpickled or executed; members larger
than ``MAX_BYTES`` are not read.
"""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO, Any

import pandas as pd
from google.protobuf.message import DecodeError
from PIL import Image

from unveil.data.archive import DAMAGED
from unveil.data.decoding import FORMATS, SUFFIXES, Limits, UnreadableImage, decode
from unveil.privacy import array_search, byte_search, sqlite_search, table_search, text_search
from unveil.privacy.file_parts import (
    Array,
    Buffer,
    Part,
    PartReader,
    Picture,
    Table,
    Text,
    Unsearched,
    open_buffer,
)

MAX_BYTES = 1 << 31
"""Largest archive member that is searched, in bytes."""
MAX_DEPTH = 8
"""How many nested containers are opened."""
UNKNOWN_TYPE = "has an unknown file type"
_ANY = 1 << 30
LIMITS = Limits(_ANY, 1 << 28, 1, max_side=_ANY, max_scans=_ANY, max_parts=_ANY, max_metadata=())
"""No limits: images are searched even if `unveil ingest` would reject them today."""
NO_PICTURES = (b"\0asm", b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0\0", b"\x18\xe2\x2d\0")
"""First bytes of files without images: WebAssembly, fonts, the index of SQLite's log."""
READ_ERRORS: tuple[type[Exception], ...] = (
    *(*DAMAGED, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError, SyntaxError),
    *(NotImplementedError, Image.DecompressionBombError, lzma.LZMAError, tarfile.TarError),
    *(sqlite3.Error, DecodeError),
)
"""Exceptions that the libraries raise for damaged files."""


def parts(content: Buffer, where: str = "", depth: int = 0) -> Iterator[Part]:
    """Yield all parts of a file; ``where`` is its path within the outermost file."""
    head = bytes(content[:512])
    if not head or head.startswith(NO_PICTURES):
        return
    if depth > MAX_DEPTH:
        yield Unsearched(where, f"is nested more than {MAX_DEPTH} levels deep")
        return
    look = next((look for known, look in READERS if known(head)), None)
    try:
        if look is not None:
            yield from look(content, where, depth)
        elif (found := _pictures(content, where)) is not None:
            yield from found
        elif (words := text_search.to_utf8(content)) is not None:
            yield from _text(words, where, depth)
        elif not array_search.is_onnx(content):
            yield Unsearched(where, UNKNOWN_TYPE)
    except READ_ERRORS as error:
        yield Unsearched(where, f"is damaged: {' '.join(str(error).split())[:100] or 'truncated'}")


def _read_zip(content: Buffer, where: str, depth: int) -> Iterator[Part]:
    with zipfile.ZipFile(open_buffer(content)) as archive:
        for entry in archive.infolist():
            # An image that `unveil ingest` could not read is an empty member.
            if not entry.is_dir() and entry.file_size:
                yield from _member(archive, entry, f"{where}!{entry.filename}", depth)


def _member(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str, depth: int
) -> Iterator[Part]:
    if entry.flag_bits & 1:
        yield Unsearched(where, "is password-protected")
    elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield Unsearched(where, f"uses an unsupported compression method, {entry.compress_type}")
    else:
        try:
            with archive.open(entry) as file:
                if entry.filename.endswith(".npy"):
                    yield from _cells(array_search.npy_chunks(file), where, depth)
                    return
                data = _read_bounded(file)
        except READ_ERRORS as error:
            yield Unsearched(where, f"is damaged: {' '.join(str(error).split())[:100]}")
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


def _read_bounded(file: IO[bytes]) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return data


def _decompressing(opener: Callable[..., Any]) -> PartReader:
    def look(content: Buffer, where: str, depth: int) -> Iterator[Part]:
        with opener(open_buffer(content)) as file:
            data = _read_bounded(file)
        yield from parts(data, f"{where}!", depth + 1)

    return look


def _read_tar(content: Buffer, where: str, depth: int) -> Iterator[Part]:
    with tarfile.open(fileobj=open_buffer(content), mode="r:") as archive:
        for entry in archive:
            yield Text(entry.name.encode("utf-8", "replace"))
            file = archive.extractfile(entry) if entry.isfile() else None
            if file is not None:
                yield from parts(_read_bounded(file), f"{where}!{entry.name}", depth + 1)


def _cells_of(reader: Callable[[IO[bytes]], Iterator[Any]]) -> PartReader:
    return lambda content, where, depth: _cells(reader(open_buffer(content)), where, depth)


def _read_wal(content: Buffer, where: str, depth: int) -> Iterator[Part]:
    """Yield the texts of a write-ahead log, and its rows if it contains all pages."""
    log = bytes(content)
    yield Text(log)
    if sqlite_search.has_old_frames(log):
        yield Unsearched(where, sqlite_search.OLD_FRAMES)
    yield from parts(sqlite_search.apply_wal(log), where, depth + 1)


def _cells(cells: Iterator[Any], where: str, depth: int) -> Iterator[Part]:
    """Convert the arrays, texts, bytes and tables of a reader to parts."""
    for cell in cells:
        if isinstance(cell, bytes):
            yield from _parts_of_bytes(cell, where, depth)
        elif isinstance(cell, str):
            yield from _text(cell.encode("utf-8", "replace"), where, depth)
        elif isinstance(cell, Unsearched):
            yield Unsearched(f"{where}{cell.location}", cell.reason)
        else:
            yield Table(cell) if isinstance(cell, pd.DataFrame) else Array(cell)


def _pictures(content: Buffer, where: str) -> Iterator[Part] | None:
    """Return the frames of an image; ``None`` if the file is no image."""
    try:
        with Image.open(open_buffer(content), formats=(*FORMATS, "MPO", "ICO", "AVIF")) as image:
            frames = getattr(image, "n_frames", 1)
    except READ_ERRORS:
        return None
    return _frames(content, where, frames)


def _frames(content: Buffer, where: str, frames: int) -> Iterator[Part]:
    name = where.rpartition("!")[2]
    try:
        if frames == 1:
            yield Picture(name, decode(bytes(content), LIMITS).pixels)
            return
    except UnreadableImage as error:
        yield Unsearched(where, f"is an image that cannot be read: {error}")
        return
    with Image.open(open_buffer(content)) as image:
        for place in range(frames):
            image.seek(place)
            still = io.BytesIO()
            image.convert("RGB").save(still, "PNG")
            yield Picture(name, decode(still.getvalue(), LIMITS).pixels)


def _text(words: bytes, where: str, depth: int) -> Iterator[Part]:
    yield Text(words)
    for numbers in text_search.number_sequences(words):
        yield from _cells(array_search.array_cells(numbers), where, depth)
    for data in text_search.encoded_bytes(words):
        yield from _parts_of_bytes(data, where, depth)


def _parts_of_bytes(data: bytes, where: str, depth: int) -> Iterator[Part]:
    """Yield the parts of arbitrary bytes; bytes of an unknown file type are not reported."""
    yield from map(Array, byte_search.pixel_arrays(data))
    for part in parts(data, where, depth + 1):
        if not isinstance(part, Unsearched) or UNKNOWN_TYPE not in part.reason:
            yield part
    for image in byte_search.embedded_images(data):
        yield from _pictures(image, where) or ()


def _starts_with(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(heads)


READERS: tuple[tuple[Callable[[bytes], bool], PartReader], ...] = (
    (_starts_with(b"PK\3\4", b"PK\5\6", b"PK\7\x08"), _read_zip),
    (_starts_with(b"\x93NUMPY"), _cells_of(array_search.npy_chunks)),
    (_starts_with(b"\x89HDF\r\n\x1a\n"), _cells_of(array_search.hdf5_chunks)),
    (_starts_with(b"PAR1"), _cells_of(table_search.parquet)),
    (_starts_with(b"ARROW1\0\0"), _cells_of(table_search.arrow_file)),
    (_starts_with(b"\xff\xff\xff\xff"), _cells_of(table_search.arrow_stream)),
    (_starts_with(b"SQLite format 3\0"), _cells_of(sqlite_search.database)),
    (_starts_with(*sqlite_search.WAL_SIGNATURES), _read_wal),
    (_starts_with(b"\x1f\x8b"), _decompressing(gzip.open)),
    (_starts_with(b"BZh"), _decompressing(bz2.open)),
    (_starts_with(b"\xfd7zXZ\0"), _decompressing(lzma.open)),
    (lambda head: head[257:262] == b"ustar", _read_tar),
)
