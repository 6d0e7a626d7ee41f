"""Permutation tests: p-values are uniform under the null hypothesis; Holm by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from unveil.evaluation.metrics import accuracy, macro_f1
from unveil.evaluation.significance import DRAWS, holm, permutation_test, range_permutation_test

GOOD = np.array([[40, 4, 4, 2], [5, 30, 10, 5], [5, 10, 30, 5], [2, 2, 1, 20]])


def test_holm_computed_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, 0.5, None, 0.9]) == [None, 1.0, None, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_uncorrected_and_bonferroni_and_keeps_the_order(values):
    raised = holm(values)
    for value, corrected in zip(values, raised, strict=True):
        assert value <= corrected <= min(1, value * len(values))
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(raised)[order]) >= 0)
    # Controlling the family-wise error rate is at least as strict as the false discovery rate.
    assert np.all(np.array(raised) >= false_discovery_control(values) - 1e-12)


def test_only_different_parts_are_significant():
    assert permutation_test(macro_f1, GOOD, GOOD) == (0.0, 1.0)
    bad = np.roll(GOOD, 1, axis=1)
    found = permutation_test(macro_f1, bad, GOOD)
    assert found.difference == pytest.approx(macro_f1(bad) - macro_f1(GOOD))
    assert found.p == 1 / (1 + DRAWS)
    assert found == permutation_test(macro_f1, bad, GOOD)


def test_different_class_shares_alone_are_no_difference():
    easier = GOOD * np.array([[3], [1], [1], [3]])
    assert permutation_test(accuracy, easier, GOOD).difference > 0.02
    assert min(permutation_test(measure, easier, GOOD).p for measure in (accuracy, macro_f1)) > 0.5


def test_p_values_are_uniform_under_the_null_hypothesis():
    generator = np.random.default_rng(0)
    shares = GOOD / GOOD.sum(1, keepdims=True)

    def drawn():
        return np.stack([generator.multinomial(20, row) for row in shares])

    p = np.array([permutation_test(macro_f1, drawn(), drawn(), seed=seed).p for seed in range(300)])
    for bound in (0.05, 0.25, 0.5):
        assert (p <= bound).mean() == pytest.approx(bound, abs=3 * (bound / 300) ** 0.5)


def test_the_range_over_groups_computed_by_hand():
    found = range_permutation_test(np.array([9, 5, 1]), np.array([10, 10, 10]))
    assert found.difference == pytest.approx(0.8)
    assert found.p < 0.01
    assert range_permutation_test(np.array([5, 5]), np.array([10, 10])) == (0.0, 1.0)
