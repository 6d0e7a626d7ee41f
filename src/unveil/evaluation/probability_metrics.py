"""One function for each number about probabilities: do they mean what they say?

All take ``probabilities (n, classes)``, ``truth (n,)`` and ``weights (n,)``, how often each image
counts, or many of these ``(draws, n)``, and give a number for each. Intervals hold 95 % and come
from the stratified bootstrap of `measures`, in which a weight says how often an image was drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.common.metrics import DRAWS, Estimate, Labels

Numbers = NDArray[np.float64]
Weights = NDArray[np.int64]
Measure = Callable[[Numbers, Labels, Weights], Numbers]

BINS = 15
COVERAGES = np.arange(1, 21) / 20
"""Shares of images that are answered."""
AT_ONCE = 4_000_000
"""Weights in memory together, 32 MB."""


def log_loss(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Give the mean of ``-log`` of the true class's probability, at least 1e-7; 0 is best."""
    given = probabilities[np.arange(len(truth)), truth]
    return _mean(-np.log(np.clip(given, 1e-7, None)), weights)


def brier(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Give Brier's score (1950): the mean squared distance from the truth, 0, the best, to 2."""
    wanted = np.eye(probabilities.shape[1])[truth]
    return _mean(((probabilities - wanted) ** 2).sum(1), weights)


def ece(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Give the expected calibration error, 0 to 1: how far confidence is from the share of hits.

    Over 15 bins of equal width (Guo et al., 2017, section 2). Few images make it too large.
    """
    gaps = hits(probabilities, truth) - probabilities.max(1)
    binned = gaps[:, None] * np.eye(BINS)[bins(probabilities)]
    error: Numbers = np.abs(weights @ binned).sum(-1) / weights.sum(-1)
    return error


def risks(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Give the share of errors among the most confident of the answers, at all ``COVERAGES``.

    The risk-coverage curve of El-Yaniv and Wiener (2010, "On the Foundations of Noise-free
    Selective Classification"), one column more than there are numbers: ``(..., 20)``.
    """
    order = np.argsort(-probabilities.max(1), kind="stable")
    drawn = weights[..., order]
    wrong = drawn * ~hits(probabilities, truth)[order]
    answered, errors = (np.cumsum(_from_none(part), axis=-1) for part in (drawn, wrong))
    wanted = answered[..., -1:] * COVERAGES
    found = [
        np.interp(*row)
        for row in zip(*(_rows(part) for part in (wanted, answered, errors)), strict=True)
    ]
    return np.reshape(found, wanted.shape) / wanted


def accuracy_at_90(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Give the share of hits among the 90 % of the answers with the most confidence."""
    return 1 - risks(probabilities, truth, weights)[..., 17]


def coverage(
    probabilities: Numbers, truth: Labels, weights: Weights, *, threshold: float
) -> Numbers:
    """Give the share of images whose answer has at least a confidence of ``threshold``."""
    return _mean(probabilities.max(1) >= threshold, weights)


def risk(probabilities: Numbers, truth: Labels, weights: Weights, *, threshold: float) -> Numbers:
    """Give the share of errors among those answers; 0 without any."""
    answered = probabilities.max(1) >= threshold
    wrong = answered & ~hits(probabilities, truth)
    total = np.asarray(weights @ answered)
    share: Numbers = np.divide(weights @ wrong, total, out=np.zeros(total.shape), where=total > 0)
    return share


def interval(
    measure: Measure,
    probabilities: Numbers,
    truth: Labels,
    *,
    biased: bool = False,
    seed: int = 0,
) -> Estimate:
    """Give a measure with its percentile interval.

    One that is ``biased``, larger for a drawing than for what it is drawn from, gets the basic
    bootstrap's (Davison and Hinkley, 1997, section 5.2), not below 0.
    """
    (estimate,) = intervals(measure, probabilities, truth, seed=seed)
    if not biased:
        return estimate
    low, high = 2 * estimate.value - estimate.high, 2 * estimate.value - estimate.low
    return Estimate(estimate.value, max(0.0, low), max(estimate.value, high))


def intervals(
    measure: Measure, probabilities: Numbers, truth: Labels, *, seed: int = 0
) -> list[Estimate]:
    """Give the numbers of a measure that has several, such as ``risks``, with their intervals."""
    values = np.atleast_1d(measure(probabilities, truth, np.ones(len(truth), np.int64)))
    generator, size = np.random.default_rng(seed), max(1, AT_ONCE // max(1, len(truth)))
    drawn = [
        measure(probabilities, truth, drawings(truth, min(size, DRAWS - start), generator))
        for start in range(0, DRAWS, size)
    ]
    limits = np.quantile(np.concatenate(drawn).reshape(DRAWS, -1), (0.025, 0.975), axis=0)
    return [Estimate(*map(float, one)) for one in zip(values, *limits, strict=True)]


def drawings(truth: Labels, count: int, generator: np.random.Generator) -> Weights:
    """Draw the images of each class again with replacement: weights ``(count, n)``."""
    weights = np.zeros((count, len(truth)), np.int64)
    for label in np.unique(truth):
        places = np.flatnonzero(truth == label)
        drawn = generator.integers(0, len(places), (count, len(places)))
        drawn += np.arange(count)[:, None] * len(places)
        counts = np.bincount(drawn.ravel(), minlength=drawn.size)
        weights[:, places] = counts.reshape(count, len(places))
    return weights


def reliability(probabilities: Numbers, truth: Labels) -> list[dict[str, Any]]:
    """Give mean confidence, share of hits and number of images of each of the 15 bins with any."""
    places, sure, right = bins(probabilities), probabilities.max(1), hits(probabilities, truth)
    return [
        {
            "confidence": float(sure[places == place].mean()),
            "accuracy": float(right[places == place].mean()),
            "images": int((places == place).sum()),
        }
        for place in np.unique(places)
    ]


def bins(probabilities: Numbers) -> NDArray[np.int64]:
    """Give each image's bin of confidence, 0 to 14; a bin has its upper edge."""
    places: NDArray[np.int64] = np.clip(
        np.ceil(probabilities.max(1) * BINS).astype(np.int64) - 1, 0, BINS - 1
    )
    return places


def hits(probabilities: Numbers, truth: Labels) -> NDArray[np.bool_]:
    """Say which images ``(n,)`` are answered rightly."""
    right: NDArray[np.bool_] = probabilities.argmax(1) == truth
    return right


def _mean(values: NDArray[Any], weights: Weights) -> Numbers:
    mean: Numbers = weights @ values / weights.sum(-1)
    return mean


def _from_none(values: Weights) -> Weights:
    return np.concatenate([np.zeros_like(values[..., :1]), values], axis=-1)


def _rows(values: NDArray[Any]) -> Sequence[NDArray[Any]]:
    return values.reshape(-1, values.shape[-1])  # type: ignore[return-value]
