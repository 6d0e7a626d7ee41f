"""Interpret bytes of an unknown file type: as pixels, and as images that start inside them."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_BYTES = 64
"""Fewer bytes than any face has."""
MAX_IMAGE_BYTES = 1 << 25
"""Largest embedded image that is searched, in bytes."""
IMAGE_START = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP", re.S)
FILE_SIGNATURES: tuple[bytes, ...] = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"\0\0\1\0"),
    *(b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x93NUMPY", b"\x89HDF", b"PAR1"),
    *(b"SQLite", b"ARROW1", b"\0\0\0\x0cjP", b"\0\0\0\x1cftyp", b"\0\0\0 ftyp"),
    *(b"P%d" % kind for kind in range(1, 8)),
)
"""First bytes of the files that are searched; a row of an array may be such a file, padded."""


def pixel_arrays(data: bytes) -> Iterator[NDArray[Any]]:
    """Yield bytes as an array of ``uint8`` and of each float type whose size fits."""
    if len(data) >= MIN_BYTES:
        yield np.frombuffer(data, np.uint8)
        for kind in ("<f2", "<f4", "<f8"):
            width = np.dtype(kind).itemsize
            if len(data) % width == 0:
                yield np.frombuffer(data, kind)


def embedded_images(data: bytes) -> Iterator[bytes]:
    """Yield the bytes from each image signature after the first byte.

    Each piece ends at the third signature after its own: an image may contain others, such as its
    thumbnail.
    """
    starts = [found.start() for found in IMAGE_START.finditer(data)]
    for number, start in enumerate(starts):
        if start:
            end = starts[number + 3] if number + 3 < len(starts) else len(data)
            yield data[start : min(end, start + MAX_IMAGE_BYTES)]


def to_bytes(numbers: NDArray[Any]) -> bytes | None:
    """Convert an array of byte values to bytes; ``None`` if a value is no byte."""
    if numbers.dtype.itemsize == 1:
        return numbers.tobytes()
    if not numbers.size or not (numbers.min() >= 0 and numbers.max() <= 255):
        return None
    small = numbers.astype(np.uint8)
    return small.tobytes() if numbers.dtype.kind in "iu" or (small == numbers).all() else None
