"""Search of all files for a face or its name, unpacked, without any code of the product."""

import base64
import binascii
import gzip
import io
import re
import sqlite3
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError


def files_containing(
    root: Path, face: np.ndarray, name: str, *, skip: tuple[str, ...] = ()
) -> list[str]:
    """Name all files below a folder that hold a face ``(h, w)``, or its name outside of git."""
    found = []
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).as_posix()
        if path.is_file() and not inside.startswith(skip):
            word = None if ".git/" in f"{inside}/" else name.encode()
            if any(_has(part, face, word) for part in unwrapped(path.read_bytes())):
                found.append(inside)
    return found


def _has(part: Any, face: np.ndarray, name: bytes | None) -> bool:
    if isinstance(part, bytes):
        return name is not None and name in part
    return _shows(np.asarray(part), face)


def _shows(numbers: np.ndarray, face: np.ndarray) -> bool:
    if numbers.dtype.kind == "f" and numbers.size and numbers.max() <= 1 and numbers.min() >= 0:
        numbers = np.rint(numbers * 255)
    if numbers.dtype.kind not in "uif" or numbers.size < face.size:
        return False
    if numbers.size == face.size:
        return bool(np.array_equal(numbers.ravel(), face.ravel()))
    rows = numbers.astype(np.uint8, copy=False)
    if rows.ndim >= 3 and rows.shape[-1] in (1, 3, 4):
        rows = rows[..., 0]
    data, middle = np.ascontiguousarray(rows).tobytes(), face[len(face) // 2].tobytes()
    if len(set(middle)) < 4:
        return face.tobytes() in data
    return middle in data and face[len(face) // 2 + 3].tobytes() in data


def unwrapped(content: bytes, depth: int = 0) -> Iterator[bytes | np.ndarray]:
    """Give a file's bytes, and all the bytes and numbers that are wrapped in it."""
    yield content
    if depth > 5:
        return
    for look in (_zip, _array, _picture, _parquet, _sqlite, _hdf5, _packed, _base64):
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for part in list(look(content)):
                yield from unwrapped(part, depth + 1) if isinstance(part, bytes) else [part]


def _zip(content: bytes) -> Iterator[bytes]:
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                yield entry.filename.encode()
                with suppress(zipfile.BadZipFile):
                    yield archive.read(entry)


def _array(content: bytes) -> Iterator[np.ndarray]:
    if content[:6] == b"\x93NUMPY":
        yield np.load(io.BytesIO(content))


def _picture(content: bytes) -> Iterator[np.ndarray]:
    with suppress(UnidentifiedImageError):
        yield np.asarray(Image.open(io.BytesIO(content)))


def _parquet(content: bytes) -> Iterator[bytes]:
    if content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content)).to_pandas()
        yield table.to_json().replace("\\/", "/").encode()


def _sqlite(content: bytes) -> Iterator[bytes]:
    if content[:6] == b"SQLite":
        whole = bytearray(content)
        whole[18:20] = b"\1\1"
        base = sqlite3.connect(":memory:")
        base.deserialize(bytes(whole))
        for line in base.iterdump():
            yield line.encode("utf-8", "replace")


def _hdf5(content: bytes) -> Iterator[np.ndarray]:
    if content[:4] == b"\x89HDF":
        with h5py.File(io.BytesIO(content)) as stored:
            names: list[str] = []
            stored.visit(names.append)
            for name in names:
                if isinstance(stored[name], h5py.Dataset):
                    yield stored[name][()]


def _packed(content: bytes) -> Iterator[bytes]:
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:1] == b"\x78":  # as git writes its objects
        yield zlib.decompress(content)


def _base64(content: bytes) -> Iterator[bytes]:
    for found in re.finditer(rb"[A-Za-z0-9+/]{100,}={0,2}", content):
        with suppress(binascii.Error):
            yield base64.b64decode(found[0] + b"==")
