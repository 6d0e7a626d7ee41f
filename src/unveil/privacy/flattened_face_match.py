"""Detect known faces in flat sequences of pixels, whose image shape is unknown.

A table, a list in a text or bytes of an unknown file type do not record a shape, and other numbers
may come before, between or after the pixels. A face is searched at every position, in its own size
and in the square sizes that fit the length of the sequence or the width of the table.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.data.decoding import Pixels, resize

MIN_SIDE = 8  # pixels; smaller arrays are filters of networks
MIN_GRAY_LEVELS = 16  # a face with fewer gray levels would match by chance
SAMPLE = 64  # number of pixels that are compared first
GRAY = np.array((0.299, 0.587, 0.114), np.float32)
CHUNK_SIZE = 1 << 22
"""How many numbers are searched at once."""
MAX_NARROW_COLUMNS = 32
"""A table with at most so many columns may have one pixel per row, a wider one an image per row."""
MAX_EXTRA_COLUMNS = 8
"""How many other columns, such as labels, a row may have besides the pixels of an image."""
Reading = tuple[NDArray[Any], int, int]
"""Gray levels, the distance between two pixels of a face, and the tolerance in gray levels."""


def is_in_sequence(numbers: NDArray[Any], faces: tuple[Pixels, ...]) -> bool:
    """Return whether a 1-D array, or the rows or columns of a 2-D array, contain a face's pixels.

    The pixels may be gray or colour, integer or scaled to 0..1 or -1..1.
    """
    line = numbers.ravel()
    width = numbers.shape[-1] if numbers.ndim == 2 else line.size
    flat = [face.ravel() for face in _in_fitting_sizes(faces, width) if face.size <= line.size]
    if not flat:
        return False
    columns = numbers.shape[-1] if numbers.ndim == 2 else 1
    stride = max(4, columns) if columns <= MAX_NARROW_COLUMNS else 1
    overlap = max(face.size for face in flat) * stride
    for start in range(0, line.size, CHUNK_SIZE):
        for values, step, tolerance in _readings(
            line[start : start + CHUNK_SIZE + overlap], columns
        ):
            if any(_contains(values, face, step, tolerance) for face in flat):
                return True
    return False


def _in_fitting_sizes(faces: tuple[Pixels, ...], width: int) -> Iterator[Pixels]:
    """Yield each face in its own size and in the square sizes that fit a row."""
    lengths = (width - extra for extra in range(MAX_EXTRA_COLUMNS + 1))
    sides = {isqrt(length) for length in lengths if _is_square(length)}
    for face in faces:
        if _has_enough_gray_levels(face.tobytes()):
            yield face
            yield from (resize(face, side) for side in sides if face.shape != (side, side))


@lru_cache(1 << 10)
def _has_enough_gray_levels(levels: bytes) -> bool:
    return len(set(levels)) > MIN_GRAY_LEVELS


@lru_cache(1 << 10)
def _sample_positions(size: int) -> list[int]:
    return list(map(int, np.linspace(0, size - 1, SAMPLE)))


def _is_square(count: int) -> bool:
    return count >= MIN_SIDE * MIN_SIDE and isqrt(count) ** 2 == count


def _readings(line: NDArray[Any], columns: int) -> Iterator[Reading]:
    """Yield numbers as gray levels from 0..255, 0..1 and -1..1, of gray and of colour pixels."""
    for values in _scaled(line):
        tolerance = int(values.dtype != np.uint8)
        yield values, 1, tolerance
        if columns <= MAX_NARROW_COLUMNS:
            for step in sorted({2, 3, 4, columns} - {1}):
                yield values, step, tolerance
            with np.errstate(over="ignore", invalid="ignore"):
                gray = np.convolve(values.astype(np.float32), GRAY[::-1], "valid")
            yield gray, 3, 1
            yield gray, 4, 1


def _scaled(line: NDArray[Any]) -> list[NDArray[Any]]:
    if line.dtype == np.uint8:
        return [line]
    # Numbers that are no gray levels may overflow; infinity and NaN match no pixel.
    with np.errstate(over="ignore", invalid="ignore"):
        values = line.astype(np.float32)
        if line.dtype.kind == "f":
            return [values, values * 255, (values + 1) * 127.5]
    return [values]


def _contains(values: NDArray[Any], face: NDArray[Any], step: int, tolerance: int) -> bool:
    span = (face.size - 1) * step + 1
    count = values.size - span + 1
    if count <= 0:
        return False
    first, *others = _sample_positions(face.size)
    starts = np.flatnonzero(_is_near(values[first * step :][:count], face[first], tolerance))
    for other in others:
        if not starts.size:
            return False
        starts = starts[_is_near(values[starts + other * step], face[other], tolerance)]
    levels = face if tolerance == 0 else face.astype(np.float32)
    return any(
        _is_near(values[start : start + span : step], levels, tolerance).all() for start in starts
    )


def _is_near(values: NDArray[Any], levels: Any, tolerance: int) -> NDArray[np.bool_]:
    if tolerance == 0:
        return np.asarray(values == levels)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.abs(values - np.float32(levels)) <= tolerance)
