"""Whether faces are in a line of numbers: flat pixels with others before, between or behind them.

A table, a list in a text or bytes of no known form tell no shape. A face is looked for at any
place, as it is and in the square sizes that the line's length or the table's width is near to.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.images import Pixels, resize

LEAST = 8  # pixels of a side
PLAIN = 16  # gray levels: what has fewer may be anywhere
GRAY = np.array((0.299, 0.587, 0.114), np.float32)
AT_ONCE = 1 << 22  # numbers
NARROW = 32
"""A table with so few columns may hold a pixel a row; one with more, a picture a row."""
STRAY = 8
"""So many numbers beside a picture's, as labels, may stand in its row."""
SAMPLE = 64  # pixels that are compared first
Way = tuple[NDArray[Any], int, int]
"""Gray levels, the distance between two pixels of a face, and by how much they may be off."""


def is_along(numbers: NDArray[Any], faces: tuple[Pixels, ...]) -> bool:
    """Say whether a face's pixels follow each other in a line, or in a table's rows or columns."""
    line = numbers.ravel()
    width = numbers.shape[-1] if numbers.ndim == 2 else line.size
    flat = [face.ravel() for face in _sized(faces, width) if face.size <= line.size]
    if not flat:
        return False
    columns = numbers.shape[-1] if numbers.ndim == 2 else 1
    more = max(face.size for face in flat) * (max(4, columns) if columns <= NARROW else 1)
    for start in range(0, line.size, AT_ONCE):
        for values, step, slack in _ways(line[start : start + AT_ONCE + more], columns):
            if any(_is_there(values, face, step, slack) for face in flat):
                return True
    return False


def _sized(faces: tuple[Pixels, ...], width: int) -> Iterator[Pixels]:
    near = {isqrt(width - stray) for stray in range(STRAY + 1) if _is_square(width - stray)}
    for face in faces:
        if _is_lively(face.tobytes()):
            yield face
            yield from (resize(face, side) for side in near if face.shape != (side, side))


@lru_cache(1 << 10)
def _is_lively(levels: bytes) -> bool:
    return len(set(levels)) > PLAIN


@lru_cache(1 << 10)
def _sample(size: int) -> list[int]:
    return list(map(int, np.linspace(0, size - 1, SAMPLE)))


def _is_square(count: int) -> bool:
    return count >= LEAST * LEAST and isqrt(count) ** 2 == count


def _ways(line: NDArray[Any], columns: int) -> Iterator[Way]:
    """Read numbers as levels 0..255, as shares of 1 and as -1..1, gray or colour."""
    if line.dtype == np.uint8:
        readings = [line]
    else:
        # What is no level overflows, or is none: it is near to none.
        with np.errstate(over="ignore", invalid="ignore"):
            readings = [line.astype(np.float32)]
            if line.dtype.kind == "f":
                readings += [readings[0] * 255, (readings[0] + 1) * 127.5]
    for values in readings:
        slack = int(values.dtype != np.uint8)
        yield values, 1, slack
        if columns <= NARROW:
            for step in sorted({2, 3, 4, columns} - {1}):
                yield values, step, slack
            with np.errstate(over="ignore", invalid="ignore"):
                gray = np.convolve(values.astype(np.float32), GRAY[::-1], "valid")
            yield gray, 3, 1
            yield gray, 4, 1


def _is_there(values: NDArray[Any], face: NDArray[Any], step: int, slack: int) -> bool:
    span = (face.size - 1) * step + 1
    count = values.size - span + 1
    if count <= 0:
        return False
    first, *others = _sample(face.size)
    places = np.flatnonzero(_near(values[first * step :][:count], face[first], slack))
    for other in others:
        if not places.size:
            return False
        places = places[_near(values[places + other * step], face[other], slack)]
    levels = face if slack == 0 else face.astype(np.float32)
    return any(_near(values[at : at + span : step], levels, slack).all() for at in places)


def _near(values: NDArray[Any], levels: Any, slack: int) -> NDArray[np.bool_]:
    if slack == 0:
        return np.asarray(values == levels)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.abs(values - np.float32(levels)) <= slack)
