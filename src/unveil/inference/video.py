"""A video file or a camera -> frames with timestamps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unveil.common.errors import UserError
from unveil.data.decoding import Limits, Pixels, UnreadableImage, refuse_size

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

LIMITS = Limits()
RATE = 30.0
"""Default frames per second, if the source does not state them."""
MOST_DAMAGED = 1000
"""Damaged packets in a row after which the rest of a file is not read."""


@dataclass(frozen=True)
class Frame:
    """An RGB frame ``(height, width, 3)``, its number from 0 and its time in seconds."""

    number: int
    time: float
    pixels: Pixels


@dataclass
class Stream:
    """Frames, and how many of them are in a second.

    ``damaged`` counts the packets of the file that could not be decoded so far: their frames are
    missing.
    """

    rate: float
    frames: Iterator[Frame]
    damaged: int = 0


@contextmanager
def opened(source: Path | int, limits: Limits = LIMITS) -> Iterator[Stream]:
    """Open a video file, or a camera by its number.

    Raises ``UserError`` if it cannot be opened or a frame's size is outside ``limits``. Releases
    the camera at the end.
    """
    import av

    name = f"camera {source}" if isinstance(source, int) else str(source)
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{name} is not there; name a video file")
    try:
        container = _container(source)
    except (av.FFmpegError, ValueError) as error:
        raise UserError(f"{name} cannot be opened as a video: {_reason(error)}") from None
    with container:
        if not container.streams.video:
            raise UserError(f"{name} cannot be opened as a video: it has no picture")
        if container.streams.video[0].codec_context is None:
            raise UserError(f"{name} cannot be opened as a video: its codec is not known")
        try:
            rate = float(container.streams.video[0].average_rate or RATE)
            rate = rate if 1 <= rate <= 1000 else RATE
            stream = Stream(rate, iter(()))
            stream.frames = _frames(container, stream, limits, live=isinstance(source, int))
            yield stream
        except UnreadableImage as error:
            raise UserError(f"{name}: frames of {error}") from None


def _container(source: Path | int) -> "InputContainer":
    import av

    if isinstance(source, int):
        return av.open(f"/dev/video{source}", format="v4l2")
    # "file:" keeps a name such as "http:x" from being read as an address; a playlist may name none.
    return av.open(f"file:{source}", options={"protocol_whitelist": "file"})


def _frames(
    container: "InputContainer", stream: Stream, limits: Limits, *, live: bool
) -> Iterator[Frame]:
    began, video, when = time.monotonic(), container.streams.video[0], 0.0
    _check_size(video.codec_context.width, video.codec_context.height, limits)
    for number, frame in enumerate(_decoded(container, stream)):
        _check_size(frame.width, frame.height, limits)
        # A camera delivers frames in real time; a file states the time of each, as a rule.
        stated = number / stream.rate if frame.time is None else frame.time
        # The times of a damaged file may go back; tracking needs times that do not.
        when = max(when, time.monotonic() - began if live else stated)
        pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        # Phones store frames as the sensor gives them, and how to turn them.
        yield Frame(number, when, np.rot90(pixels, round(frame.rotation / 90)))


def _decoded(container: "InputContainer", stream: Stream) -> Iterator["VideoFrame"]:
    """Yield what can be decoded, and count what cannot."""
    import av

    packets, in_a_row = container.demux(container.streams.video[0]), 0
    while in_a_row < MOST_DAMAGED:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.FFmpegError:
            stream.damaged, in_a_row = stream.damaged + 1, in_a_row + 1
            continue
        in_a_row = 0
        yield from frames


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width and height:
        refuse_size(width, height, limits)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0].lower()[:120]
