"""Pictures from Python -> pixels, gray or RGB: paths, bytes, PIL images and NumPy arrays."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unveil.common.errors import UserError
from unveil.data.decoding import Limits, Pixels, UnreadableImage, decode, from_image

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8] | NDArray[np.floating]
"""A file, its bytes, a PIL image, or an array.

An array is ``(height, width)``, ``(height, width, 1)`` gray, ``(height, width, 3)`` RGB or
``(height, width, 4)`` RGBA; ``uint8`` in 0..255, or floating point in 0..1.
"""

CHANNELS = (1, 3, 4)


def to_pixels(picture: Picture, limits: Limits) -> Pixels:
    """Return the pixels of a picture: gray ``(height, width)`` or RGB ``(height, width, 3)``.

    Raises ``UserError`` for a file that cannot be read, and for an array of another shape, type or
    range than `Picture` states.
    """
    try:
        if isinstance(picture, np.ndarray):
            return from_image(_from_array(picture), limits, in_colour=True)
        if isinstance(picture, Image.Image):
            return from_image(picture, limits, in_colour=True)
        if isinstance(picture, bytes | bytearray | memoryview):
            return decode(bytes(picture), limits, in_colour=True).pixels
    except UnreadableImage as error:
        raise UserError(f"{describe(picture)}: {error}") from None
    if isinstance(picture, str | Path):
        return read(Path(picture), limits)
    raise UserError(
        f"{describe(picture)} is not a picture; choose from a path, bytes, a PIL image, "
        "a NumPy array, or a list of them"
    )


def read(path: Path, limits: Limits) -> Pixels:
    """Read and decode a file; raises ``UserError`` with its path if that is not possible."""
    try:
        with path.open("rb") as file:
            content = file.read(limits.max_bytes + 1)
        return decode(content, limits, in_colour=True).pixels
    except OSError as error:
        raise UserError(f"{path}: {str(error.strerror).lower()}") from None
    except UnreadableImage as error:
        raise UserError(f"{path}: {error}") from None


def describe(picture: object) -> str:
    """Name a picture in results and messages: its path, or its kind and size."""
    if isinstance(picture, str | Path):
        return str(picture)
    if isinstance(picture, np.ndarray):
        return f"array of shape {picture.shape} and type {picture.dtype}"
    if isinstance(picture, Image.Image):
        return f"PIL image of {picture.width}x{picture.height} pixels"
    if isinstance(picture, bytes | bytearray | memoryview):
        return f"{len(picture)} bytes"
    return f"a value of type {type(picture).__name__}"


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in CHANNELS or 0 in array.shape:
        raise UserError(
            f"{describe(array)}: the shape must be (height, width), or (height, width, channels) "
            "with 1, 3 or 4 channels"
        )
    if array.dtype == np.uint8:
        pixels = array
    elif np.issubdtype(array.dtype, np.floating):
        pixels = _to_bytes(array.astype(np.float64), describe(array))
    else:
        raise UserError(
            f"{describe(array)}: the type must be uint8 with values 0 to 255, or floating point "
            "with values 0 to 1"
        )
    plane = pixels[:, :, 0] if channels == 1 and array.ndim == 3 else pixels
    return Image.fromarray(np.ascontiguousarray(plane))


def _to_bytes(array: NDArray[np.float64], name: str) -> Pixels:
    low, high = float(array.min()), float(array.max())  # NaN if one of the values is
    if not (low >= 0 and high <= 1):
        line = f"floating-point values must be from 0 to 1, not {low:g} to {high:g}"
        raise UserError(f"{name}: {line}")
    return np.round(array * 255).astype(np.uint8)
