"""Probabilities of one face -> an apparent expression, or the reason why none is named.

Takes the calibrated probabilities of `bundle` and its thresholds. Below the threshold of the most
probable class the answer is *unsure*. An answer describes what a face looks like to the network, no
more.
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

    @property
    def top(self) -> str | None:
        """The most probable class, also if it is not named; ``None`` if there is no face."""
        return max(self.probabilities, key=self.probabilities.__getitem__, default=None)

    @property
    def confidence(self) -> float | None:
        """The probability of the most probable class; ``None`` if there is no face."""
        return max(self.probabilities.values(), default=None)

    @property
    def name(self) -> str:
        """The class, or why none is named, with the most probable class."""
        why = (self.reason or "").replace("_", " ")
        return self.emotion or (f"{why}, perhaps {self.top}" if self.top else why)

    @property
    def label(self) -> str:
        """The name and the probability, for a picture."""
        return self.name if self.confidence is None else f"{self.name} {self.confidence:.2f}"

    def __str__(self) -> str:
        shares = "  ".join(f"{name} {value:.3f}" for name, value in self.probabilities.items())
        return f"{self.name}  ({shares})" if shares else self.name


NEVER_BELOW = 0.5
"""The default threshold, for bundles without one of their own."""

NO_FACE = Answer(emotion=None, reason="no_face")


def answer(
    probabilities: NDArray[np.floating], classes: Sequence[str], thresholds: Sequence[float]
) -> Answer:
    """Return the most probable class, or *unsure* if its probability is below its threshold.

    ``probabilities (classes,)`` and ``thresholds (classes,)``, 0 to 1, are in the order of the
    classes.
    """
    shares = dict(zip(classes, map(float, probabilities), strict=True))
    likeliest = max(shares, key=shares.__getitem__)
    if shares[likeliest] < dict(zip(classes, thresholds, strict=True))[likeliest]:
        return Answer(emotion=None, reason="unsure", probabilities=shares)
    return Answer(emotion=likeliest, probabilities=shares)
