"""How far two orders of the same few things agree, with exact p-values, ties included."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

Array = np.ndarray

EXACT = 8
"""Things up to which all orders are counted: 8! are 40,320."""


class Correlation(NamedTuple):
    """Spearman's rho and Kendall's tau-b, each with its exact two-sided p-value, and how many things were ordered."""

    spearman: float
    p_spearman: float
    kendall: float
    p_kendall: float
    n: int


def correlate(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """The rank correlations of x and y, [n]; p is the share of all n! orders that agree or disagree at least as much.

    Both are one coefficient (Daniels 1944), sum_ij a_ij b_ij / sqrt(sum a^2 sum b^2): of differences of mean ranks it
    is Spearman's, of their signs Kendall's. So ties are alike in the coefficient and in its p. NaN where one side does
    not vary.

    Raises:
        ValueError: x and y are not as long, or longer than 8, of which there are too many orders to count.
    """
    if len(x) != len(y) or len(x) > EXACT:
        raise ValueError(f"{len(x)} and {len(y)} values; as many of both are needed, and at most {EXACT}")
    a, b = (np.subtract.outer(ranks, ranks) for ranks in (rankdata(x), rankdata(y)))
    orders = np.array(list(permutations(range(len(x)))), dtype=int)
    return Correlation(*_coefficient(a, b, orders), *_coefficient(np.sign(a), np.sign(b), orders), len(x))


def _coefficient(a: Array, b: Array, orders: Array) -> tuple[float, float]:
    """The coefficient of matrices [n, n] and its p among all orders [n!, n]."""
    size = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
    if not size:
        return float("nan"), float("nan")
    of_all = np.einsum("ij,pij->p", a, b[orders[:, :, None], orders[:, None, :]]) / size
    observed = float(np.sum(a * b)) / size
    # Coefficients that are equal may differ in their last digits.
    return observed, float(np.mean(np.abs(of_all) >= abs(observed) - 1e-9))
