"""Face detection: a gray picture -> boxes of its faces, cropped as in the training data.

The default is OpenCV's bundled Haar cascade (Viola and Jones, 2001; ``frontalface_alt2``): frontal
faces, nothing to download. YuNet (Wu et al., 2023) is more accurate and returns the eyes, which
allow rotating a face upright; its file is verified by a sha256, pinned here or passed by the user.
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
"""x (right) and y (down), in pixels of the picture."""

CASCADE = "7b0c967d9abbdfbde025eb9c786947d151b6426040d07a8f9562ed8fd90724b4"
"""The sha256 of haarcascade_frontalface_alt2.xml in OpenCV's packages."""
YUNET = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""The sha256 of face_detection_yunet_2023mar.onnx of the OpenCV Zoo (MIT)."""
MIN_SCORE = 0.8
"""Lowest YuNet score of a detection, 0 to 1."""
EYES = ((0.315, 0.385), (0.685, 0.385))
"""Eye positions in FER2013, as shares of the image side; medians of 91 test faces."""
FACE_SIDE = 64
"""Pictures up to this many pixels per side are treated as cropped faces."""


@dataclass(frozen=True)
class Detection:
    """A detected face: ``box`` is x, y, width, height; ``eyes`` the left and right in the image."""

    box: tuple[int, int, int, int]
    eyes: tuple[Point, Point] | None = None


@dataclass(frozen=True)
class CascadeSettings:
    """Scale of the cascade; ``smallest`` is the smallest face as a share of the shorter side.

    Pictures are downscaled until such a face has ``window`` pixels: the cascade's own minimum is
    20, at which it is slow. A frame of 640x480 with much texture took 42 ms of one core with
    ``STILL`` and 11 ms with ``MOVING`` (two busy cores, 2026-11-24). Pictures with more than
    ``most`` pixels after that are downscaled further: 50000x240 pixels of noise took 5.3 s without
    this limit, and 0.2 s with it. The limit applies to aspect ratios of 7:1 and more.
    """

    smallest: float
    window: int
    most: int = 400_000


STILL = CascadeSettings(smallest=1 / 8, window=30)
MOVING = CascadeSettings(smallest=1 / 5, window=24)


Detect = Callable[[Pixels], list[Detection]]
"""Detects the faces of a gray picture ``(height, width)``, largest first."""


def detector(
    file: Path | None = None, digest: str = YUNET, *, settings: CascadeSettings = STILL
) -> Detect:
    """Return the bundled cascade or, given a ``file`` with that sha256, YuNet; thread-safe.

    Raises ``UserError`` if the file is missing, has another sha256, or is not a YuNet model.
    """
    import cv2

    # We parallelize over pictures; OpenCV's own threads would compete for the same cores.
    cv2.setNumThreads(1)
    make = partial(_cascade, settings) if file is None else _yunet(file, digest)
    make()
    own = threading.local()

    def detect(picture: Pixels) -> list[Detection]:
        if not hasattr(own, "detect"):
            own.detect = make()
        found: list[Detection] = own.detect(picture)
        return sorted(found, key=lambda one: one.box[2] * one.box[3], reverse=True)

    return detect


def from_option(detector_file: str | None, *, settings: CascadeSettings = STILL) -> Detect:
    """Return the detector of the option ``--detector``: ``FILE`` or ``FILE@SHA256``."""
    if detector_file is None:
        return detector(settings=settings)
    file, _, digest = detector_file.partition("@")
    return detector(Path(file), digest or YUNET)


def cascade_file() -> Path:
    """Return the path of OpenCV's cascade file; ``UserError`` if its sha256 differs."""
    import cv2

    file = Path(cv2.__file__).parent / "data/haarcascade_frontalface_alt2.xml"
    if not file.is_file() or sha256(file) != CASCADE:
        raise UserError(f"{file} is not OpenCV's original: its sha256 differs; `make install`")
    return file


def whole(picture: Pixels) -> Detection:
    """Treat the whole picture as one face."""
    height, width = picture.shape
    return Detection(box=(0, 0, width, height))


def is_face(picture: Pixels) -> bool:
    """Whether a picture has at most 64 pixels per side and is thus treated as a cropped face."""
    return bool(max(picture.shape) <= FACE_SIDE)


def cut(picture: Pixels, found: Detection, size: int) -> Pixels:
    """Crop a face to ``(size, size)``: aligned by its eyes if known, otherwise by its box.

    The cascade's boxes match the crops of FER2013: for 48 pasted faces the median box was 1.00
    times as large, and centred.
    """
    if found.eyes is not None:
        return resize(_upright(picture, found.eyes), size)
    x, y, width, height = found.box
    return resize(picture[y : y + height, x : x + width], size)


def _cascade(settings: CascadeSettings) -> Detect:
    import cv2

    cascade = cv2.CascadeClassifier(str(cascade_file()))

    def detect(picture: Pixels) -> list[Detection]:
        # Downscaled first: below twice its window the cascade samples only every second pixel.
        wanted = min(picture.shape) * settings.smallest / settings.window
        scale = max(1.0, wanted, math.sqrt(picture.size / settings.most))
        least = (settings.window, settings.window)
        boxes = cascade.detectMultiScale(_reduced(picture, scale), 1.1, 3, minSize=least)
        return [Detection(box=_clip(np.asarray(box) * scale, picture)) for box in boxes]

    return detect


def _yunet(file: Path, digest: str) -> Callable[[], Detect]:
    import cv2

    if not file.is_file():
        raise UserError(f"{file} is not there; --detector takes face_detection_yunet_2023mar.onnx")
    if (own := sha256(file)) != digest:
        raise UserError(f"{file} has sha256 {own}, not {digest}; FILE@SHA256 accepts another")

    def make() -> Detect:
        try:
            network = cv2.FaceDetectorYN.create(str(file), "", (320, 320), MIN_SCORE)
        except cv2.error as error:
            reason = str(error).strip().splitlines()[0][:120]
            raise UserError(f"{file} is not a YuNet model: {reason}") from None
        return lambda picture: _detect_yunet(network, picture)

    return make


def _detect_yunet(network: Any, picture: Pixels) -> list[Detection]:
    import cv2

    # Downscaled for speed; YuNet detects faces from about 10 pixels.
    scale = max(1.0, max(picture.shape) / 640)
    small = _reduced(picture, scale)
    network.setInputSize(small.shape[::-1])
    _, rows = network.detect(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
    found = []
    for row in np.asarray([] if rows is None else rows, np.float64) * scale:
        # YuNet returns the person's right eye first, which is on the left of the image.
        eyes = ((row[4], row[5]), (row[6], row[7]))
        found.append(Detection(box=_clip(row[:4], picture), eyes=eyes))
    return found


def _reduced(picture: Pixels, scale: float) -> Pixels:
    import cv2

    if scale == 1:
        return picture
    height, width = picture.shape
    side = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_AREA), np.uint8)


def _clip(box: NDArray[np.floating], picture: Pixels) -> tuple[int, int, int, int]:
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
