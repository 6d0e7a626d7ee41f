"""A video file, a camera or a URL -> frames with timestamps."""

from collections.abc import Iterator
from contextlib import contextmanager

from unveil.common.errors import UserError
from unveil.data.decoding import Limits, UnreadableImage
from unveil.inference import video_span
from unveil.inference.frame_choice import FrameChoice
from unveil.inference.video_frames import Reader, Stream
from unveil.inference.video_source import Address, Source, name, open_container
from unveil.inference.video_span import Span

LIMITS = Limits()
ALL = FrameChoice()
RATE = 30.0
"""Default frames per second, if the source does not state them."""


@contextmanager
def opened(source: Source, limits: Limits = LIMITS, choice: FrameChoice = ALL) -> Iterator[Stream]:
    """Open a video file, a camera by its number, or a URL, and read the frames of ``choice``.

    Raises ``UserError`` if it cannot be opened, if a frame's size is outside ``limits``, or if the
    choice is outside the video. Releases the camera at the end.
    """
    is_rtsp = isinstance(source, Address) and source.scheme == "rtsp"
    video_span.refuse_live(source, choice, is_live=is_rtsp or isinstance(source, int))
    with open_container(source) as container:
        if not container.streams.video:
            raise UserError(f"{name(source)} cannot be opened as a video: it has no picture")
        if container.streams.video[0].codec_context is None:
            raise UserError(f"{name(source)} cannot be opened as a video: its codec is not known")
        known = video_span.span(container)
        is_live = known is None and isinstance(source, Address)
        video_span.refuse_live(source, choice, is_live=is_live)
        video_span.refuse_outside(source, choice, known)
        rate = float(container.streams.video[0].average_rate or RATE)
        rate = rate if 1 <= rate <= 1000 else RATE
        stream = Stream(choice.rate(rate), iter(()), _total(choice, known, rate))
        stream.frames = Reader(source, container, stream, choice, rate).frames(limits)
        try:
            yield stream
        except UnreadableImage as error:
            raise UserError(f"{name(source)}: frames of {error}") from None


def _total(choice: FrameChoice, known: Span | None, rate: float) -> int | None:
    if known is None:
        return None
    begin = max(known[0], choice.start or 0.0)
    end = known[1] if choice.end is None else min(known[1], choice.end)
    return max(1, round((end - begin) * rate))
