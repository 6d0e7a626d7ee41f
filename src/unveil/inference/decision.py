"""probabilities of one face -> what is said of it: an apparent expression, or why none.

Takes what `bundle` gives, calibrated, and its threshold. Nothing here is certain: an answer is what
the face looks like to the network, and where that is too little it says so.
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

    ``probabilities`` of all classes sum to 1; there are none where there is no face.
    """

    emotion: str | None
    reason: Reason | None = None
    probabilities: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        shares = "  ".join(f"{name} {value:.3f}" for name, value in self.probabilities.items())
        said = self.emotion or (self.reason or "").replace("_", " ")
        return f"{said}  ({shares})" if shares else said


NEVER_BELOW = 0.5
"""The probability under which no class is named where a bundle brings no threshold of its own."""

NO_FACE = Answer(emotion=None, reason="no_face")


def answer(
    probabilities: NDArray[np.floating], classes: Sequence[str], abstain_below: float | None
) -> Answer:
    """Name the likeliest of ``classes``, or be unsure where its share is under ``abstain_below``.

    ``probabilities (classes,)`` of one face; ``None`` is ``NEVER_BELOW``.
    """
    shares = dict(zip(classes, map(float, probabilities), strict=True))
    likeliest = max(shares, key=shares.__getitem__)
    if shares[likeliest] < bound(abstain_below):
        return Answer(emotion=None, reason="unsure", probabilities=shares)
    return Answer(emotion=likeliest, probabilities=shares)


def bound(abstain_below: float | None) -> float:
    """Give the probability from which on a class is named."""
    return NEVER_BELOW if abstain_below is None else abstain_below
