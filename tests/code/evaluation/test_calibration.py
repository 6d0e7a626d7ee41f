"""A known temperature is recovered, and the threshold keeps its target risk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from unveil.evaluation.temperature_scaling import (
    abstain_below,
    apply_temperature,
    decision_threshold,
    fit_temperature,
    risk_upper_bound,
)


def drawn(count: int, *, sharpness: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw calibrated probabilities and labels."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(count, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) < generator.random((count, 1))).sum(1)
    return probabilities, labels.clip(max=3)


@pytest.mark.parametrize("known", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(known):
    probabilities, labels = drawn(20_000)
    spoilt = apply_temperature(probabilities, 1 / known)
    assert fit_temperature(spoilt, labels) == pytest.approx(known, rel=0.05)
    restored = apply_temperature(spoilt, known)
    assert restored == pytest.approx(probabilities, abs=4e-3)


def test_always_right_and_always_wrong_networks_stay_finite():
    sure = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    assert 0.25 <= fit_temperature(sure, np.arange(40) % 4) < 1
    wrong = fit_temperature(sure, (np.arange(40) + 1) % 4)
    assert wrong == pytest.approx(10, rel=0.01)
    assert np.isfinite(apply_temperature(sure, wrong)).all()


@given(st.integers(0, 999), st.floats(0.25, 10))
@settings(max_examples=50, deadline=None)
def test_calibrated_values_are_probabilities_with_the_same_class(seed, known):
    probabilities, _ = drawn(20, seed=seed)
    answers = apply_temperature(probabilities.astype(np.float32), known)
    assert answers.sum(1) == pytest.approx(np.ones(20))
    assert (answers >= 0).all()
    assert (answers.argmax(1) == probabilities.astype(np.float32).argmax(1)).all()


def test_the_risk_bound_is_that_of_clopper_and_pearson():
    for errors, answers in ((0, 30), (3, 40), (40, 40), (17, 300)):
        known = binomtest(errors, answers, alternative="less").proportion_ci(0.95).high
        assert risk_upper_bound(errors, answers, 0.05) == pytest.approx(known)


def test_the_threshold_is_0_if_all_may_be_answered_and_none_if_no_threshold_works():
    probabilities, labels = drawn(1000)
    right = probabilities.argmax(1)
    assert abstain_below(probabilities, right, 0.1) == 0.0
    assert abstain_below(probabilities, (right + 1) % 4, 0.1) is None
    assert abstain_below(probabilities[:20], right[:20], 0.1) is None
    assert abstain_below(probabilities[:0], labels[:0], 0.1) is None


def test_the_threshold_keeps_its_target_on_new_images_19_times_of_20():
    new, truth = drawn(200_000, sharpness=3, seed=99)
    wrong, confidence = new.argmax(1) != truth, new.max(1)
    kept = []
    for seed in range(200):
        threshold = abstain_below(*drawn(1000, sharpness=3, seed=seed), 0.1)
        kept.append(wrong[confidence >= threshold].mean() <= 0.1)
        assert 0.3 < (confidence >= threshold).mean() < 0.9
    assert np.mean(kept) >= 0.95


@pytest.mark.parametrize(
    ("threshold", "target", "never_below", "bound"),
    [(0.8, 0.1, 0.5, 0.8), (0.0, 0.1, 0.5, 0.5), (None, 0.1, 0.5, 0.9), (None, 0.8, 0.5, 0.5)],
)
def test_no_class_is_named_below_the_bound_whether_the_target_is_kept_or_not(
    threshold, target, never_below, bound
):
    assert decision_threshold(threshold, target, never_below) == pytest.approx(bound)


def test_a_stricter_target_answers_less():
    probabilities, labels = drawn(2000, sharpness=3)
    thresholds = [abstain_below(probabilities, labels, risk) for risk in (0.05, 0.1, 0.2)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) == 3
