"""Leaks among samples: the chance that one of k leaks, and how large the chance of a leak can be.

leak@k after arXiv:2511.04934. Bounds after Clopper and Pearson 1934, as in Scholten
et al., arXiv:2410.03523: what was not seen in n samples may still be said.
"""

from __future__ import annotations

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
    log = gammaln(clean + 1) - gammaln(clean - k + 1) - (gammaln(n + 1) - gammaln(n - k + 1))
    found: Array = np.where(clean >= k, -np.expm1(np.minimum(log, 0.0)), 1.0)
    return np.where(np.isnan(clean), np.nan, found)


def at_least_once(logps: Array, k: int) -> Array:
    """1 - (1 - p)^k of log-probabilities [...], without losing what is small."""
    with np.errstate(divide="ignore"):  # a certain answer
        found: Array = -np.expm1(k * np.log1p(-np.exp(np.minimum(logps, 0.0))))
    return found


def upper_bound(leaks: Array, n: Array | int, level: float = 0.95) -> Array:
    """The largest p that c `leaks` [...] among n samples allow: one-sided Clopper-Pearson, by beta quantiles.

    Over several items, c and n summed: each has a chance of its own, which makes the sum less spread than with one p
    (Hoeffding 1956), so it holds for the mean chance of these items, and says nothing of others.
    """
    c = np.asarray(leaks, dtype=float)
    return np.where(c >= n, 1.0, betaincinv(c + 1, np.maximum(n - c, 1.0), level))
