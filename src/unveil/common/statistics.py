"""How far two distributions are apart, and how much a label depends on something else.

All take counts. An interval holds 95 %; what too little is known of, is ``None`` and no number.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

DRAWS = 1000
DECILES = 10


class Strength(NamedTuple):
    """How strong a dependence is, 0 (none) to 1 (one decides the other), with its interval."""

    value: float
    low: float
    high: float


def divergence(first: NDArray[Any], second: NDArray[Any]) -> float | None:
    """Give the Jensen-Shannon divergence of two distributions ``(c,)``, 0 (equal) to 1 (disjoint).

    In bits (Lin, 1991, "Divergence measures based on the Shannon entropy"); ``None`` for nothing.
    """
    from scipy.spatial.distance import jensenshannon

    if not np.sum(first) or not np.sum(second):
        return None
    return float(np.nan_to_num(jensenshannon(first, second, base=2)) ** 2)


def cramers_v(table: Counts, *, seed: int = 0) -> Strength | None:
    """Give Cramer's V of a contingency table ``(r, c)``, free of the bias of small tables.

    Bergsma (2013), "A bias-correction for Cramer's V and Tschuprow's T", J. Korean Stat. Soc. 42.
    The interval is the basic bootstrap's (Davison and Hinkley, 1997, section 5.2) of the corrected
    mean square contingency before it is cut at 0: a drawn table has the bias once more, so that the
    percentiles themselves would lie too high. For a table more even than chance makes it, it may be
    0 alone. ``None`` where only one row or column has counts.
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
    plain = float(_contingency(filled))
    low, high = np.quantile(_contingency(drawn.reshape(-1, *filled.shape)), (0.025, 0.975))
    squares = np.array([plain - bias, 2 * plain - high, 2 * plain - low])
    return Strength(*np.sqrt(np.clip(squares / most, 0, 1)).tolist())


def deciles(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give each value's tenth, 0..9; equal values share one, so that there may be fewer."""
    edges = np.unique(np.quantile(values, np.arange(1, DECILES) / DECILES))
    return np.searchsorted(edges, values, side="right")


def counted(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> Counts:
    """Count how often each pair of indices ``(n,)`` occurs, as ``shape``."""
    cells = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return cells.reshape(shape)


def _contingency(tables: Counts) -> NDArray[np.float64]:
    """Give the mean square contingency, chi squared over n, of tables ``(..., r, c)``."""
    expected = tables.sum(-1, keepdims=True) * tables.sum(-2, keepdims=True)
    parts = np.divide(tables**2, expected, out=np.zeros(tables.shape), where=expected > 0)
    squares: NDArray[np.float64] = parts.sum((-2, -1)) - 1
    return squares
