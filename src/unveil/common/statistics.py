"""Divergence of distributions and association of categorical variables.

All functions take counts. Intervals are 95 % intervals; the result is ``None`` with too few data.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

DRAWS = 1000
DECILES = 10


class Association(NamedTuple):
    """Strength of an association, 0 (none) to 1 (one determines the other), with its interval."""

    value: float
    low: float
    high: float


def jensen_shannon(first: NDArray[Any], second: NDArray[Any]) -> float | None:
    """Return the Jensen-Shannon divergence of two count vectors ``(c,)``, 0 (equal) to 1.

    In bits (Lin, 1991, "Divergence measures based on the Shannon entropy"); ``None`` if one of
    them has no counts.
    """
    # Not SciPy's: the server needs nothing else of its 100 MB.
    if not np.sum(first) or not np.sum(second):
        return None
    shares = np.stack([first / np.sum(first), second / np.sum(second)])
    ratios = np.divide(shares, shares.mean(axis=0), out=np.ones_like(shares), where=shares > 0)
    return max(0.0, float((shares * np.log2(ratios)).sum() / 2))


def cramers_v(table: Counts, *, seed: int = 0) -> Association | None:
    """Return the bias-corrected Cramer's V of a contingency table ``(r, c)``.

    Bergsma (2013), "A bias-correction for Cramer's V and Tschuprow's T", J. Korean Stat. Soc. 42.
    The interval is the basic bootstrap interval (Davison and Hinkley, 1997, section 5.2) of the
    corrected mean square contingency before it is clipped at 0: resampled tables have the bias a
    second time, so percentile intervals would be too high. For a table that is more even than by
    chance the interval may be 0 alone. ``None`` if only one row or column has counts.
    """
    filled = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(filled.shape) < 2 or (total := int(filled.sum())) < 2:
        return None
    degrees = np.array(filled.shape) - 1
    bias = degrees.prod() / (total - 1)
    most = (degrees - degrees**2 / (total - 1)).min()
    if most <= 0:
        return None
    shares = filled.ravel() / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, DRAWS)
    plain = float(_mean_square_contingency(filled))
    low, high = np.quantile(
        _mean_square_contingency(drawn.reshape(-1, *filled.shape)), (0.025, 0.975)
    )
    squares = np.array([plain - bias, 2 * plain - high, 2 * plain - low])
    return Association(*np.sqrt(np.clip(squares / most, 0, 1)).tolist())


def deciles(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the decile of each value, 0..9; equal values share one, so there may be fewer."""
    edges = np.unique(np.quantile(values, np.arange(1, DECILES) / DECILES))
    return np.searchsorted(edges, values, side="right")


def contingency_table(
    rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> Counts:
    """Count each pair of row and column indices ``(n,)`` in a table of the given ``shape``."""
    cells = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return cells.reshape(shape)


def _mean_square_contingency(tables: Counts) -> NDArray[np.float64]:
    """Return the mean square contingency (chi squared over n) of tables ``(..., r, c)``."""
    expected = tables.sum(-1, keepdims=True) * tables.sum(-2, keepdims=True)
    parts = np.divide(tables**2, expected, out=np.zeros(tables.shape), where=expected > 0)
    squares: NDArray[np.float64] = parts.sum((-2, -1)) - 1
    return squares
