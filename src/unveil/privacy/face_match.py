"""Detect known faces in numeric arrays and in larger images."""

from collections.abc import Iterable, Iterator
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.data.decoding import Pixels, resize
from unveil.privacy.flattened_face_match import MIN_GRAY_LEVELS, MIN_SIDE, SAMPLE, is_in_sequence

CHANNELS = (1, 3, 4)
ZOOMS = (1, 2, 3, 4)
"""Integer factors by which a face may be enlarged in a contact sheet."""
GRAY = np.array((0.299, 0.587, 0.114))


def is_in_picture(picture: Pixels, faces: Iterable[Pixels]) -> bool:
    """Return whether a larger image contains a face pixel by pixel, possibly enlarged."""
    return any(
        _contains(picture, face.repeat(times, 0).repeat(times, 1))
        for face in faces
        if len(np.unique(face)) > MIN_GRAY_LEVELS
        for times in ZOOMS
        if times * face.shape[0] <= picture.shape[0] and times * face.shape[1] <= picture.shape[1]
    )


def _contains(picture: Pixels, face: Pixels) -> bool:
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


def is_in_array(numbers: NDArray[Any], faces: Iterable[Pixels]) -> bool:
    """Return whether an array contains a face.

    The array may be gray or colour, integer or scaled to 0..1 or -1..1, and of any square size.
    Images may be along its first axis, flattened to rows, or one after the other in a 1-D array.
    """
    faces = tuple(faces)
    if any(_is_in_stack(stack, faces) for stack in _stacks(numbers)):
        return True
    return numbers.ndim <= 2 and is_in_sequence(numbers, faces)


def _stacks(numbers: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield each plausible interpretation of an array as gray images ``(n, h, w)``."""
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


def _is_in_stack(stack: NDArray[Any], faces: tuple[Pixels, ...]) -> bool:
    count, height, width = stack.shape
    if min(height, width) < MIN_SIDE or not count:
        return False
    wanted = [resize(one, height) if height == width else one for one in faces]
    wanted = [one for one in wanted if one.shape == (height, width)]
    if not wanted or (levels := _to_gray_levels(stack)) is None:
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


def _to_gray_levels(stack: NDArray[Any]) -> NDArray[Any] | None:
    """Scale values to gray levels 0..255; ``None`` if they are out of range."""
    if stack.dtype == np.uint8:
        return stack
    low, high = float(stack.min()), float(stack.max())
    if not (np.isfinite((low, high)).all() and low >= -1 and high <= 255):
        return None
    if low < 0:
        return None if high > 1 else np.rint((stack + 1) * 127.5).astype(np.int16)
    scale = 255 if high <= 1 and stack.dtype.kind == "f" else 1
    return np.rint(stack.astype(np.float64) * scale).astype(np.int16)
