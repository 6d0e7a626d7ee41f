"""The span of time of a video: where it begins and ends, and how reading starts within it."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from unveil.common.errors import UserError
from unveil.inference.frame_choice import FrameChoice
from unveil.inference.video_source import Source, name

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

STEPS_BACK = (0.0, 1.0, 5.0, 30.0)
"""Seconds before a time at which a key frame is looked for, one after the other."""
BEFORE_ALL = 60.0
"""Seconds before the begin of a video that find its first frame: MPEG-TS passes over some at 0."""

Span = tuple[float, float]
"""Where a video begins and ends, in seconds."""


def span(container: "InputContainer") -> Span | None:
    """Return where a video begins and ends, in its own times; ``None`` if it does not say."""
    import av

    if container.duration is None:
        return None
    begin = max(0.0, (container.start_time or 0) / av.time_base)
    return begin, begin + container.duration / av.time_base


def refuse_live(source: Source, choice: FrameChoice, *, is_live: bool) -> None:
    """Raise ``UserError`` if a span of a source is asked for that has neither start nor end."""
    if is_live and choice.span:
        kind = "camera" if isinstance(source, int) else "live stream"
        raise UserError(
            f"{choice.span}: {name(source)} is a {kind}, which has no start and no end to count "
            "from; choose a video file, or leave them out"
        )


def refuse_outside(source: Source, choice: FrameChoice, known: Span | None) -> None:
    """Raise ``UserError`` if the choice begins or ends beyond the end of the video."""
    if known is None:
        return
    begin, end = known
    # Somebody may round the end up to a whole second.
    for option, value, most in (("--from", choice.start, end), ("--to", choice.end, end + 1)):
        if value is not None and value >= most:
            raise beyond(source, f"{option} {value:g}", known)
    if choice.end is not None and choice.end <= begin:
        raise UserError(
            f"--to {choice.end:g} is before the start of {name(source)}, which runs from "
            f"{begin:.2f} s to {end:.2f} s"
        )


def beyond(source: Source, asked: str, known: Span) -> UserError:
    """Return the error for a time beyond the end of a video, with its duration."""
    begin, end = known
    runs = f", from {begin:.2f} s to {end:.2f} s" if begin else ""
    return UserError(
        f"{asked} is beyond the end of {name(source)}, which lasts {end - begin:.2f} s{runs}; "
        "choose an earlier time"
    )


def decoded_from(
    source: Source,
    container: "InputContainer",
    choice: FrameChoice,
    decode: Callable[[], Iterator["VideoFrame"]],
) -> Iterator["VideoFrame"]:
    """Decode frames from a key frame before the start of the choice on, or from the first on."""
    known = span(container)
    # A server may not be able to jump; FFmpeg then reads on at the wrong place.
    if choice.start is None or known is None or not isinstance(source, Path):
        return decode()
    if choice.start <= known[0]:
        return decode()
    for back in STEPS_BACK:
        if not _seek(container, max(known[0], choice.start - back)):
            continue
        frames = decode()
        first = next(frames, None)
        # MPEG-TS and others find a place, but not the key frame before it.
        if first is not None and first.time is not None and first.time <= choice.start:
            return chain([first], frames)
    if not _seek(container, known[0] - BEFORE_ALL):
        _seek(container, known[0])
    return decode()


def _seek(container: "InputContainer", target: float) -> bool:
    """Go to the key frame before a time in seconds; return whether that was possible."""
    import av

    try:
        container.seek(int(target * av.time_base))
    except (av.FFmpegError, NotImplementedError):
        return False
    return True


def end_of_pictures(container: "InputContainer") -> float | None:
    """Return when the last picture ends, in seconds; ``None`` if the video does not say."""
    video, known = container.streams.video[0], span(container)
    if video.duration is not None and video.time_base is not None:
        return float(((video.start_time or 0) + video.duration) * video.time_base)
    # Sound may go on after the last picture.
    return None if known is None or container.streams.audio else known[1]
