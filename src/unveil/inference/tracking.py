"""faces of one frame after another -> the same face again, its label steadied over time.

A face goes on where its box overlaps most with one of the frame before (Bochinski et al., 2017,
"High-Speed Tracking-by-Detection Without Using Image Information"); its probabilities are averaged,
older frames fading out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
Shares = NDArray[np.floating]

OVERLAP = 0.3
"""Intersection over union from which on two boxes are one face."""
HALF_LIFE = 0.3
"""Seconds in which what was seen loses half of its weight."""
LOST = 0.5
"""Seconds for which a face may be missed."""


@dataclass(frozen=True)
class Track:
    """A face over time: when it was last ``seen``, in seconds, and its steadied probabilities."""

    number: int
    box: Box
    seen: float
    shares: Shares


def followed(
    before: Sequence[Track],
    boxes: Sequence[Box],
    shares: Shares,
    *,
    now: float,
    following: int,
) -> list[Track]:
    """Give a track for each of ``boxes``, in their order, then those that are missed still.

    ``shares (n, classes)`` are of this frame alone, ``following`` the number of the next new face.
    """
    free = [track for track in before if now - track.seen <= LOST]
    given = []
    for box, fresh in zip(boxes, shares, strict=True):
        known = max(free, key=lambda track: overlap(track.box, box), default=None)
        if known is None or overlap(known.box, box) < OVERLAP:
            given.append(Track(following, box, now, fresh.astype(np.float64)))
            following += 1
            continue
        free.remove(known)
        kept = 0.5 ** ((now - known.seen) / HALF_LIFE)
        steadied = kept * known.shares + (1 - kept) * fresh
        given.append(Track(known.number, box, now, steadied))
    return given + free


def overlap(first: Box, second: Box) -> float:
    """Give the intersection over union of two boxes x, y, width, height; 0 to 1."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(0, width) * max(0, height)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)
