"""Face tracking over video frames, with probabilities smoothed over time.

A face continues the track whose last box it overlaps most (Bochinski et al., 2017, "High-Speed
Tracking-by-Detection Without Using Image Information"); its probabilities are an exponential
moving average.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unveil.inference.face_crop import Box

Rectangle = tuple[float, float, float, float]
Probabilities = NDArray[np.floating]

MIN_IOU = 0.3
"""Lowest intersection over union of boxes of the same face."""
HALF_LIFE = 0.3
"""Half-life of the moving average, in seconds."""
MAX_GAP = 0.5
"""Seconds after which an undetected face's track may end."""
MAX_MISSED = 2
"""Frames in a row without the face that its track survives, however far apart they are."""


@dataclass(frozen=True)
class Track:
    """A face over time: when it was last ``seen``, in seconds, and its smoothed probabilities.

    ``missed`` counts the frames since then.
    """

    number: int
    box: Box
    seen: float
    probabilities: Probabilities
    missed: int = 0


def update_tracks(
    before: Sequence[Track],
    boxes: Sequence[Box],
    probabilities: Probabilities,
    *,
    now: float,
    next_number: int,
) -> list[Track]:
    """Return a track for each of ``boxes``, in order, then tracks currently without a detection.

    ``probabilities (n, classes)`` are those of this frame, ``next_number`` the first free number.
    """
    free = [track for track in before if now - track.seen <= MAX_GAP or track.missed <= MAX_MISSED]
    given = []
    for box, fresh in zip(boxes, probabilities, strict=True):
        known = max(free, key=lambda track: iou(track.box, box), default=None)
        if known is None or iou(known.box, box) < MIN_IOU:
            given.append(Track(next_number, box, now, fresh.astype(np.float64)))
            next_number += 1
            continue
        free.remove(known)
        kept = 0.5 ** ((now - known.seen) / HALF_LIFE)
        smoothed = kept * known.probabilities + (1 - kept) * fresh
        given.append(Track(known.number, box, now, smoothed))
    return given + [replace(track, missed=track.missed + 1) for track in free]


def rescale(track: Track, x: float, y: float) -> Track:
    """Return the track in the pixels of a frame ``x`` times as wide and ``y`` times as high."""
    left, top, width, height = track.box
    box = round(left * x), round(top * y), max(1, round(width * x)), max(1, round(height * y))
    return replace(track, box=box)


def iou(first: Rectangle, second: Rectangle) -> float:
    """Return the intersection over union of two boxes x, y, width, height; 0 to 1."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(0, width) * max(0, height)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)
