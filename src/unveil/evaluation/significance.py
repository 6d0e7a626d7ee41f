"""Permutation tests of differences between parts of a set, with Holm's correction."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unveil.evaluation.metrics import Counts, Measure

DRAWS = 2000


class PermutationResult(NamedTuple):
    """A difference and its p-value, 0 to 1."""

    difference: float
    p: float


def permutation_test(
    measure: Measure, part: Counts, rest: Counts, *, seed: int = 0
) -> PermutationResult:
    """Compare a metric of two confusion matrices by exchanging images of the same true class.

    A permutation test (Good, 2005, ch. 3). Permuting within classes makes it insensitive to a
    difference in class shares alone.
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
    return PermutationResult(found, _share(measure(drawn) - measure(both - drawn), found))


def range_permutation_test(
    hits: NDArray[np.int64], counts: NDArray[np.int64], *, seed: int = 0
) -> PermutationResult:
    """Test the largest difference between the groups' shares ``hits / counts (g,)``.

    The permutations distribute the same number of hits over all images.
    """
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(counts, hits.sum(), size=DRAWS)
    found = float(np.ptp(hits / counts))
    return PermutationResult(found, _share(np.ptp(drawn / counts, axis=1), found))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for multiple testing; ``None`` is no test and stays ``None``.

    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6.
    """
    tested = [place for place, p in enumerate(p_values) if p is not None]
    values = np.array([p_values[place] for place in tested], np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(tested), 0, -1)).clip(max=1)
    result: list[float | None] = [None] * len(p_values)
    for place, value in zip(order, raised, strict=True):
        result[tested[place]] = float(value)
    return result


def _share(drawn: NDArray[np.float64], found: float) -> float:
    # The data itself counts as a permutation; the tolerance absorbs rounding of equal values.
    as_large = int((np.abs(drawn) >= abs(found) - 1e-12).sum())
    return (1 + as_large) / (1 + DRAWS)
