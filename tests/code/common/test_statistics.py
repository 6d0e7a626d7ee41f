"""Divergence and association, compared with SciPy and by hand, with simulated interval coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats.contingency import association

from unveil.common.statistics import contingency_table, cramers_v, deciles, jensen_shannon

tables = arrays(
    np.int64, st.tuples(st.integers(2, 6), st.integers(2, 5)), elements=st.integers(0, 60)
)


def corrected(table: np.ndarray) -> float:
    """Return Bergsma's estimate from SciPy's uncorrected one, following the paper."""
    n, (r, c) = table.sum(), table.shape
    squares = association(table, method="cramer") ** 2 * (min(r, c) - 1)
    squares = max(0, squares - (r - 1) * (c - 1) / (n - 1))
    r, c = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return np.sqrt(squares / min(r - 1, c - 1))


@settings(max_examples=50, deadline=None)
@given(tables)
def test_v_is_bias_corrected_and_lies_in_its_interval(table):
    if not (table.sum(0).all() and table.sum(1).all() and table.sum() > 20):
        return
    found = cramers_v(table)
    assert found.value == pytest.approx(min(1, corrected(table)), abs=1e-9)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value <= found.high + 1e-9 <= 1 + 1e-9


@settings(max_examples=50, deadline=None)
@given(tables, st.integers(0, 2**32 - 1))
def test_v_ignores_empty_rows_and_columns(table, seed):
    empty = np.zeros((table.shape[0] + 1, table.shape[1] + 1), np.int64)
    empty[1:, 1:] = table
    assert cramers_v(empty, seed=seed) == cramers_v(table, seed=seed)


def test_v_of_full_dependence_and_of_too_few_data():
    assert cramers_v(np.diag([50, 50, 50])) == pytest.approx((1, 1, 1), abs=0.02)
    assert cramers_v(np.array([[7, 9], [0, 0]])) is None
    assert cramers_v(np.zeros((3, 4), np.int64)) is None
    assert cramers_v(np.eye(2, dtype=np.int64)) is None


@pytest.mark.parametrize("mix", [0.0, 0.15, 0.3])
def test_the_interval_has_its_coverage_on_sampled_tables(mix):
    decided = np.kron(np.eye(2), np.ones((5, 2))) / 20
    known = (1 - mix) / 40 + mix * decided
    expected = known.sum(1, keepdims=True) * known.sum(0, keepdims=True)
    truth = np.sqrt(((known**2 / expected).sum() - 1) / 3)
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(400, known.ravel(), 200).reshape(-1, 10, 4)
    found = [cramers_v(table, seed=seed) for seed, table in enumerate(drawn)]
    # 2.5 % are asked on either side; of 200 trials, 12 or fewer are 0.999 likely then.
    assert sum(one.low > truth for one in found) <= 12
    assert sum(one.high < truth for one in found) <= 20


@given(st.lists(st.integers(0, 100), min_size=3, max_size=3), st.integers(1, 9))
def test_the_divergence_is_symmetric_and_independent_of_size(counts, times):
    first, second = np.array(counts), np.array([3, 2, 1])
    if not first.sum():
        assert jensen_shannon(first, second) is None
        return
    distance = jensen_shannon(first, second)
    assert 0 <= distance <= 1
    assert distance == pytest.approx(jensen_shannon(second, first * times), abs=1e-12)
    assert jensen_shannon(first, first * times) == pytest.approx(0, abs=1e-12)
    assert distance == pytest.approx(jensenshannon(first, second, base=2) ** 2, abs=1e-12)


def test_the_divergence_by_hand():
    assert jensen_shannon(np.array([5, 0]), np.array([0, 2])) == pytest.approx(1)
    # Of (1, 0) and (1/2, 1/2), in the middle (3/4, 1/4): half of log2(4/3), and a quarter each of
    # log2(2/3) and log2(2).
    expected = 0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25 * np.log2(2)
    assert jensen_shannon(np.array([1, 0]), np.array([1, 1])) == pytest.approx(expected)


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 255)))
def test_deciles_keep_the_order_and_equal_values_together(values):
    found = deciles(values)
    order = np.argsort(values)
    assert (np.diff(found[order]) >= 0).all()
    assert len({*zip(values, found, strict=True)}) == len(np.unique(values))
    assert found.min() >= 0 and found.max() <= 9


def test_deciles_of_distinct_values_have_equal_sizes():
    assert np.bincount(deciles(np.arange(1000.0))).tolist() == [100] * 10


def test_pairs_are_counted():
    assert contingency_table(np.array([0, 1, 1]), np.array([2, 0, 0]), (2, 3)).tolist() == [
        [0, 0, 1],
        [2, 0, 0],
    ]
