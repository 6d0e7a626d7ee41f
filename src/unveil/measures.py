"""One function for each number.

All take class indices ``truth (n,)`` and ``predicted (n,)``. Intervals hold 95 % and come from a
stratified bootstrap: within each true class images are drawn again with replacement (Efron and
Tibshirani, 1993, ch. 13), which needs the confusion matrix alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

Labels = NDArray[np.int64]
Counts = NDArray[np.int64]

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
    matrix: Counts = metrics.confusion_matrix(truth, predicted, labels=range(classes))
    return matrix


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


def interval(
    measure: Callable[[Counts], NDArray[np.float64]], matrix: Counts, *, seed: int = 0
) -> Estimate:
    """Give a measure of one confusion matrix with its 95 % percentile interval."""
    generator = np.random.default_rng(seed)
    draws = np.stack([_drawn(row, generator) for row in matrix], axis=1)
    low, high = np.quantile(measure(draws), (0.025, 0.975))
    return Estimate(float(measure(matrix)), float(low), float(high))


def paired_difference(
    truth: Labels, first: Labels, second: Labels, *, classes: int, seed: int = 0
) -> Estimate:
    """Give macro-F1 of ``first`` minus that of ``second`` on the same images, with its interval.

    Images are drawn again in pairs: an image takes both of its predictions along, so that what is
    hard for both does not blur the difference.
    """
    joint = (truth * classes + first) * classes + second
    cells = np.bincount(joint, minlength=classes**3).reshape(classes, classes * classes)
    generator = np.random.default_rng(seed)
    draws = np.stack([_drawn(row, generator) for row in cells], axis=1)
    differences = _difference(draws, classes)
    low, high = np.quantile(differences, (0.025, 0.975))
    return Estimate(float(_difference(cells[None], classes)[0]), float(low), float(high))


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


def _share(part: Counts, whole: Counts) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)


def _drawn(row: Counts, generator: np.random.Generator) -> Counts:
    total = int(row.sum())
    shares = row / total if total else np.full(len(row), 1 / len(row))
    return generator.multinomial(total, shares, size=DRAWS)


def _difference(cells: Counts, classes: int) -> NDArray[np.float64]:
    cube = cells.reshape(-1, classes, classes, classes)
    return macro_f1(cube.sum(3)) - macro_f1(cube.sum(2))
