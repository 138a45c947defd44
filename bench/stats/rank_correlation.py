"""How far two orders of the same few things agree, with p-values by permutation, ties included."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

Array = np.ndarray

EXACT = 8
"""Things up to which all orders are counted: 8! are 40,320."""
DRAWN = 39_999
"""Orders that are drawn of more, always the same; the one that was observed is counted with them."""


class Correlation(NamedTuple):
    """Spearman's rho and Kendall's tau-b, each with its two-sided p-value, and how many things were ordered."""

    spearman: float
    p_spearman: float
    kendall: float
    p_kendall: float
    n: int


def correlate(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """The rank correlations of x and y, [n]; p is the share of orders that agree or disagree at least as much.

    All n! orders are counted for n up to 8; of more, `DRAWN` are drawn, so that p is too large rather than too small.

    Both are one coefficient (Daniels 1944), sum_ij a_ij b_ij / sqrt(sum a^2 sum b^2): of differences of mean ranks it
    is Spearman's, of their signs Kendall's. So ties are alike in the coefficient and in its p. NaN where one side does
    not vary.

    Raises:
        ValueError: x and y are not as long.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} values; as many of both are needed")
    a, b = (np.subtract.outer(ranks, ranks) for ranks in (rankdata(x), rankdata(y)))
    orders = _orders(len(x))
    return Correlation(*_coefficient(a, b, orders), *_coefficient(np.sign(a), np.sign(b), orders), len(x))


def _orders(n: int) -> Array:
    """All orders of n things, [n!, n], or what was observed and some that are drawn."""
    if n <= EXACT:
        return np.array(list(permutations(range(n))), dtype=int)
    drawn = np.random.default_rng(0).permuted(np.tile(np.arange(n), (DRAWN, 1)), axis=1)
    return np.concatenate([np.arange(n)[None], drawn])


def _coefficient(a: Array, b: Array, orders: Array) -> tuple[float, float]:
    """The coefficient of matrices [n, n] and its p among the orders [P, n], of which one is the observed."""
    size = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
    if not size:
        return float("nan"), float("nan")
    of_all = np.einsum("ij,pij->p", a, b[orders[:, :, None], orders[:, None, :]]) / size
    observed = float(np.sum(a * b)) / size
    # Coefficients that are equal may differ in their last digits.
    return observed, float(np.mean(np.abs(of_all) >= abs(observed) - 1e-9))
