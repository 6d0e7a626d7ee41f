"""An exported network beside the one it is of: how far it answers alike, and if near enough."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError

TOLERANCE = 1e-4
"""By how much a probability of ``model.onnx`` may differ from Keras's."""


@dataclass(frozen=True)
class Parity:
    """How far a file answers as Keras does: largest difference, labels changed, of ``images``."""

    images: int
    max_difference: float
    changed_labels: int


def measured(expected: NDArray[np.floating], found: NDArray[np.floating]) -> Parity:
    """Compare probabilities ``(n, classes)`` of the same images."""
    return Parity(
        images=len(expected),
        max_difference=float(np.abs(expected - found).max()),
        changed_labels=int((expected.argmax(1) != found.argmax(1)).sum()),
    )


def refuse_difference(found: Parity) -> None:
    """Raise ``UserError`` where a probability differs by more than `TOLERANCE`."""
    if not found.max_difference <= TOLERANCE:
        raise UserError(
            f"model.onnx does not answer as Keras does: {found.max_difference:.2g} apart at most, "
            f"{found.changed_labels} of {found.images} labels changed, more than {TOLERANCE:.2g}"
        )
