"""Whether two samples come from one distribution: Kolmogorov-Smirnov, exact where samples are small.

Functions reduce the LAST axis and broadcast over the leading ones. A NaN in a sample makes its statistic NaN.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

Array = np.ndarray
_EXACT_UP_TO = 10_000  # the larger sample of a KS test, above which scipy's "auto" turns asymptotic too


class Steps(NamedTuple):
    """Both empirical distribution functions, as counts, at the end of each run of equal values; [..., n + m]."""

    x: Array
    y: Array
    bad: Array  # [...], a NaN is among the values


def steps(x: Array, y: Array) -> Steps:
    lead = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    n = x.shape[-1]
    pooled = np.concatenate([np.broadcast_to(v, (*lead, v.shape[-1])) for v in (x, y)], axis=-1)
    order = np.argsort(pooled, axis=-1)
    ordered = np.take_along_axis(pooled, order, axis=-1)
    last = np.ones(ordered.shape, dtype=bool)
    last[..., :-1] = ordered[..., 1:] != ordered[..., :-1]
    of_x = np.cumsum(order < n, axis=-1)
    of_y = np.arange(1, pooled.shape[-1] + 1) - of_x
    x_held, y_held = (np.maximum.accumulate(np.where(last, counts, 0), axis=-1) for counts in (of_x, of_y))
    return Steps(x_held, y_held, np.isnan(ordered[..., -1]))


def ks_statistic(x: Array, y: Array) -> Array:
    """Largest distance between the two empirical distribution functions, [...]."""
    steps, bad = _ks_lattice(x, y)
    return np.where(bad, np.nan, steps / (x.shape[-1] * y.shape[-1]))


def ks_pvalue(x: Array, y: Array) -> Array:
    """Two-sided p-value of the two-sample Kolmogorov-Smirnov test, [...]; exact up to 10,000 items a side.

    What `scipy.stats.ks_2samp(method="auto")` gives, without its loss of digits where the statistic is small.
    """
    steps, bad = _ks_lattice(x, y)
    return np.where(bad, np.nan, ks_tail(steps, x.shape[-1], y.shape[-1]))


def ks_tail(steps: Array, n: int, m: int) -> Array:
    """P(nm D >= steps) for samples of n and m without ties; `steps` are whole numbers [...].

    Samples of one size have distances of k/n alone; what lies between two counts as the lower, so that a distance that
    was estimated is never taken for a larger one.
    """
    distinct, back = np.unique(steps, return_inverse=True)
    if max(n, m) > _EXACT_UP_TO:
        from scipy.stats import kstwo

        tails = kstwo.sf(distinct / (n * m), round(n * m / (n + m)))
    elif n == m:
        tails = np.array([_equal_tail(int(h) // n, n) for h in distinct])
    else:
        tails = _unequal_tail(distinct, n, m)
    return tails[back]


def _ks_lattice(x: Array, y: Array) -> tuple[Array, Array]:
    """KS statistic times n * m, an integer [...], and where it is unknown."""
    found = steps(x, y)
    return np.abs(found.x * y.shape[-1] - found.y * x.shape[-1]).max(axis=-1), found.bad


@cache
def _equal_tail(k: int, n: int) -> float:
    """P(D >= k/n) for two samples of n without ties, by reflection (Gnedenko & Korolyuk 1951), in whole numbers."""
    if k == 0:
        return 1.0
    signed = (math.comb(2 * n, n - j * k) * (-1) ** (j - 1) for j in range(1, n // k + 1))
    return float(2 * sum(signed) / math.comb(2 * n, n))


def _unequal_tail(distances: Array, n: int, m: int) -> Array:
    """P(nm D >= h) for each h: the chance that a random lattice path from (0, 0) to (n, m) meets |im - jn| >= h.

    Runs backwards over the diagonals; every term is positive, so that small probabilities keep their digits.
    """
    i, h = np.arange(n + 1), distances[:, None]
    meets = np.zeros((len(distances), n + 1))
    for s in range(n + m - 1, -1, -1):
        j = s - i
        right = np.concatenate([meets[:, 1:], np.zeros_like(h, dtype=float)], axis=1)
        meets = ((n - i) * right + (m - j) * meets) / (n + m - s)
        meets = np.where(np.abs(i * m - j * n) >= h, 1.0, meets) * ((j >= 0) & (j <= m))
    return meets[:, 0]
