"""Metrics agree with scikit-learn, and their intervals have the stated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from unveil.evaluation import metrics as measures
from unveil.evaluation.metrics import (
    Estimate,
    confidence_interval,
    confusion_matrix,
    paired_difference,
)

CLASSES = 4
answers = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60
).map(lambda pairs: np.array(pairs).T)


@given(answers)
@settings(deadline=None)
def test_metrics_agree_with_scikit_learn(pair):
    truth, predicted = pair
    matrix = confusion_matrix(truth, predicted, CLASSES)
    known = {"labels": range(CLASSES), "zero_division": 0}
    assert measures.accuracy(matrix) == pytest.approx(metrics.accuracy_score(truth, predicted))
    for average, measure in (("macro", measures.macro_f1), ("weighted", measures.weighted_f1)):
        expected = metrics.f1_score(truth, predicted, average=average, **known)
        assert measure(matrix) == pytest.approx(expected)
    if len(set(truth) | set(predicted)) > 1:
        assert measures.kappa(matrix) == pytest.approx(metrics.cohen_kappa_score(truth, predicted))
    for name in ("f1", "precision", "recall"):
        expected = getattr(metrics, f"{name}_score")(truth, predicted, average=None, **known)
        assert getattr(measures, name)(matrix) == pytest.approx(expected)


@given(st.lists(answers, min_size=1, max_size=4))
@settings(deadline=None)
def test_a_stack_of_matrices_gives_the_metric_of_each(pairs):
    matrices = [confusion_matrix(*pair, CLASSES) for pair in pairs]
    names = ("accuracy", "f1", "macro_f1", "weighted_f1", "kappa", "precision", "recall")
    for name in names:
        measure = getattr(measures, name)
        together = measure(np.stack(matrices))
        assert together == pytest.approx(np.array([measure(matrix) for matrix in matrices]))


def test_the_confusion_matrix_has_the_truth_in_rows():
    matrix = confusion_matrix(np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2]), 4)
    assert matrix.tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_numbers_by_hand():
    matrix = np.array([[6, 2], [1, 1]])
    assert measures.accuracy(matrix) == 0.7
    assert measures.precision(matrix) == pytest.approx([6 / 7, 1 / 3])
    assert measures.recall(matrix) == pytest.approx([6 / 8, 1 / 2])
    assert measures.f1(matrix) == pytest.approx([12 / 15, 2 / 5])
    assert measures.macro_f1(matrix) == pytest.approx(0.6)
    assert measures.weighted_f1(matrix) == pytest.approx(0.72)
    assert measures.per_class(matrix, ["happy", "sad"])["sad"] == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5, "images": 2}
    )


@given(answers)
@settings(max_examples=40, deadline=None)
def test_an_interval_is_ordered_within_bounds_and_contains_the_accuracy(pair):
    matrix = confusion_matrix(*pair, CLASSES)
    estimate = confidence_interval(measures.accuracy, matrix)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    macro = confidence_interval(measures.macro_f1, matrix)
    assert 0 <= macro.low <= macro.high <= 1


RATHER_GOOD = np.array([[80, 8, 8, 4], [10, 60, 20, 10], [10, 20, 60, 10], [3, 4, 3, 40]])


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "weighted_f1"])
def test_an_interval_contains_its_value_is_repeatable_and_narrows_with_n(name):
    measure = getattr(measures, name)
    few, many = (confidence_interval(measure, RATHER_GOOD * times) for times in (1, 16))
    assert few == confidence_interval(measure, RATHER_GOOD)
    assert few != confidence_interval(measure, RATHER_GOOD, seed=1)
    assert few.low < few.value < few.high
    assert few.value == pytest.approx(many.value)
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize(
    ("matrix", "accuracy", "macro"),
    [
        (np.diag([5, 3, 2, 9]), 1.0, 1.0),
        (np.diag([5, 3, 0, 9]), 1.0, 0.75),
        (np.array([[0, 1], [0, 0]]), 0.0, 0.0),
        (np.array([[1, 0], [0, 0]]), 1.0, 0.5),
        (np.array([[4, 0], [4, 0]]), 0.5, 1 / 3),
    ],
    ids=["perfect", "a class absent", "one image missed", "one image hit", "always the same"],
)
def test_without_variation_the_interval_is_the_value(matrix, accuracy, macro):
    for measure, value in ((measures.accuracy, accuracy), (measures.macro_f1, macro)):
        estimate = confidence_interval(measure, matrix)
        expected = pytest.approx((value, value, value))
        assert (estimate.value, estimate.low, estimate.high) == expected


def test_an_estimate_reads_as_a_number_with_brackets():
    assert str(Estimate(0.71239, 0.6, 0.8)) == "0.712 [0.600, 0.800]"


def population(size: int, *, seed: int, skill: float) -> tuple[np.ndarray, np.ndarray]:
    """Sample labels of unbalanced classes and predictions of different accuracy by class."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(CLASSES, size, p=[0.4, 0.25, 0.2, 0.15])
    right = generator.random(size) < skill + 0.1 * np.array([1, 0, -1, 0.5])[truth]
    return truth, np.where(right, truth, generator.integers(0, CLASSES, size))


@given(answers, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_difference_is_that_of_macro_f1_and_antisymmetric(pair, seed):
    truth, one = pair
    other = np.random.default_rng(seed).integers(0, CLASSES, len(truth))
    there = paired_difference(truth, one, other, classes=CLASSES)
    back = paired_difference(truth, other, one, classes=CLASSES)
    gap = metrics.f1_score(
        truth, one, average="macro", labels=range(CLASSES), zero_division=0
    ) - metrics.f1_score(truth, other, average="macro", labels=range(CLASSES), zero_division=0)
    assert there.value == pytest.approx(gap)
    assert back.value == pytest.approx(-gap)
    assert there.low <= there.high


def test_the_interval_of_a_difference_is_nearly_antisymmetric():
    truth, one = population(1000, seed=1, skill=0.7)
    _, other = population(1000, seed=1, skill=0.6)
    there = paired_difference(truth, one, other, classes=CLASSES)
    back = paired_difference(truth, other, one, classes=CLASSES)
    assert 0 < there.low < there.value < there.high
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=0.006)
    assert there == paired_difference(truth, one, other, classes=CLASSES)


def test_equal_predictions_have_no_difference():
    truth, one = population(300, seed=2, skill=0.6)
    assert paired_difference(truth, one, one, classes=CLASSES) == Estimate(0.0, 0.0, 0.0)


def test_paired_intervals_are_narrower_than_unpaired_ones():
    truth, one = population(1000, seed=3, skill=0.6)
    generator = np.random.default_rng(0)
    other = np.where(generator.random(1000) < 0.05, truth, one)
    paired = paired_difference(truth, other, one, classes=CLASSES)
    alone = confidence_interval(measures.macro_f1, confusion_matrix(truth, one, CLASSES))
    assert paired.low > 0
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_a_difference_of_one_image_is_whole():
    estimate = paired_difference(np.array([1]), np.array([1]), np.array([0]), classes=2)
    assert estimate == Estimate(0.5, 0.5, 0.5)


def test_95_of_100_intervals_cover_the_populations_value(monkeypatch):
    monkeypatch.setattr(measures, "DRAWS", 500)
    truth, one = population(1_000_000, seed=4, skill=0.65)
    other = np.where(np.random.default_rng(5).random(len(truth)) < 0.1, truth, one)
    first, second = (confusion_matrix(truth, said, CLASSES) for said in (one, other))
    known = {
        "accuracy": measures.accuracy(first),
        "macro_f1": measures.macro_f1(first),
        "difference": measures.macro_f1(second) - measures.macro_f1(first),
    }
    covered = dict.fromkeys(known, 0)
    for place in range(300):
        part = slice(place * 400, place * 400 + 400)
        matrix = confusion_matrix(truth[part], one[part], CLASSES)
        found = {
            "accuracy": confidence_interval(measures.accuracy, matrix),
            "macro_f1": confidence_interval(measures.macro_f1, matrix),
            "difference": paired_difference(
                truth[part], other[part], one[part], classes=CLASSES, seed=place
            ),
        }
        for name, estimate in found.items():
            covered[name] += estimate.low <= known[name] <= estimate.high
    assert all(0.9 <= count / 300 <= 0.99 for count in covered.values()), covered


def test_an_unpaired_difference_is_detected_only_if_there_is_one():
    found = measures.unpaired_difference(measures.macro_f1, np.diag([50, 50, 50, 50]), RATHER_GOOD)
    assert found.value == pytest.approx(1 - measures.macro_f1(RATHER_GOOD))
    assert 0.1 < found.low < found.value < found.high
    alike = measures.unpaired_difference(measures.macro_f1, RATHER_GOOD, RATHER_GOOD)
    assert alike.value == 0
    assert alike.low < 0 < alike.high
    # Two samples of one size: the interval is wider than that of one by the root of two.
    one = confidence_interval(measures.macro_f1, RATHER_GOOD)
    assert (alike.high - alike.low) / (one.high - one.low) == pytest.approx(2**0.5, rel=0.03)


def test_an_empty_table_of_counts_is_a_table():
    nothing = np.array([], np.int64)
    assert confusion_matrix(nothing, nothing, 3).tolist() == np.zeros((3, 3)).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("count", [128, 1283])
def test_94_to_96_of_100_intervals_cover_macro_f1_over_1000_test_sets(count):
    recalls, shares = np.array([0.9, 0.7, 0.65, 0.8]), np.array([0.34, 0.25, 0.26, 0.15])
    off = (1 - recalls[:, None]) / (CLASSES - 1)
    answers = np.where(np.eye(CLASSES, dtype=bool), recalls[:, None], off)
    sizes = np.rint(shares * count).astype(int)
    known = measures.macro_f1(sizes[:, None] * answers)
    generator, covered = np.random.default_rng(0), 0
    for seed in range(1000):
        drawn = zip(sizes, answers, strict=True)
        matrix = np.stack([generator.multinomial(size, row) for size, row in drawn])
        found = confidence_interval(measures.macro_f1, matrix, seed=seed)
        covered += found.low <= known <= found.high
    print(f"n = {count}: {covered / 10:.1f} % of 1000 intervals of macro-F1 cover it")
    assert 940 <= covered <= 960
