"""a gray picture -> where its faces are, and each cut out as the network learned faces.

By default OpenCV's bundled Haar cascade (Viola and Jones, 2001; ``frontalface_alt2``): frontal
faces, no file to fetch. YuNet (Wu et al., 2023) is better and gives the eyes, by which a face is
turned upright; it comes as a file whose sha256 is pinned here or stated.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.data.decoding import Pixels, resize

Point = tuple[float, float]
"""x to the right and y down, in pixels of the picture."""

CASCADE = "7b0c967d9abbdfbde025eb9c786947d151b6426040d07a8f9562ed8fd90724b4"
"""The sha256 of haarcascade_frontalface_alt2.xml, as OpenCV's packages have it."""
YUNET = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""The sha256 of face_detection_yunet_2023mar.onnx of the OpenCV Zoo (MIT)."""
CONFIDENT = 0.8
"""Of YuNet's score, 0 to 1."""
EYES = ((0.315, 0.385), (0.685, 0.385))
"""Where eyes are in the faces of FER2013, in shares of the side; medians of 91 faces of test."""
FACE_SIDE = 64
"""Pixels: a picture not larger than this is a face already."""


@dataclass(frozen=True)
class Found:
    """A face in a picture: ``box`` is x, y, width, height; ``eyes`` the left and right in it."""

    box: tuple[int, int, int, int]
    eyes: tuple[Point, Point] | None = None


@dataclass(frozen=True)
class Reach:
    """How small the cascade's faces may be: ``smallest`` is a share of the shorter side.

    It is reduced to ``window`` pixels first: the cascade knows 20 and is slow with them. A frame of
    640x480 with much texture took 42 ms of one core still and 11 moving (two busy cores,
    2026-11-24). A picture with more than ``most`` pixels after that is reduced further: one of
    50000x240 pixels of noise took 5.3 s, and 0.2 s so. It holds for sides of 7 to 1 and beyond.
    """

    smallest: float
    window: int
    most: int = 400_000


STILL = Reach(smallest=1 / 8, window=30)
MOVING = Reach(smallest=1 / 5, window=24)


Detect = Callable[[Pixels], list[Found]]
"""Finds the faces of a gray picture ``(height, width)``, the largest first."""


def detector(file: Path | None = None, digest: str = YUNET, *, reach: Reach = STILL) -> Detect:
    """Give the bundled cascade or, with a ``file`` of that sha256, YuNet; for any threads.

    Raises ``UserError`` where the file is absent, another one, or no such network.
    """
    import cv2

    # Cores are for pictures, not for parts of one: its threads would wait for each other.
    cv2.setNumThreads(1)
    make = partial(_cascade, reach) if file is None else _yunet(file, digest)
    make()
    own = threading.local()

    def detect(picture: Pixels) -> list[Found]:
        if not hasattr(own, "detect"):
            own.detect = make()
        found: list[Found] = own.detect(picture)
        return sorted(found, key=lambda one: one.box[2] * one.box[3], reverse=True)

    return detect


def named(detector_file: str | None, *, reach: Reach = STILL) -> Detect:
    """Give a detector as the command line names it: ``FILE``, or ``FILE@SHA256`` for another."""
    if detector_file is None:
        return detector(reach=reach)
    file, _, digest = detector_file.partition("@")
    return detector(Path(file), digest or YUNET)


def cascade_file() -> Path:
    """Say where OpenCV's file of the bundled cascade is; ``UserError`` where it is another."""
    import cv2

    file = Path(cv2.__file__).parent / "data/haarcascade_frontalface_alt2.xml"
    if not file.is_file() or sha256(file) != CASCADE:
        raise UserError(f"{file} is not what OpenCV gives out: its sha256 differs; `make install`")
    return file


def whole(picture: Pixels) -> Found:
    """Take the picture itself for a face."""
    height, width = picture.shape
    return Found(box=(0, 0, width, height))


def is_face(picture: Pixels) -> bool:
    """Whether a picture is as small as a face, 64 pixels at most, so that it is one already."""
    return bool(max(picture.shape) <= FACE_SIDE)


def cut(picture: Pixels, found: Found, size: int) -> Pixels:
    """Cut a face out, ``(size, size)``: upright where its eyes are known, else by its box.

    The cascade's box is the frame of FER2013's faces: of 48 pasted ones the median box was 1.00
    times as large, and in the middle.
    """
    if found.eyes is not None:
        return resize(_upright(picture, found.eyes), size)
    x, y, width, height = found.box
    return resize(picture[y : y + height, x : x + width], size)


def _cascade(reach: Reach) -> Detect:
    import cv2

    cascade = cv2.CascadeClassifier(str(cascade_file()))

    def detect(picture: Pixels) -> list[Found]:
        # Reduced first: below twice its window the cascade looks at every second pixel only.
        wanted = min(picture.shape) * reach.smallest / reach.window
        scale = max(1.0, wanted, math.sqrt(picture.size / reach.most))
        least = (reach.window, reach.window)
        boxes = cascade.detectMultiScale(_reduced(picture, scale), 1.1, 3, minSize=least)
        return [Found(box=_inside(np.asarray(box) * scale, picture)) for box in boxes]

    return detect


def _yunet(file: Path, digest: str) -> Callable[[], Detect]:
    import cv2

    if not file.is_file():
        raise UserError(f"{file} is not there; --detector takes face_detection_yunet_2023mar.onnx")
    if (own := sha256(file)) != digest:
        raise UserError(f"{file} has sha256 {own}, not {digest}; FILE@SHA256 names another")

    def make() -> Detect:
        try:
            network = cv2.FaceDetectorYN.create(str(file), "", (320, 320), CONFIDENT)
        except cv2.error as error:
            reason = str(error).strip().splitlines()[0][:120]
            raise UserError(f"{file} is no network of YuNet's kind: {reason}") from None
        return lambda picture: _asked(network, picture)

    return make


def _asked(network: Any, picture: Pixels) -> list[Found]:
    import cv2

    # Reduced first, for the time it takes; it knows faces from about 10 pixels on.
    scale = max(1.0, max(picture.shape) / 640)
    small = _reduced(picture, scale)
    network.setInputSize(small.shape[::-1])
    _, rows = network.detect(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
    found = []
    for row in np.asarray([] if rows is None else rows, np.float64) * scale:
        # YuNet names the eyes as the person has them: the right one is on the left.
        eyes = ((row[4], row[5]), (row[6], row[7]))
        found.append(Found(box=_inside(row[:4], picture), eyes=eyes))
    return found


def _reduced(picture: Pixels, scale: float) -> Pixels:
    import cv2

    if scale == 1:
        return picture
    height, width = picture.shape
    side = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_AREA), np.uint8)


def _inside(box: NDArray[np.floating], picture: Pixels) -> tuple[int, int, int, int]:
    height, width = picture.shape
    left, top = (
        int(np.clip(round(value), 0, most))
        for value, most in ((box[0], width - 1), (box[1], height - 1))
    )
    right = int(np.clip(round(box[0] + box[2]), left + 1, width))
    bottom = int(np.clip(round(box[1] + box[3]), top + 1, height))
    return left, top, right - left, bottom - top


def _upright(picture: Pixels, eyes: tuple[Point, Point]) -> Pixels:
    import cv2

    (left, right), (first, second) = (complex(*eyes[0]), complex(*eyes[1])), EYES
    side = max(8, min(round(abs(right - left) / (second[0] - first[0])), 2 * max(picture.shape)))
    start, end = complex(*first) * side, complex(*second) * side
    turn = (end - start) / ((right - left) or 1)
    shift = start - turn * left
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    turned = cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)
