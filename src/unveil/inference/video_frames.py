"""An open video -> the chosen frames with timestamps, and what was lost."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unveil.common.errors import UserError
from unveil.data.decoding import Limits, Pixels, refuse_size
from unveil.inference import video_span
from unveil.inference.frame_choice import FrameChoice, FramePicker
from unveil.inference.video_source import Address, Source, name, reason

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

MOST_DAMAGED = 1000
"""Damaged packets in a row after which the rest of a file is not read."""
MISSING = 1.0
"""Seconds that may be missing at the end of a stream, whose duration is rounded."""
WITHOUT_TIMES = "mpjpeg"
"""The format of cameras that send pictures over HTTP without times."""


@dataclass(frozen=True)
class Frame:
    """An RGB frame ``(height, width, 3)``, its number from 0 and its time in seconds."""

    number: int
    time: float
    pixels: Pixels


@dataclass
class Stream:
    """Frames, and how many of them are in a second.

    ``total`` is how many frames will be read, if that is known, ``read`` how many were so far,
    also those that are left out. ``damaged`` counts the packets that could not be decoded so far:
    their frames are missing. ``lost`` says why a stream ended before its end.
    """

    rate: float
    frames: Iterator[Frame]
    total: int | None = None
    read: int = 0
    damaged: int = 0
    lost: str | None = None


@dataclass(frozen=True)
class Reader:
    """Reads the chosen frames of an open container and keeps count in ``stream``."""

    source: Source
    container: "InputContainer"
    stream: Stream
    choice: FrameChoice
    rate: float
    """Frames per second of the source."""

    def frames(self, limits: Limits) -> Iterator[Frame]:
        """Yield the chosen frames; the others are decoded and not converted."""
        picker, start = FramePicker(self.choice), self.choice.start or 0.0
        context = self.container.streams.video[0].codec_context
        _check_size(context.width, context.height, limits)
        when = 0.0
        for when, frame in self._timed():
            _check_size(frame.width, frame.height, limits)
            if when < start:
                continue
            if self.choice.end is not None and when >= self.choice.end:
                break
            self.stream.read += 1
            if picker.picks(when):
                pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                # Phones store frames as the sensor gives them, and how to turn them.
                turned = np.rot90(pixels, round(frame.rotation / 90))
                yield Frame(self.stream.read - 1, when, turned)
        else:
            self._check_end(when)
        if not self.stream.read:
            self._refuse_empty(when)

    def _decode(self) -> Iterator["VideoFrame"]:
        self.stream.damaged = 0  # another start may read the same packets again
        return _decoded(self.container, self.stream, self.source)

    def _timed(self) -> Iterator[tuple[float, "VideoFrame"]]:
        # A camera delivers frames in real time; a file states the time of each, as a rule.
        is_live = isinstance(self.source, int) or self.container.format.name == WITHOUT_TIMES
        began, when = time.monotonic(), 0.0
        frames = video_span.decoded_from(self.source, self.container, self.choice, self._decode)
        for number, frame in enumerate(frames):
            stated = number / self.rate if frame.time is None else frame.time
            # The times of a damaged file may go back; tracking needs times that do not.
            when = max(when, time.monotonic() - began if is_live else stated)
            yield when, frame

    def _refuse_empty(self, last: float) -> None:
        """Raise ``UserError`` if no frame was read; the last one of the file is at ``last`` s."""
        called, start, end = name(self.source), self.choice.start, self.choice.end
        if self.stream.lost:
            raise UserError(
                f"{called}: the stream ended before its first frame: {self.stream.lost}"
            )
        if start is not None and last < start:
            raise video_span.beyond(self.source, f"--from {start:g}", (0.0, last))
        if end is not None:
            raise UserError(
                f"no frame of {called} is from {start or 0:g} s to before {end:g} s; "
                "choose a longer span with --from and --to"
            )

    def _check_end(self, last: float) -> None:
        """Note that a stream from a URL ended long before the end that it states."""
        if not isinstance(self.source, Address) or self.stream.lost:
            return
        end = video_span.end_of_pictures(self.container)
        if end is not None and last + 1 / self.rate + MISSING < end:
            self.stream.lost = f"its end is at {end:.2f} s"


def _decoded(container: "InputContainer", stream: Stream, source: Source) -> Iterator["VideoFrame"]:
    """Yield what can be decoded, and count what cannot."""
    import av

    in_a_row = 0
    for packet in _packets(container, stream, source):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            stream.damaged, in_a_row = stream.damaged + 1, in_a_row + 1
            if in_a_row == MOST_DAMAGED:
                return
            continue
        in_a_row = 0
        yield from frames


def _packets(
    container: "InputContainer", stream: Stream, source: Source
) -> Iterator["Packet[VideoStream]"]:
    """Yield packets up to the end or an error of reading, after which none can be read."""
    import av

    packets = container.demux(container.streams.video[0])
    while True:
        began = time.monotonic()
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            if isinstance(source, Address):
                stream.lost = reason(error, time.monotonic() - began)
            else:
                stream.damaged += 1
            yield _flush(container)
            return
        if packet is None:
            return
        yield packet


def _flush(container: "InputContainer") -> "Packet[VideoStream]":
    """Return the packet that makes the decoder give the frames that it still holds."""
    import av

    packet: Any = av.Packet()
    packet.stream = container.streams.video[0]
    flush: Packet[VideoStream] = packet
    return flush


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width and height:
        refuse_size(width, height, limits)
