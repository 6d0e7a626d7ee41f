"""Candidates of the face detector at several sizes of a picture -> one result for each face."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 2000
"""The most candidates that are merged, those with the highest scores; it bounds the work."""
OVERLAP = 0.3
"""Intersection over union from which two candidates are the same face (MediaPipe's value)."""

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Candidates:
    """``scores (n,)`` in 0..1; ``boxes (n, 4)`` as left, top, right, bottom; ``points (n, 6, 2)``.

    Coordinates are pixels of the picture.
    """

    scores: Values
    boxes: Values
    points: Values

    def at_least(self, least: float) -> "Candidates":
        """Return those whose boxes are at least ``least`` pixels wide."""
        kept = self.boxes[:, 2] - self.boxes[:, 0] >= least
        return Candidates(self.scores[kept], self.boxes[kept], self.points[kept])

    def moved(self, corner: Values) -> "Candidates":
        """Return the candidates of a part of a picture whose corner is at ``corner``, x and y."""
        return Candidates(self.scores, self.boxes + np.tile(corner, 2), self.points + corner)


def merge(levels: Sequence[Candidates]) -> Iterator[tuple[float, Values, Values]]:
    """Yield score, box ``(4,)`` and points ``(6, 2)`` of each face, the highest score first.

    Weighted non-maximum suppression as in MediaPipe: the mean of the candidates that overlap the
    best one, weighted with their scores. It is steadier over the frames of a video than the best
    candidate alone, which is what the operator of ONNX returns.
    """
    scores, boxes, points = (
        np.concatenate([getattr(one, name) for one in levels])
        for name in ("scores", "boxes", "points")
    )
    left = np.argsort(-scores, kind="stable")[:MOST]
    while len(left):
        best = left[0]
        same = _overlap(boxes[best], boxes[left]) > OVERLAP
        same[0] = True
        group, left = left[same], left[~same]
        weights = scores[group] / scores[group].sum()
        yield float(scores[best]), weights @ boxes[group], np.tensordot(weights, points[group], 1)


def _overlap(box: Values, others: Values) -> Values:
    """Return the intersection over union ``(n,)`` of a box with others ``(n, 4)``."""
    low = np.maximum(others[:, :2], box[:2])
    high = np.minimum(others[:, 2:], box[2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    total = areas + np.prod(box[2:] - box[:2]) - shared
    return np.asarray(shared / np.maximum(total, 1e-9))
