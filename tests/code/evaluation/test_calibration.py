"""Known calibrations are recovered, and vector scaling is chosen only where it helps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from unveil.evaluation import calibration
from unveil.evaluation.calibration import Calibration, fit_temperature, fit_vector
from unveil.evaluation.calibration import temperature_scaling as scaling

BIASED = Calibration("vector", (1.5, 0.6, 1.0, 0.8), (1.0, -0.5, -1.0, 0.5))


def drawn(count: int, *, sharpness: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw calibrated probabilities and labels."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(count, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) < generator.random((count, 1))).sum(1)
    return probabilities, labels.clip(max=3)


def relabelled(known: Calibration, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities that a known calibration makes match the labels."""
    raw, _ = drawn(count, seed=seed)
    generator = np.random.default_rng(seed + 1)
    labels = (known.apply(raw).cumsum(1) < generator.random((count, 1))).sum(1)
    return raw, labels.clip(max=3)


@pytest.mark.parametrize("known", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(known):
    probabilities, labels = drawn(20_000)
    spoilt = scaling(1 / known, 4).apply(probabilities)
    assert fit_temperature(spoilt, labels).temperature == pytest.approx(known, rel=0.05)
    assert scaling(known, 4).apply(spoilt) == pytest.approx(probabilities, abs=4e-3)


def test_a_known_scale_and_bias_are_recovered():
    raw, labels = relabelled(BIASED, 20_000)
    found = fit_vector(raw, labels)
    assert found.scale == pytest.approx(BIASED.scale, abs=0.12)
    # A number that is added to all biases changes nothing.
    assert np.array(found.bias) - np.mean(found.bias) == pytest.approx(BIASED.bias, abs=0.15)
    assert found.apply(raw) == pytest.approx(BIASED.apply(raw), abs=0.03)


def test_vector_scaling_is_better_than_a_temperature_and_near_matrix_scaling_of_scikit_learn():
    raw, labels = relabelled(BIASED, 4000)
    logs = np.log(raw)
    vector, temperature = (
        log_loss(labels, fit(raw, labels).apply(raw)) for fit in (fit_vector, fit_temperature)
    )
    general = LogisticRegression(C=1e6, max_iter=1000).fit(logs, labels)
    matrix = log_loss(labels, general.predict_proba(logs))
    assert matrix - 1e-4 <= vector <= matrix + 0.005
    assert vector < temperature - 0.05


def test_always_right_and_always_wrong_networks_stay_finite():
    sure = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    assert 0.25 <= fit_temperature(sure, np.arange(40) % 4).temperature < 1
    wrong = fit_temperature(sure, (np.arange(40) + 1) % 4)
    assert wrong.temperature == pytest.approx(10, rel=0.01)
    assert np.isfinite(wrong.apply(sure)).all()
    for labels in (np.arange(40) % 4, (np.arange(40) + 1) % 4, np.zeros(40, int)):
        found = fit_vector(sure, labels)
        assert np.isfinite(found.apply(sure)).all()
        assert min(found.scale) >= 0.1
        assert max(np.abs(found.bias)) <= 3


@given(st.integers(0, 999), st.floats(0.25, 10))
@settings(max_examples=50, deadline=None)
def test_temperature_scaling_gives_probabilities_with_the_same_class(seed, known):
    probabilities, _ = drawn(20, seed=seed)
    answers = scaling(known, 4).apply(probabilities.astype(np.float32))
    assert answers.sum(1) == pytest.approx(np.ones(20))
    assert (answers >= 0).all()
    assert (answers.argmax(1) == probabilities.astype(np.float32).argmax(1)).all()


@given(
    st.lists(st.floats(0.1, 4), min_size=4, max_size=4),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_vector_scaling_gives_probabilities_and_keeps_each_class_in_order(scale, bias, seed):
    probabilities, _ = drawn(20, seed=seed)
    answers = Calibration("vector", tuple(scale), tuple(bias)).apply(probabilities)
    assert answers.sum(1) == pytest.approx(np.ones(20))
    # The odds of two classes change as their log-probabilities say, whatever the others are.
    odds = np.log(answers[:, 0] / answers[:, 1])
    logs = np.log(probabilities)
    expected = scale[0] * logs[:, 0] + bias[0] - scale[1] * logs[:, 1] - bias[1]
    assert odds == pytest.approx(expected, abs=1e-6)


def test_an_identity_changes_nothing():
    probabilities, _ = drawn(20)
    assert scaling(1.0, 4).is_identity
    assert not scaling(1.1, 4).is_identity
    assert not BIASED.is_identity
    assert scaling(1.0, 4).apply(probabilities) == pytest.approx(probabilities)
    assert BIASED.temperature == 1


def test_the_method_with_the_lower_cross_validated_loss_is_chosen():
    chosen, losses = calibration.choose(*relabelled(BIASED, 1000))
    assert chosen.method == "vector"
    assert losses["vector"] < losses["temperature"] - losses["standard_error"]
    raw, labels = drawn(1000)
    chosen, losses = calibration.choose(scaling(0.5, 4).apply(raw), labels)
    assert chosen.method == "temperature"
    assert chosen.temperature == pytest.approx(2, rel=0.1)
    assert losses["vector"] >= losses["temperature"] - losses["standard_error"]


def test_calibrated_networks_of_small_validation_sets_rarely_get_vector_scaling():
    chosen = [calibration.choose(*drawn(60, seed=seed))[0].method for seed in range(20)]
    assert chosen.count("vector") <= 3


def test_each_image_is_predicted_by_a_fit_without_it():
    raw, labels = relabelled(BIASED, 200)
    found = calibration.cross_validated(fit_vector, raw, labels)
    folds = calibration.stratified_folds(labels)
    held = folds == folds[7]
    fitted = fit_vector(raw[~held], labels[~held])
    expected = -np.log(fitted.apply(raw[held])[np.arange(held.sum()), labels[held]])
    assert found[held] == pytest.approx(expected)
    for label in range(4):
        sizes = np.bincount(folds[labels == label], minlength=10)
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("count", [1, 9, 10, 15])
def test_a_few_images_are_enough(count):
    raw, labels = drawn(count)
    chosen, losses = calibration.choose(raw, labels)
    assert bool(losses) == (count >= 10)
    assert np.isfinite(chosen.apply(raw)).all()


def test_a_report_of_an_older_version_has_a_temperature():
    raw, _ = drawn(20)
    expected = softmax(np.log(raw) / 1.7, axis=1)
    assert calibration.from_report({"temperature": 1.7}, 4).apply(raw) == pytest.approx(expected)
    assert calibration.from_report({}, 4).is_identity
    section = {"method": "vector", "scale": list(BIASED.scale), "bias": list(BIASED.bias)}
    assert calibration.from_report({**section, "temperature": 1.0}, 4) == BIASED
