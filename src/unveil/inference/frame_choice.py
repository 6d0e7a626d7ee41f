"""Which frames of a video are classified: a span of time, and each N-th frame or some a second."""

import re
from dataclasses import dataclass
from math import floor

from unveil.common.errors import UserError

TIME = re.compile(
    r"[0-9]{1,9}(?:\.[0-9]*)?|(?:([0-9]{1,6}):(?=[0-5]?[0-9]:))?([0-9]{1,6}):([0-5][0-9](?:\.[0-9]*)?)"
)
"""Seconds, or [h:]mm:ss[.fff]; with hours, the minutes are less than 60."""
ROUNDING = 0.001
"""Seconds by which a container may round a time: Matroska's are whole milliseconds."""


def seconds(option: str, text: str) -> float:
    """Return the seconds of a time such as 90, 1:30, 1:02:03.5.

    Raises ``UserError`` with the name of the option.
    """
    found = TIME.fullmatch(text)
    if not found:
        raise UserError(
            f"{option} {text}: not a time in the video; choose seconds from 0 or [h:]mm:ss[.fff], "
            "such as 90 or 1:30"
        )
    hours, minutes, rest = found.groups()
    if rest is None:
        return float(text)
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(rest)


@dataclass(frozen=True)
class FrameChoice:
    """The frames that are classified.

    Those from ``start`` to before ``end``, in seconds as the file states them; of these each
    ``every``-th, or at most ``per_second`` in a second of the video.
    """

    every: int = 1
    per_second: float | None = None
    start: float | None = None
    end: float | None = None

    @property
    def span(self) -> str:
        """The options that limit the time, or nothing."""
        given = (("--from", self.start), ("--to", self.end))
        return " and ".join(name for name, value in given if value is not None)

    def rate(self, rate: float) -> float:
        """Return the chosen frames per second of a video that has ``rate``."""
        return rate / self.every if self.per_second is None else min(rate, self.per_second)


def choose(
    every: int | None, per_second: float | None, start: str | None, end: str | None
) -> FrameChoice:
    """Return the choice that the options ``--every``, ``--fps``, ``--from`` and ``--to`` state.

    Raises ``UserError`` if they contradict each other or are no times.
    """
    if every is not None and per_second is not None:
        raise UserError("--every and --fps exclude each other; choose one")
    first = None if start is None else seconds("--from", start)
    last = None if end is None else seconds("--to", end)
    if last is not None and (first or 0) >= last:
        raise UserError(
            f"--to {end} is not after the start at {start or 0}; choose a later --to"
            + (" or an earlier --from" if start else "")
        )
    return FrameChoice(every or 1, per_second, first, last)


class FramePicker:
    """Picks frames of the span in order."""

    def __init__(self, choice: FrameChoice) -> None:
        """Start before the first frame of the span."""
        self._choice = choice
        self._number, self._first, self._slot = -1, 0.0, -1

    def picks(self, when: float) -> bool:
        """Whether the next frame, at ``when`` seconds, is classified."""
        self._number += 1
        if self._choice.per_second is None:
            return self._number % self._choice.every == 0
        if self._number == 0:
            self._first = when
        # The first frame of each slot: chosen frames follow the rate and do not drift from it.
        slot = floor((when - self._first + ROUNDING) * self._choice.per_second)
        is_new, self._slot = slot > self._slot, max(slot, self._slot)
        return is_new
