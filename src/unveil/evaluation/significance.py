"""Whether a difference between parts of a set is more than chance makes, for many at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unveil.common.metrics import Counts, Measure

DRAWS = 2000


class Chance(NamedTuple):
    """A difference, and how often chance alone makes one as large, 0 to 1."""

    difference: float
    p: float


def chance(measure: Measure, part: Counts, rest: Counts, *, seed: int = 0) -> Chance:
    """Compare a measure of two confusion matrices by exchanging images of the same true class.

    A permutation test (Good, 2005, ch. 3): were the parts alike, it would not matter which of a
    class's images are in which. An unlike share of the classes alone makes no difference.
    """
    generator = np.random.default_rng(seed)
    both = part + rest
    drawn = np.stack(
        [
            generator.multivariate_hypergeometric(row, count, size=DRAWS)
            for row, count in zip(both, part.sum(1), strict=True)
        ],
        axis=1,
    )
    found = float(measure(part) - measure(rest))
    return Chance(found, _share(measure(drawn) - measure(both - drawn), found))


def spread(hits: NDArray[np.int64], counts: NDArray[np.int64], *, seed: int = 0) -> Chance:
    """Give the largest difference between groups' shares ``hits / counts (g,)``, and its chance.

    Chance hands the same number of hits out again over all images.
    """
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(counts, hits.sum(), size=DRAWS)
    found = float(np.ptp(hits / counts))
    return Chance(found, _share(np.ptp(drawn / counts, axis=1), found))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct for asking many questions; ``None`` asks none, and stays.

    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6.
    """
    asked = [place for place, p in enumerate(p_values) if p is not None]
    values = np.array([p_values[place] for place in asked], np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(asked), 0, -1)).clip(max=1)
    result: list[float | None] = [None] * len(p_values)
    for place, value in zip(order, raised, strict=True):
        result[asked[place]] = float(value)
    return result


def _share(drawn: NDArray[np.float64], found: float) -> float:
    # The data itself is one of the drawings; a little slack, as equal numbers round unlike.
    as_large = int((np.abs(drawn) >= abs(found) - 1e-12).sum())
    return (1 + as_large) / (1 + DRAWS)
