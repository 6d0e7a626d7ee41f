"""Whether faces are among numbers, or part of a larger picture."""

from collections.abc import Iterable, Iterator
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.along import is_along
from unveil.images import Pixels, resize

LEAST = 8  # pixels of a side: filters of networks are smaller
CHANNELS = (1, 3, 4)
TIMES = (1, 2, 3, 4)
"""So many times a face may be enlarged in a sheet, each pixel to a square."""
PLAIN = 16  # gray levels: what has fewer may be anywhere
SAMPLE = 64  # pixels that are compared first
GRAY = np.array((0.299, 0.587, 0.114))


def is_part(picture: Pixels, faces: Iterable[Pixels]) -> bool:
    """Say whether a face is pixel for pixel in a larger picture, perhaps enlarged."""
    return any(
        _lies_in(picture, face.repeat(times, 0).repeat(times, 1))
        for face in faces
        if len(np.unique(face)) > PLAIN
        for times in TIMES
        if times * face.shape[0] <= picture.shape[0] and times * face.shape[1] <= picture.shape[1]
    )


def _lies_in(picture: Pixels, face: Pixels) -> bool:
    height, width = face.shape
    lively = int(face.std(1).argmax())
    row, data = face[lively].tobytes(), picture.tobytes()
    at = data.find(row)
    while at >= 0:
        down, across = divmod(at, picture.shape[1])
        top = down - lively
        if top >= 0 and np.array_equal(picture[top : top + height, across : across + width], face):
            return True
        at = data.find(row, at + 1)
    return False


def is_among(numbers: NDArray[Any], faces: Iterable[Pixels]) -> bool:
    """Say whether a face is in an array: gray or colour, as bytes or as shares, of any square size.

    Images may be its first side, or flat rows, or lie one behind the other in a line.
    """
    faces = tuple(faces)
    if any(_shown(stack, faces) for stack in _stacks(numbers)):
        return True
    return numbers.ndim <= 2 and is_along(numbers, faces)


def _stacks(numbers: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Read an array as gray images ``(n, h, w)``, in each way that makes sense."""
    sides = numbers.shape
    if len(sides) > 4:
        yield from _stacks(numbers.reshape(-1, *sides[-3:]))
    elif len(sides) == 4:
        if sides[-1] in CHANNELS:
            yield _gray(numbers)
        elif sides[1] in CHANNELS:
            yield _gray(np.moveaxis(numbers, 1, -1))
        else:
            yield numbers.reshape(-1, *sides[2:])
    elif len(sides) == 3:
        yield numbers
        if sides[-1] in CHANNELS:
            yield _gray(numbers[None])
    elif len(sides) == 2:
        yield numbers[None]
        if (side := isqrt(sides[1])) ** 2 == sides[1]:
            yield numbers.reshape(-1, side, side)
    elif len(sides) == 1 and (side := isqrt(sides[0])) ** 2 == sides[0]:
        yield numbers.reshape(1, side, side)


def _gray(images: NDArray[Any]) -> NDArray[Any]:
    if images.shape[-1] == 1 or (images[..., :3] == images[..., :1]).all():
        return images[..., 0]
    return np.asarray(images[..., :3] @ GRAY)


def _shown(stack: NDArray[Any], faces: tuple[Pixels, ...]) -> bool:
    count, height, width = stack.shape
    if min(height, width) < LEAST or not count:
        return False
    wanted = [resize(one, height) if height == width else one for one in faces]
    wanted = [one for one in wanted if one.shape == (height, width)]
    if not wanted or (levels := _levels(stack)) is None:
        return False
    slack = 0 if stack.dtype == np.uint8 else 1
    flat = levels.reshape(count, -1)
    some = np.linspace(0, flat.shape[1] - 1, SAMPLE).astype(int)
    sample = flat[:, some]
    for one in wanted:
        face = one.ravel()
        near = (np.abs(sample - face[some].astype(np.int16)) <= slack).all(1)
        if near.any() and (np.abs(flat[near] - face.astype(np.int16)) <= slack).all(1).any():
            return True
    return False


def _levels(stack: NDArray[Any]) -> NDArray[Any] | None:
    """Bring numbers to gray levels 0..255; ``None`` where they cannot be any."""
    if stack.dtype == np.uint8:
        return stack
    low, high = float(stack.min()), float(stack.max())
    if not (np.isfinite((low, high)).all() and low >= -1 and high <= 255):
        return None
    if low < 0:
        return None if high > 1 else np.rint((stack + 1) * 127.5).astype(np.int16)
    scale = 255 if high <= 1 and stack.dtype.kind == "f" else 1
    return np.rint(stack.astype(np.float64) * scale).astype(np.int16)
