"""Selective classification: calibrated probabilities + labels -> a threshold for each class.

A class is named only if its probability is at least its threshold; otherwise the answer is
*unsure*. The thresholds are chosen on validation, so that of the answers with each class at most
``decision.target_risk`` are wrong. `evaluate` writes them into the report, `export` into the
bundle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unveil.config.schema import Decision
from unveil.evaluation.calibration import Labels, Probabilities

MIN_ANSWERS = 30
"""Fewest validation answers of a class above its threshold.

If a fifth of a class's answers were wrong, the seven most confident ones, which are enough for a
bound of 10 % at a confidence level of 50 %, would all be right in one of five validation sets; two
errors or fewer among 30, in one of twenty.
"""


@dataclass(frozen=True)
class ClassThreshold:
    """The ``threshold`` of one class, 0 to 1, and its ``answers`` on validation, ``wrong`` or not.

    ``target_kept`` is false if no threshold keeps the target; then it is ``1 - target_risk``.
    """

    threshold: float
    target_kept: bool
    answers: int
    wrong: int


def class_thresholds(
    probabilities: Probabilities, labels: Labels, decision: Decision
) -> list[ClassThreshold]:
    """Choose the threshold of each class on ``probabilities (n, classes)`` of validation.

    If none keeps the target for a class, its threshold is ``1 - target_risk``: the probability from
    which an answer is wrong with a probability of at most ``target_risk`` by its own estimate. None
    is lower than ``never_below``.
    """
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    chosen = []
    for label in range(probabilities.shape[1]):
        own = predicted == label
        sure, wrong = confidence[own], labels[own] != label
        found = lowest_threshold(sure, wrong, decision)
        threshold = max(decision.never_below, 1 - decision.target_risk if found is None else found)
        named = sure >= threshold
        counts = int(named.sum()), int(wrong[named].sum())
        chosen.append(ClassThreshold(threshold, found is not None, *counts))
    return chosen


def lowest_threshold(
    confidence: NDArray[np.floating], wrong: NDArray[np.bool_], decision: Decision
) -> float | None:
    """Return the lowest threshold, 0 to 1, that keeps the error rate at the target.

    ``confidence (n,)`` and ``wrong (n,)`` belong to the answers with one class. At or above the
    threshold, the upper bound of the error rate at ``confidence_level`` is at most ``target_risk``.
    The search needs no correction for its many candidates: they share most of their answers, and in
    simulations the level was kept. 0 if all may be answered, ``None`` if no threshold keeps the
    target with at least ``MIN_ANSWERS`` answers.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, answers = confidence[order], np.arange(1, len(order) + 1)
    bounds = risk_upper_bound(np.cumsum(wrong[order]), answers, decision.confidence_level)
    # Equal confidences are answered together.
    last = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)[: len(order)]
    kept = np.flatnonzero(last & (bounds <= decision.target_risk) & (answers >= MIN_ANSWERS))
    if not len(kept):
        return None
    return float(sorted_confidence[kept[-1]]) if kept[-1] + 1 < len(order) else 0.0


def risk_upper_bound(
    errors: NDArray[np.int64], answers: NDArray[np.int64], level: float
) -> NDArray[np.float64]:
    """Return the one-sided upper confidence bounds of error rates, at ``level``, 0 to 1.

    The upper end of the Clopper-Pearson interval (1934). At a level of 0.5 it is a median-unbiased
    estimate, a little above the observed error rate.
    """
    bounds = stats.beta.ppf(level, errors + 1, np.maximum(answers - errors, 1))
    limited: NDArray[np.float64] = np.where(errors < answers, bounds, 1.0)
    return limited
