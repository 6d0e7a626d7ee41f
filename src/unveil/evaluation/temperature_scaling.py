"""Temperature scaling and selective classification: probabilities + labels -> two parameters.

Fits on a network's validation probabilities the temperature that makes its confidence match its
accuracy, and the confidence threshold below which it should abstain. `evaluate` writes both into
the report, `export` into the bundle.
"""

from math import ceil, log2

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Probabilities = NDArray[np.floating]
Labels = NDArray[np.int64]

MIN_PROBABILITY = 1e-7
"""Lower bound for probabilities: a float32 softmax may return 0, whose logarithm is undefined."""
TEMPERATURE_BOUNDS = (0.25, 10.0)
"""Search bounds. Too few images, all classified correctly, would drive the temperature to 0."""
DELTA = 0.05
"""Probability with which the true risk may exceed the target (delta of Geifman and El-Yaniv)."""


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Fit the temperature, 0.25 to 10, with the lowest log loss; above 1 it lowers confidence.

    Guo et al. (2017, "On Calibration of Modern Neural Networks", section 4.2).
    """

    def loss(log: float) -> float:
        answers = apply_temperature(probabilities, float(np.exp(log)))
        return float(-np.log(answers[np.arange(len(labels)), labels]).mean())

    found = optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded")
    return float(np.exp(found.x))


def apply_temperature(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Return ``softmax(log p / temperature)``, ``(n, classes)``; keeps the predicted classes."""
    logits = np.log(np.clip(probabilities.astype(np.float64), MIN_PROBABILITY, None)) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    answers: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return answers


def abstain_below(probabilities: Probabilities, labels: Labels, target_risk: float) -> float | None:
    """Return the lowest confidence threshold, 0 to 1, that keeps the error rate at the target.

    At or above it at most ``target_risk`` of the answers are wrong, with 95 % confidence, for
    images from the same distribution. Geifman and El-Yaniv (2017, "Selective Classification for
    Deep Neural Networks", algorithm 1): a binary search for the largest number of answers, each
    candidate bounded by the binomial distribution. 0 if all images may be answered, ``None`` if no
    threshold keeps the target.
    """
    confidence = probabilities.max(1)
    wrong = probabilities.argmax(1) != labels
    order = np.sort(confidence)[::-1]
    delta = DELTA / max(1, ceil(log2(len(labels) + 1)))
    kept, broken = 0, len(labels) + 1
    while broken - kept > 1:
        tried = (kept + broken) // 2
        answered = confidence >= order[tried - 1]
        if risk_upper_bound(int(wrong[answered].sum()), int(answered.sum()), delta) <= target_risk:
            kept = tried
        else:
            broken = tried
    if not kept:
        return None
    return float(order[kept - 1]) if kept < len(labels) else 0.0


def decision_threshold(threshold: float | None, target_risk: float, never_below: float) -> float:
    """Return the confidence, 0 to 1, below which the answer is *unsure*.

    If no ``threshold`` keeps the target, the threshold is ``1 - target_risk``: the confidence at
    which an answer is wrong with a probability of at most ``target_risk`` by its own estimate. It
    is never lower than ``never_below``.
    """
    return max(never_below, 1 - target_risk if threshold is None else threshold)


def risk_upper_bound(errors: int, answers: int, delta: float) -> float:
    """Return the upper confidence bound of the error rate, at level ``1 - delta``.

    The upper end of the Clopper-Pearson interval (1934).
    """
    return (
        float(stats.beta.ppf(1 - delta, errors + 1, answers - errors)) if errors < answers else 1.0
    )
