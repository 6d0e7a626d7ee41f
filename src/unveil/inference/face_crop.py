"""Crops of faces, upright and framed as the faces of FER2013, on which the networks are trained."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unveil.data.decoding import Pixels, resize

FRAME = ((0.322, 0.399), (0.678, 0.399), (0.5, 0.604), (0.5, 0.786))
"""Eyes (that on the left of the picture first), nose and mouth in FER2013, as shares of the side.

Medians of what the detector found in 1,915 of its train faces, made symmetric.
"""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Square:
    """The frame of a face: centre ``x``, ``y`` and ``side`` in pixels, ``angle`` in degrees.

    The angle is that by which the face is turned clockwise in the picture.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def times(self, factor: float) -> "Square":
        """Return the square in a picture enlarged by ``factor``."""
        return Square(self.x * factor, self.y * factor, self.side * factor, self.angle)

    def turned(self, quarters: int, shape: tuple[int, ...]) -> "Square":
        """Return the square in a picture of this shape, if it is that of ``rot90(picture)``.

        ``quarters`` is 1 or 3: how often the picture was turned by 90 degrees, counter-clockwise.
        """
        if quarters == 1:
            return Square(shape[1] - self.y, self.x, self.side, self.angle + 90)
        return Square(self.y, shape[0] - self.x, self.side, self.angle - 90)


@dataclass(frozen=True)
class Detection:
    """A detected face: ``box`` is x, y, width, height; without ``square`` the box is cropped."""

    box: Box
    square: Square | None = None


def whole(picture: Pixels) -> Detection:
    """Treat the whole picture as one face."""
    height, width = picture.shape[:2]
    return Detection(box=(0, 0, width, height))


def fit_square(points: NDArray[np.floating]) -> Square:
    """Fit the frame to eyes, nose and mouth ``(4, 2)``, in pixels.

    Least squares over similarity transformations (Umeyama, 1991).
    """
    frame = np.array(FRAME) @ [1, 1j] - complex(0.5, 0.5)
    found = np.asarray(points, np.float64) @ [1, 1j]
    centred = frame - frame.mean()
    turn = (found * centred.conj()).sum() / (abs(centred) ** 2).sum()
    centre = found.mean() - turn * frame.mean()
    angle = math.degrees(math.atan2(turn.imag, turn.real))
    return Square(float(centre.real), float(centre.imag), max(1.0, float(abs(turn))), angle)


def box_of(square: Square, shape: tuple[int, ...]) -> Box:
    """Return the part of an upright square of the same side inside a picture (height, width)."""
    height, width = shape[:2]
    left = int(np.clip(round(square.x - square.side / 2), 0, width - 1))
    top = int(np.clip(round(square.y - square.side / 2), 0, height - 1))
    right = int(np.clip(round(square.x + square.side / 2), left + 1, width))
    bottom = int(np.clip(round(square.y + square.side / 2), top + 1, height))
    return left, top, right - left, bottom - top


def cut(picture: Pixels, found: Detection, size: int) -> Pixels:
    """Crop a face to gray ``(size, size)``: upright in its square, or by its box if it has none.

    The square is reduced by an integer factor, then sampled with linear interpolation; outside of
    the picture its edge is repeated. `static/face_crop.js` does the same in browsers.
    """
    if found.square is None:
        x, y, width, height = found.box
        return resize(gray(picture[y : y + height, x : x + width]), size)
    return _upright(picture, found.square, size)


def gray(picture: Pixels) -> Pixels:
    """Return a gray or RGB picture as gray ``(height, width)``."""
    if picture.ndim == 2:
        return picture
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L"))


def _upright(picture: Pixels, square: Square, size: int) -> Pixels:
    factor = max(1, int(square.side // size))
    turn = complex(math.cos(math.radians(square.angle)), math.sin(math.radians(square.angle)))
    reach = square.side / 2 * (abs(turn.real) + abs(turn.imag)) + 2 * factor
    height, width = picture.shape[:2]
    left, right = part_of(square.x, reach, width)
    top, bottom = part_of(square.y, reach, height)
    image = Image.fromarray(gray(picture[top:bottom, left:right]))
    part = np.asarray(image.reduce(factor), np.float64)
    steps = ((np.arange(size) + 0.5) / size - 0.5) * square.side
    points = (steps[np.newaxis] + 1j * steps[:, np.newaxis]) * turn
    x = (points.real + (square.x - left)) / factor - 0.5
    y = (points.imag + (square.y - top)) / factor - 0.5
    return np.floor(_sample(part, x, y) + 0.5).astype(np.uint8)


def part_of(centre: float, reach: float, length: int) -> tuple[int, int]:
    """Return start and end of what is up to ``reach`` from a centre, within a side of pixels."""
    start = min(max(math.floor(centre - reach), 0), length - 1)
    return start, min(max(math.ceil(centre + reach), start + 1), length)


def _sample(
    part: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate linearly at points; those outside take the value of the nearest edge."""
    height, width = part.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = x - left, y - top
    above = part[top, left] * (1 - across) + part[top, right] * across
    below = part[bottom, left] * (1 - across) + part[bottom, right] * across
    return np.asarray(above * (1 - down) + below * down)
