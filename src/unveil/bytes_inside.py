"""Bytes of any form: read as pixels, and the pictures that begin somewhere in them."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 64  # bytes: no face is smaller
MOST = 1 << 25  # bytes of a picture that begins somewhere
BEGINS = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP", re.S)
HEADS: tuple[bytes, ...] = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"\0\0\1\0"),
    *(b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x93NUMPY", b"\x89HDF", b"PAR1"),
    *(b"SQLite", b"ARROW1", b"\0\0\0\x0cjP", b"\0\0\0\x1cftyp", b"\0\0\0 ftyp"),
    *(b"P%d" % kind for kind in range(1, 8)),
)
"""How what is looked into begins, as rows of an array are asked that are padded to one length."""


def readings(data: bytes) -> Iterator[NDArray[Any]]:
    """Give bytes as levels, and as shares in each width that they may have."""
    if len(data) >= LEAST:
        yield np.frombuffer(data, np.uint8)
        for kind in ("<f2", "<f4", "<f8"):
            width = np.dtype(kind).itemsize
            if len(data) % width == 0:
                yield np.frombuffer(data, kind)


def starts(data: bytes) -> Iterator[bytes]:
    """Give what begins, behind the first byte, like a picture, up to where a third one does."""
    places = [found.start() for found in BEGINS.finditer(data)]
    for number, place in enumerate(places):
        if place:
            end = places[number + 3] if number + 3 < len(places) else len(data)
            yield data[place : min(end, place + MOST)]


def narrow(numbers: NDArray[Any]) -> bytes | None:
    """Give numbers as bytes; ``None`` where they are none."""
    if numbers.dtype.itemsize == 1:
        return numbers.tobytes()
    if not numbers.size or not (numbers.min() >= 0 and numbers.max() <= 255):
        return None
    small = numbers.astype(np.uint8)
    return small.tobytes() if numbers.dtype.kind in "iu" or (small == numbers).all() else None
