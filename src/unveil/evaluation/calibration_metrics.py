"""Metrics of probabilities, one function each: log loss, Brier score, ECE, risk and coverage.

All take ``probabilities (n, classes)``, ``truth (n,)`` and ``weights (n,)``, how often each image
counts, or a batch of weights ``(draws, n)``; they return one number for each weight vector.
Intervals are 95 % intervals of a stratified bootstrap, whose weights are the draw counts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unveil.evaluation.metrics import DRAWS, Estimate, Labels

Numbers = NDArray[np.float64]
Weights = NDArray[np.int64]
Measure = Callable[[Numbers, Labels, Weights], Numbers]

BINS = 15
COVERAGES = np.arange(1, 21) / 20
"""Grid of coverages: shares of images that are answered."""
MAX_WEIGHTS = 4_000_000
"""Maximum number of weights in memory at a time: 32 MB."""


def log_loss(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Return the mean of ``-log p`` of the true class, ``p`` at least 1e-7; 0 is best."""
    given = probabilities[np.arange(len(truth)), truth]
    return _mean(-np.log(np.clip(given, 1e-7, None)), weights)


def brier(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Return the Brier score (1950): the mean squared error, 0 (best) to 2."""
    wanted = np.eye(probabilities.shape[1])[truth]
    return _mean(((probabilities - wanted) ** 2).sum(1), weights)


def ece(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Return the expected calibration error, 0 to 1: how far confidence is from accuracy.

    Over 15 bins of equal width (Guo et al., 2017, section 2). Biased upwards for few images.
    """
    gaps = hits(probabilities, truth) - probabilities.max(1)
    binned = gaps[:, None] * np.eye(BINS)[bins(probabilities)]
    error: Numbers = np.abs(weights @ binned).sum(-1) / weights.sum(-1)
    return error


def risks(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Return the error rate among the most confident answers, at all ``COVERAGES``.

    The risk-coverage curve of El-Yaniv and Wiener (2010, "On the Foundations of Noise-free
    Selective Classification"), with an additional last axis: ``(..., 20)``.
    """
    order = np.argsort(-probabilities.max(1), kind="stable")
    drawn = weights[..., order]
    wrong = drawn * ~hits(probabilities, truth)[order]
    answered, errors = (np.cumsum(_with_leading_zero(part), axis=-1) for part in (drawn, wrong))
    wanted = answered[..., -1:] * COVERAGES
    found = [
        np.interp(*row)
        for row in zip(*(_rows(part) for part in (wanted, answered, errors)), strict=True)
    ]
    return np.reshape(found, wanted.shape) / wanted


def accuracy_at_90(probabilities: Numbers, truth: Labels, weights: Weights) -> Numbers:
    """Return the accuracy of the 90 % most confident answers."""
    return 1 - risks(probabilities, truth, weights)[..., 17]


def answered(probabilities: Numbers, thresholds: Numbers) -> NDArray[np.bool_]:
    """Return which images ``(n,)`` get an answer: those at or above their class's threshold.

    ``thresholds`` is one number, or one for each class, ``(classes,)``.
    """
    given: NDArray[np.bool_] = probabilities.max(1) >= _thresholds(probabilities, thresholds)
    return given


def coverage(
    probabilities: Numbers, truth: Labels, weights: Weights, *, thresholds: Numbers
) -> Numbers:
    """Return the share of images that are answered."""
    return _mean(answered(probabilities, thresholds), weights)


def risk(
    probabilities: Numbers, truth: Labels, weights: Weights, *, thresholds: Numbers
) -> Numbers:
    """Return the error rate of the answers; 0 if there are none."""
    given = answered(probabilities, thresholds)
    wrong = given & ~hits(probabilities, truth)
    total = np.asarray(weights @ given)
    share: Numbers = np.divide(weights @ wrong, total, out=np.zeros(total.shape), where=total > 0)
    return share


def proportion(count: int, total: int) -> Estimate:
    """Return ``count / total`` with its exact interval (Clopper and Pearson, 1934); 0 of none.

    Unlike that of the bootstrap, it is not empty where no answer is wrong.
    """
    if not total:
        return Estimate(0.0, 0.0, 1.0)
    found = stats.binomtest(count, total).proportion_ci(0.95)
    return Estimate(count / total, float(found.low), float(found.high))


def ece_by_chance(probabilities: Numbers, *, draws: int = 500, seed: int = 0) -> Estimate:
    """Return the ECE that perfect calibration would show: mean, and 95 % of the simulated values.

    Simulates for each image whether the answer is right, with a probability of its confidence
    (consistency resampling, Broecker and Smith, 2007). An observed ECE inside is no evidence of
    miscalibration.
    """
    generator, confidence = np.random.default_rng(seed), probabilities.max(1)
    places = bins(probabilities)
    found = [
        np.abs(np.bincount(places, (generator.random(len(places)) < confidence) - confidence)).sum()
        for _ in range(draws)
    ]
    values = np.array(found) / len(places)
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def interval(
    measure: Measure,
    probabilities: Numbers,
    truth: Labels,
    *,
    biased: bool = False,
    seed: int = 0,
) -> Estimate:
    """Return a metric with its percentile interval.

    A ``biased`` metric, larger for a resample than for the sample, gets the basic bootstrap
    interval (Davison and Hinkley, 1997, section 5.2), not below 0.
    """
    (estimate,) = intervals(measure, probabilities, truth, seed=seed)
    if not biased:
        return estimate
    low, high = 2 * estimate.value - estimate.high, 2 * estimate.value - estimate.low
    return Estimate(estimate.value, max(0.0, low), max(estimate.value, high))


def intervals(
    measure: Measure, probabilities: Numbers, truth: Labels, *, seed: int = 0
) -> list[Estimate]:
    """Return all values of a metric such as ``risks``, with their intervals."""
    values = np.atleast_1d(measure(probabilities, truth, np.ones(len(truth), np.int64)))
    generator, size = np.random.default_rng(seed), max(1, MAX_WEIGHTS // max(1, len(truth)))
    drawn = [
        measure(probabilities, truth, bootstrap_weights(truth, min(size, DRAWS - start), generator))
        for start in range(0, DRAWS, size)
    ]
    limits = np.quantile(np.concatenate(drawn).reshape(DRAWS, -1), (0.025, 0.975), axis=0)
    return [Estimate(*map(float, one)) for one in zip(values, *limits, strict=True)]


def bootstrap_weights(truth: Labels, count: int, generator: np.random.Generator) -> Weights:
    """Resample the images of each class with replacement: weights ``(count, n)``."""
    weights = np.zeros((count, len(truth)), np.int64)
    for label in np.unique(truth):
        places = np.flatnonzero(truth == label)
        drawn = generator.integers(0, len(places), (count, len(places)))
        drawn += np.arange(count)[:, None] * len(places)
        counts = np.bincount(drawn.ravel(), minlength=drawn.size)
        weights[:, places] = counts.reshape(count, len(places))
    return weights


def reliability(probabilities: Numbers, truth: Labels) -> list[dict[str, Any]]:
    """Return mean confidence, accuracy and number of images of each non-empty bin of the 15."""
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
    """Return each image's confidence bin, 0 to 14; bins include their upper edge."""
    places: NDArray[np.int64] = np.clip(
        np.ceil(probabilities.max(1) * BINS).astype(np.int64) - 1, 0, BINS - 1
    )
    return places


def hits(probabilities: Numbers, truth: Labels) -> NDArray[np.bool_]:
    """Return which images ``(n,)`` are classified correctly."""
    right: NDArray[np.bool_] = probabilities.argmax(1) == truth
    return right


def _thresholds(probabilities: Numbers, thresholds: Numbers) -> Numbers:
    """Return the threshold of each image's predicted class, ``(n,)``."""
    own: Numbers = np.broadcast_to(thresholds, probabilities.shape[1])[probabilities.argmax(1)]
    return own


def _mean(values: NDArray[Any], weights: Weights) -> Numbers:
    mean: Numbers = weights @ values / weights.sum(-1)
    return mean


def _with_leading_zero(values: Weights) -> Weights:
    return np.concatenate([np.zeros_like(values[..., :1]), values], axis=-1)


def _rows(values: NDArray[Any]) -> Sequence[NDArray[Any]]:
    return values.reshape(-1, values.shape[-1])  # type: ignore[return-value]
