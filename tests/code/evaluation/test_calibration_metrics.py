"""Probability metrics agree with scikit-learn or with values computed by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from unveil.evaluation import calibration_metrics, metrics
from unveil.evaluation.calibration_metrics import (
    COVERAGES,
    bootstrap_weights,
    interval,
    intervals,
    reliability,
)

ALL = ("log_loss", "brier", "ece", "risks", "accuracy_at_90")


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw calibrated probabilities and labels; every class occurs."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(count, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) < generator.random((count, 1))).sum(1).clip(max=3)
    labels[:4] = range(4)
    return probabilities, labels


def weighed(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, count) + (np.arange(count) == 0)


@given(st.integers(4, 60), st.integers(0, 999))
@settings(max_examples=50, deadline=None)
def test_log_loss_and_brier_equal_those_of_scikit_learn(count, seed):
    probabilities, truth = drawn(count, seed)
    weights = weighed(count, seed)
    known = {"sample_weight": weights, "labels": range(4)}
    assert calibration_metrics.log_loss(probabilities, truth, weights) == pytest.approx(
        sklearn_metrics.log_loss(truth, probabilities, **known)
    )
    assert calibration_metrics.brier(probabilities, truth, weights) == pytest.approx(
        sklearn_metrics.brier_score_loss(truth, probabilities, scale_by_half=False, **known)
    )


@pytest.mark.parametrize("name", ALL)
@given(st.integers(4, 40), st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_a_weight_counts_images_and_batched_weights_equal_single_ones(name, count, seed):
    probabilities, truth = drawn(count, seed)
    measure = getattr(calibration_metrics, name)
    weights = np.stack([weighed(count, seed), weighed(count, seed + 1)])
    together = measure(probabilities, truth, weights)
    for row, found in zip(weights, together, strict=True):
        assert measure(probabilities, truth, row) == pytest.approx(found)
        copied = np.repeat(np.arange(count), row)
        ones = np.ones(len(copied), int)
        assert measure(probabilities[copied], truth[copied], ones) == pytest.approx(found)


def test_a_true_class_probability_of_0_has_a_finite_loss():
    sure = np.eye(2)[[0, 1]]
    loss = calibration_metrics.log_loss(sure, np.array([0, 0]), np.ones(2, int))
    assert loss == pytest.approx(-np.log(1e-7) / 2)


FIVE = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.8, 0.2]])
FIRST = np.array([0, 1, 0, 0, 1])


def test_ece_computed_by_hand():
    # Bins of 0.9, 0.6 and 0.8: |0.5 - 0.9| * 2 + |1 - 0.6| * 2 + |0 - 0.8|, over 5.
    ones = np.ones(5, int)
    assert calibration_metrics.ece(FIVE, FIRST, ones) == pytest.approx((0.8 + 0.8 + 0.8) / 5)
    assert calibration_metrics.ece(np.eye(2)[[0, 1]], np.array([0, 1]), np.ones(2, int)) == 0
    assert reliability(FIVE, FIRST) == [
        {"confidence": pytest.approx(0.6), "accuracy": 1.0, "images": 2},
        {"confidence": pytest.approx(0.8), "accuracy": 0.0, "images": 1},
        {"confidence": pytest.approx(0.9), "accuracy": 0.5, "images": 2},
    ]


def test_risks_computed_by_hand():
    # In order of confidence: hit, error, error, hit, hit.
    risks = dict(
        zip(
            COVERAGES.round(2), calibration_metrics.risks(FIVE, FIRST, np.ones(5, int)), strict=True
        )
    )
    assert risks[0.2] == 0
    assert risks[0.4] == pytest.approx(1 / 2)
    assert risks[0.6] == pytest.approx(2 / 3)
    assert risks[1.0] == pytest.approx(2 / 5)
    assert calibration_metrics.accuracy_at_90(FIVE, FIRST, np.ones(5, int)) == pytest.approx(
        1 - 2 / 4.5
    )


def test_coverage_and_risk_computed_by_hand():
    ones = np.ones(5, int)
    for threshold, coverage, risk in (
        *((0.0, 1, 2 / 5), (0.8, 3 / 5, 2 / 3), (0.95, 0, 0)),
        (np.array([0.85, 0.0]), 2 / 5, 1 / 2),
    ):
        own = {"thresholds": threshold}
        assert calibration_metrics.coverage(FIVE, FIRST, ones, **own) == coverage
        assert calibration_metrics.risk(FIVE, FIRST, ones, **own) == pytest.approx(risk)


def test_each_answer_has_the_threshold_of_its_own_class():
    three = np.array([[0.7, 0.3], [0.3, 0.7], [0.95, 0.05]])
    given = calibration_metrics.answered(three, np.array([0.9, 0.6]))
    assert given.tolist() == [False, True, True]


def test_a_proportion_has_an_exact_interval():
    found = calibration_metrics.proportion(0, 30)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert calibration_metrics.proportion(0, 0) == metrics.Estimate(0.0, 0.0, 1.0)


def test_the_ece_of_calibrated_probabilities_is_that_of_chance_19_times_of_20():
    inside = []
    for seed in range(100):
        probabilities, truth = drawn(400, seed)
        chance = calibration_metrics.ece_by_chance(probabilities, draws=200)
        found = calibration_metrics.ece(probabilities, truth, np.ones(len(truth), int))
        inside.append(chance.low <= found <= chance.high)
        assert chance.low < chance.value < chance.high
    assert 0.87 <= np.mean(inside) <= 1


def test_the_ece_of_spoilt_probabilities_is_above_that_of_chance():
    probabilities, truth = drawn(2000)
    sharp = probabilities**2 / (probabilities**2).sum(1, keepdims=True)
    found = calibration_metrics.ece(sharp, truth, np.ones(len(truth), int))
    assert found > calibration_metrics.ece_by_chance(sharp).high


@given(st.integers(4, 50), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_bootstrap_draws_each_class_as_often_as_it_occurs(count, seed):
    _, truth = drawn(count, seed)
    weights = bootstrap_weights(truth, 7, np.random.default_rng(seed))
    assert weights.shape == (7, count)
    for label in range(4):
        assert (weights[:, truth == label].sum(1) == (truth == label).sum()).all()


def test_an_interval_does_not_depend_on_the_memory_limit(monkeypatch):
    probabilities, truth = drawn(200)
    whole = interval(calibration_metrics.brier, probabilities, truth)
    assert whole == interval(calibration_metrics.brier, probabilities, truth)
    monkeypatch.setattr(calibration_metrics, "MAX_WEIGHTS", 10_000)
    parts = interval(calibration_metrics.brier, probabilities, truth)
    assert parts.value == whole.value
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=0.05)


def test_every_point_of_the_curve_has_an_interval():
    curve = intervals(calibration_metrics.risks, *drawn(300))
    assert len(curve) == len(COVERAGES)
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in curve)


def test_95_of_100_intervals_cover_the_population_value(monkeypatch):
    monkeypatch.setattr(calibration_metrics, "DRAWS", 400)
    probabilities, truth = drawn(400_000)
    named = {
        "log_loss": calibration_metrics.log_loss,
        "brier": calibration_metrics.brier,
        "accuracy_at_90": calibration_metrics.accuracy_at_90,
        "risk": partial(calibration_metrics.risk, thresholds=0.6),
    }
    known = {
        name: measure(probabilities, truth, np.ones(len(truth), int))
        for name, measure in named.items()
    }
    covered = dict.fromkeys(known, 0)
    for place in range(200):
        part = slice(place * 400, place * 400 + 400)
        for name, measure in named.items():
            found = interval(measure, probabilities[part], truth[part], seed=place)
            covered[name] += found.low <= known[name] <= found.high
    assert all(0.9 <= count / 200 <= 0.99 for count in covered.values()), covered


def test_the_interval_of_ece_includes_0_for_perfect_calibration():
    probabilities, truth = drawn(300)
    found = interval(calibration_metrics.ece, probabilities, truth, biased=True)
    plain = interval(calibration_metrics.ece, probabilities, truth)
    assert found.value > 0.02
    assert found.low == 0
    assert plain.low > 0
