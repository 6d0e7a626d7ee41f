"""Parity of an exported network with the Keras model it was exported from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError

TOLERANCE = 1e-4
"""Largest allowed difference of a probability of ``model.onnx`` from Keras's."""


@dataclass(frozen=True)
class Parity:
    """Comparison with Keras: largest difference, number of changed labels, of ``images``."""

    images: int
    max_difference: float
    changed_labels: int


def measure(expected: NDArray[np.floating], found: NDArray[np.floating]) -> Parity:
    """Compare probabilities ``(n, classes)`` of the same images."""
    return Parity(
        images=len(expected),
        max_difference=float(np.abs(expected - found).max()),
        changed_labels=int((expected.argmax(1) != found.argmax(1)).sum()),
    )


def refuse_difference(found: Parity) -> None:
    """Raise ``UserError`` if a probability differs by more than `TOLERANCE`."""
    if not found.max_difference <= TOLERANCE:
        raise UserError(
            "model.onnx does not reproduce the Keras model: probabilities differ by up to "
            f"{found.max_difference:.2g}, more than {TOLERANCE:.2g}, and {found.changed_labels} of "
            f"{found.images} labels changed"
        )
