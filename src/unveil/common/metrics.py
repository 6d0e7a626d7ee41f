"""One function for each number.

All take class indices ``truth (n,)`` and ``predicted (n,)``. Intervals hold 95 % and come from a
stratified bootstrap: within each true class images are drawn again with replacement (Efron and
Tibshirani, 1993, ch. 13), which needs the confusion matrix alone. Its plain percentiles would hold
91 % where 128 images are nearly all right, so they are bias-corrected and accelerated
(BCa, ibid., section 14.3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Labels = NDArray[np.int64]
Counts = NDArray[np.int64]

Measure = Callable[[Counts], NDArray[np.float64]]
"""Of one confusion matrix ``(c, c)``, or of each of a stack."""

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def confusion(truth: Labels, predicted: Labels, classes: int) -> Counts:
    """Count ``(classes, classes)``: rows are true, columns predicted."""
    counts = np.bincount(truth * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def accuracy(matrix: Counts) -> NDArray[np.float64]:
    """Give the share of hits of one confusion matrix, or of each of a stack ``(..., c, c)``."""
    hits: NDArray[np.float64] = np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum((-2, -1))
    return hits


def f1(matrix: Counts) -> NDArray[np.float64]:
    """Give each class's F1 ``(..., c)``; 0 for a class that is neither there nor predicted."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    both = matrix.sum(-1) + matrix.sum(-2)
    scores: NDArray[np.float64] = np.divide(
        2 * hits, both, out=np.zeros(both.shape), where=both > 0
    )
    return scores


def macro_f1(matrix: Counts) -> NDArray[np.float64]:
    """Give the mean of the classes' F1, every class alike."""
    mean: NDArray[np.float64] = f1(matrix).mean(-1)
    return mean


def weighted_f1(matrix: Counts) -> NDArray[np.float64]:
    """Give the mean of the classes' F1, each by its share of the truth."""
    shares = matrix.sum(-1) / matrix.sum((-2, -1))[..., None]
    weighted: NDArray[np.float64] = (f1(matrix) * shares).sum(-1)
    return weighted


def precision(matrix: Counts) -> NDArray[np.float64]:
    """Give, for each class, the share of its predictions that are right; 0 without any."""
    return _share(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-2))


def recall(matrix: Counts) -> NDArray[np.float64]:
    """Give, for each class, the share of its images that are found; 0 without any."""
    return _share(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1))


def kappa(matrix: Counts) -> NDArray[np.float64]:
    """Give Cohen's kappa (1960), agreement beyond chance, -1 to 1; 0 where chance is all."""
    total = matrix.sum((-2, -1))
    expected = (matrix.sum(-1) * matrix.sum(-2)).sum(-1) / total**2
    return _share(accuracy(matrix) - expected, 1 - expected)


def interval(measure: Measure, matrix: Counts, *, seed: int = 0) -> Estimate:
    """Give a measure of one confusion matrix with its 95 % interval."""
    drawn = measure(_redrawn(matrix, np.random.default_rng(seed)))
    return _accelerated(measure, matrix, drawn)


def gap(measure: Measure, first: Counts, second: Counts, *, seed: int = 0) -> Estimate:
    """Give a measure of ``first`` minus that of ``second``, about other images, with its interval.

    The limits' distances from both values are added as squares (Newcombe, 1998, method 10).
    """
    one, other = interval(measure, first, seed=seed), interval(measure, second, seed=seed + 1)
    value = one.value - other.value
    below = np.hypot(one.value - one.low, other.high - other.value)
    above = np.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, float(value - below), float(value + above))


def paired_difference(
    truth: Labels, first: Labels, second: Labels, *, classes: int, seed: int = 0
) -> Estimate:
    """Give macro-F1 of ``first`` minus that of ``second`` on the same images, with its interval.

    Images are drawn again in pairs: an image takes both of its predictions along, so that what is
    hard for both does not blur the difference.
    """
    joint = (truth * classes + first) * classes + second
    cells = np.bincount(joint, minlength=classes**3).reshape(classes, classes * classes)
    drawn = _redrawn(cells, np.random.default_rng(seed))
    return _accelerated(_difference, cells, _difference(drawn))


def by_class(matrix: Counts, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Give precision, recall, F1 and the number of images of each class by name."""
    columns: dict[str, Any] = {
        "precision": precision(matrix),
        "recall": recall(matrix),
        "f1": f1(matrix),
        "images": matrix.sum(-1),
    }
    return {
        name: {key: float(values[place]) for key, values in columns.items()}
        for place, name in enumerate(names)
    }


def _accelerated(measure: Measure, cells: Counts, drawn: NDArray[np.float64]) -> Estimate:
    """Correct the percentiles for bias and for a spread that changes with the value."""
    value = float(measure(cells))
    acceleration, widening = _moments(measure, cells)
    below = ((drawn < value).sum() + (drawn == value).sum() / 2) / DRAWS
    bias = ndtri(np.clip(below, 0.5 / DRAWS, 1 - 0.5 / DRAWS))
    shifted = bias + widening * ndtri(np.array([0.025, 0.975]))
    low, high = np.quantile(drawn, ndtr(bias + shifted / (1 - acceleration * shifted)))
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _moments(measure: Measure, cells: Counts) -> tuple[float, float]:
    """Give the skewness of what one image changes, over 6, and how much too narrow drawing is.

    From leaving each image out of its own class. A class of n, drawn again, spreads too little by
    n - 1 over n (Hesterberg, 2015, "What Teachers Should Know About the Bootstrap", section 3.2).
    """
    if cells.sum() < 2:
        return 0.0, 1.0
    rows, columns = np.nonzero(cells)
    times, sizes = cells[rows, columns], cells.sum(1)[rows]
    without = np.repeat(cells[None], len(rows), axis=0)
    without[np.arange(len(rows)), rows, columns] -= 1
    left = measure(without)
    means = np.bincount(rows, times * left / sizes, len(cells))
    influence = (sizes - 1) / sizes * (means[rows] - left)
    squares = times * influence**2
    if not squares.sum():
        return 0.0, 1.0
    skewness = (times * influence**3).sum() / (6 * squares.sum() ** 1.5)
    unbiased = squares * sizes / np.maximum(sizes - 1, 1)
    return float(skewness), float(np.sqrt(unbiased.sum() / squares.sum()))


def _redrawn(cells: Counts, generator: np.random.Generator) -> Counts:
    return np.stack([_drawn(row, generator) for row in cells], axis=1)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
    return shares


def _drawn(row: Counts, generator: np.random.Generator) -> Counts:
    total = int(row.sum())
    shares = row / total if total else np.full(len(row), 1 / len(row))
    return generator.multinomial(total, shares, size=DRAWS)


def _difference(cells: Counts) -> NDArray[np.float64]:
    classes = cells.shape[-2]
    cube = cells.reshape(*cells.shape[:-1], classes, classes)
    return macro_f1(cube.sum(-1)) - macro_f1(cube.sum(-2))
