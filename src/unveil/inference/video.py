"""A video file or a camera -> gray frames with timestamps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.data.decoding import Limits, Pixels, UnreadableImage, refuse_size

LIMITS = Limits()
RATE = 30.0
"""Default frames per second, if the source does not state them."""


@dataclass(frozen=True)
class Frame:
    """A gray frame ``(height, width)``, its number from 0 and its time in seconds."""

    number: int
    time: float
    pixels: Pixels


@dataclass(frozen=True)
class Stream:
    """Frames, and how many of them are in a second."""

    rate: float
    frames: Iterator[Frame]


@contextmanager
def opened(source: Path | int, limits: Limits = LIMITS) -> Iterator[Stream]:
    """Open a video file, or a camera by its number.

    Raises ``UserError`` if it cannot be opened or a frame's size is outside ``limits``. Releases
    the camera at the end.
    """
    import cv2

    name = f"camera {source}" if isinstance(source, int) else str(source)
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{name} is not there; name a video file")
    # OpenCV would print its own errors besides ours.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    try:
        if not capture.isOpened():
            raise UserError(f"{name} cannot be opened as a video")
        # Check the size before a frame is decoded into memory.
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        width, height = (int(capture.get(side)) for side in sides)
        if width and height:
            refuse_size(width, height, limits)
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 1 <= rate <= 1000 else RATE
        yield Stream(rate, _frames(capture, limits, rate, live=isinstance(source, int)))
    except UnreadableImage as error:
        raise UserError(f"{name}: frames of {error}") from None
    finally:
        capture.release()


def _frames(capture: Any, limits: Limits, rate: float, *, live: bool) -> Iterator[Frame]:
    import cv2

    number, began = 0, time.monotonic()
    while True:
        there, pixels = capture.read()
        if not there:
            return
        refuse_size(pixels.shape[1], pixels.shape[0], limits)
        gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
        # A camera delivers frames in real time, a file at its own rate.
        when = time.monotonic() - began if live else number / rate
        yield Frame(number=number, time=when, pixels=gray)
        number += 1
