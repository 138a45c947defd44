"""Leaks among samples: the chance that one of k leaks, and how large the chance of a leak can be.

leak@k after arXiv:2511.04934 is the expected best of k samples. Bounds after Clopper and Pearson 1934, as in Scholten
et al., arXiv:2410.03523: what was not seen in n samples may still be said.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv, gammaln

Array = np.ndarray


def leak_at(k: int, leaks: Array, n: int) -> Array:
    """1 - C(n - c, k) / C(n, k) of c `leaks` [...] among n samples: unbiased for 1 - (1 - p)^k, which it is not at c/n.

    Raises:
        ValueError: k is not within 1 and n, of which no unbiased estimate is made.
    """
    if not 1 <= k <= n:
        raise ValueError(f"k = {k} of {n} samples")
    clean = n - np.asarray(leaks, dtype=float)
    with np.errstate(invalid="ignore"):
        log = gammaln(clean + 1) - gammaln(clean - k + 1) - (gammaln(n + 1) - gammaln(n - k + 1))
        found: Array = np.where(clean >= k, -np.expm1(np.minimum(log, 0.0)), 1.0)
    return np.where(np.isnan(clean), np.nan, found)


def best_of(k: int, scores: Array) -> Array:
    """The expected largest of k among n scores [..., n]: sum_i C(i - 1, k - 1) / C(n, k) s_(i) of the i-th smallest.

    Of scores 0 and 1 it is `leak_at`.

    Raises:
        ValueError: k is not within 1 and n.
    """
    n = scores.shape[-1]
    if not 1 <= k <= n:
        raise ValueError(f"k = {k} of {n} scores")
    whole = math.comb(n, k)
    weights = np.array([math.comb(i - 1, k - 1) / whole for i in range(1, n + 1)])
    best: Array = np.sort(scores, axis=-1) @ weights
    return best


def upper_bound(leaks: Array, n: Array | int, level: float = 0.95) -> Array:
    """The largest p that c `leaks` [...] among n samples allow: one-sided Clopper-Pearson, by beta quantiles.

    Over several items, c and n summed: each has a chance of its own, which makes the sum less spread than with one p
    (Hoeffding 1956), so it holds for the mean chance of these items, and says nothing of others.
    """
    c = np.asarray(leaks, dtype=float)
    with np.errstate(invalid="ignore"):
        found: Array = np.where(c >= n, 1.0, betaincinv(c + 1, np.maximum(n - c, 1.0), level))
    return np.where(np.isnan(c), np.nan, found)
