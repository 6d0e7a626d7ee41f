"""The thresholds keep their target for each class, and answer as much as that allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from tests.code.evaluation.test_calibration import drawn

from unveil.config.schema import Decision
from unveil.evaluation.abstention import (
    MIN_ANSWERS,
    class_thresholds,
    lowest_threshold,
    risk_upper_bound,
)


def target(risk: float = 0.1, level: float = 0.5, never_below: float = 0.0) -> Decision:
    return Decision(target_risk=risk, never_below=never_below, confidence_level=level)


def sure_and_wrong(*drawn_from) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = drawn_from
    return probabilities.max(1), probabilities.argmax(1) != labels


def test_the_risk_bound_is_that_of_clopper_and_pearson():
    for errors, answers in ((0, 30), (3, 40), (40, 40), (17, 300)):
        for level in (0.5, 0.95):
            known = binomtest(errors, answers, alternative="less").proportion_ci(level).high
            found = risk_upper_bound(np.array([errors]), np.array([answers]), level)
            assert found == pytest.approx([known])


def test_the_threshold_is_0_if_all_may_be_answered_and_none_if_no_threshold_works():
    sure, _ = sure_and_wrong(*drawn(1000))
    none, every = np.zeros(1000, bool), np.ones(1000, bool)
    assert lowest_threshold(sure, none, target()) == 0.0
    assert lowest_threshold(sure, every, target()) is None
    few = slice(MIN_ANSWERS - 1)
    assert lowest_threshold(sure[few], none[few], target()) is None
    assert lowest_threshold(sure[:MIN_ANSWERS], none[:MIN_ANSWERS], target()) == 0.0
    assert lowest_threshold(sure[:0], none[:0], target()) is None


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_true_error_rate_keeps_the_target_as_often_as_the_level_says(level):
    new, truth = sure_and_wrong(*drawn(200_000, sharpness=3, seed=99))
    kept = []
    for seed in range(200):
        threshold = lowest_threshold(
            *sure_and_wrong(*drawn(1000, sharpness=3, seed=seed)), target(level=level)
        )
        kept.append(truth[new >= threshold].mean() <= 0.1)
        assert 0.3 < (new >= threshold).mean() < 0.95
    # Within two standard errors of 200 draws, and a little for the search.
    assert np.mean(kept) >= level - 0.08


@given(st.integers(0, 999), st.floats(0.02, 0.5), st.floats(0.5, 0.99))
@settings(max_examples=50, deadline=None)
def test_above_each_threshold_the_bound_keeps_the_target_and_the_bar_is_kept(seed, risk, level):
    probabilities, labels = drawn(400, sharpness=3, seed=seed)
    decision = target(risk, level, never_below=0.4)
    predicted, sure = probabilities.argmax(1), probabilities.max(1)
    for label, one in enumerate(class_thresholds(probabilities, labels, decision)):
        named = (predicted == label) & (sure >= one.threshold)
        assert (one.answers, one.wrong) == (named.sum(), (labels[named] != label).sum())
        assert one.threshold >= 0.4
        if one.target_kept and one.threshold > 0.4:
            assert one.answers >= MIN_ANSWERS
            bound = risk_upper_bound(np.array(one.wrong), np.array(one.answers), level)
            assert bound <= risk
        if not one.target_kept:
            assert one.threshold == max(0.4, 1 - risk)


def test_one_class_that_is_often_wrong_does_not_change_the_thresholds_of_the_others():
    probabilities, labels = drawn(4000, sharpness=3)
    others = class_thresholds(probabilities, labels, target())
    own = probabilities.argmax(1) == 1
    spoilt = np.where(own, 0, labels)
    found = class_thresholds(probabilities, spoilt, target())
    assert not found[1].target_kept
    assert found[1].threshold == pytest.approx(0.9)
    assert [found[label] for label in (0, 2, 3)] == [others[label] for label in (0, 2, 3)]


@pytest.mark.parametrize(
    ("all_right", "risk", "never_below", "bar"),
    [(True, 0.1, 0.5, 0.5), (False, 0.1, 0.5, 0.9), (False, 0.8, 0.5, 0.5)],
)
def test_no_class_is_named_below_the_bar_whether_the_target_is_kept_or_not(
    all_right, risk, never_below, bar
):
    probabilities, _ = drawn(1000)
    labels = probabilities.argmax(1) if all_right else (probabilities.argmax(1) + 1) % 4
    found = class_thresholds(probabilities, labels, target(risk, never_below=never_below))
    assert [one.threshold for one in found] == pytest.approx([bar] * 4)
    assert [one.target_kept for one in found] == [all_right] * 4


def test_a_stricter_target_or_level_answers_less():
    pair = sure_and_wrong(*drawn(2000, sharpness=3))
    for decisions in (
        [target(risk) for risk in (0.05, 0.1, 0.2)],
        [target(level=level) for level in (0.99, 0.9, 0.5)],
    ):
        thresholds = [lowest_threshold(*pair, decision) for decision in decisions]
        assert thresholds == sorted(thresholds, reverse=True)
        assert len(set(thresholds)) == 3


def test_equal_confidences_are_answered_together():
    sure = np.repeat([0.9, 0.6], 50)
    wrong = np.arange(100) >= 95
    assert lowest_threshold(sure, wrong, target()) == 0.0
    assert lowest_threshold(sure, np.arange(100) >= 80, target()) == 0.9
