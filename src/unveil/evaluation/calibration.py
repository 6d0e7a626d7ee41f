"""probabilities + labels -> probabilities that mean what they say, and when to say nothing.

Takes a network's answers on validation images: finds the temperature that makes its confidence the
share of hits, and the confidence under which it should abstain. `evaluate` writes both into the
report, `export` into the bundle.
"""

from math import ceil, log2

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Probabilities = NDArray[np.floating]
Labels = NDArray[np.int64]

LEAST = 1e-7
"""Smaller probabilities are taken for this; a 32-bit softmax may give 0, which has no logarithm."""
TEMPERATURES = (0.25, 10.0)
"""Outside of these lies only what too few images say: of those all right, ever more confidence."""
DOUBT = 0.05
"""How often the error of what is answered may be above the target in truth, over all drawings."""


def temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Find the temperature with the least log loss, 0.25 to 10; above 1 it lowers confidence.

    Guo et al. (2017, "On Calibration of Modern Neural Networks", section 4.2).
    """

    def loss(log: float) -> float:
        answers = calibrated(probabilities, float(np.exp(log)))
        return float(-np.log(answers[np.arange(len(labels)), labels]).mean())

    found = optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def calibrated(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Give ``softmax(log p / temperature)``, ``(n, classes)``; the order of classes stays."""
    logits = np.log(np.clip(probabilities.astype(np.float64), LEAST, None)) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    answers: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return answers


def abstain_below(probabilities: Probabilities, labels: Labels, target_risk: float) -> float | None:
    """Give the confidence, 0 to 1, from which on at most ``target_risk`` of the answers are wrong.

    With a confidence of 95 %, for images like these: Geifman and El-Yaniv (2017, "Selective
    Classification for Deep Neural Networks", algorithm 1) look for the largest number of answers
    by halving, and bound the error of each number they try by the binomial distribution. 0 where
    all may be answered, ``None`` where no threshold keeps the target.
    """
    confidence = probabilities.max(1)
    wrong = probabilities.argmax(1) != labels
    order = np.sort(confidence)[::-1]
    doubt = DOUBT / max(1, ceil(log2(len(labels) + 1)))
    kept, broken = 0, len(labels) + 1
    while broken - kept > 1:
        tried = (kept + broken) // 2
        answered = confidence >= order[tried - 1]
        if highest_risk(int(wrong[answered].sum()), int(answered.sum()), doubt) <= target_risk:
            kept = tried
        else:
            broken = tried
    if not kept:
        return None
    return float(order[kept - 1]) if kept < len(labels) else 0.0


def named_from(threshold: float | None, target_risk: float, never_below: float) -> float:
    """Give the confidence from which on a class is named, 0 to 1; under it the answer is *unsure*.

    Where no ``threshold`` keeps the target, an answer goes out whose own confidence says that it
    is wrong with a chance of at most ``target_risk``. Under ``never_below`` none does.
    """
    return max(never_below, 1 - target_risk if threshold is None else threshold)


def highest_risk(errors: int, answers: int, doubt: float) -> float:
    """Give the largest share of errors in truth that so many would not contradict.

    The upper end of Clopper and Pearson's interval (1934) with a doubt of ``doubt``.
    """
    return (
        float(stats.beta.ppf(1 - doubt, errors + 1, answers - errors)) if errors < answers else 1.0
    )
