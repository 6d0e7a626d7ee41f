"""Probabilities of one face -> an apparent expression, or the reason why none is named.

Takes the calibrated probabilities of `bundle` and its threshold. Below the threshold the answer is
*unsure*. An answer describes what a face looks like to the network, no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Reason = Literal["unsure", "no_face"]


@dataclass(frozen=True)
class Answer:
    """Either ``emotion``, a class, or the ``reason`` why none is named.

    ``probabilities`` of all classes sum to 1; they are empty if there is no face.
    """

    emotion: str | None
    reason: Reason | None = None
    probabilities: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        shares = "  ".join(f"{name} {value:.3f}" for name, value in self.probabilities.items())
        label = self.emotion or (self.reason or "").replace("_", " ")
        return f"{label}  ({shares})" if shares else label


NEVER_BELOW = 0.5
"""The default threshold, for bundles without one of their own."""

NO_FACE = Answer(emotion=None, reason="no_face")


def answer(
    probabilities: NDArray[np.floating], classes: Sequence[str], abstain_below: float | None
) -> Answer:
    """Return the most probable class, or *unsure* if its probability is below ``abstain_below``.

    ``probabilities (classes,)`` are of one face; ``abstain_below=None`` means ``NEVER_BELOW``.
    """
    shares = dict(zip(classes, map(float, probabilities), strict=True))
    likeliest = max(shares, key=shares.__getitem__)
    if shares[likeliest] < effective_threshold(abstain_below):
        return Answer(emotion=None, reason="unsure", probabilities=shares)
    return Answer(emotion=likeliest, probabilities=shares)


def effective_threshold(abstain_below: float | None) -> float:
    """Return the lowest probability at which a class is named."""
    return NEVER_BELOW if abstain_below is None else abstain_below
