"""What a search among settings is worth: by how many were tried, how much they reach, how wide the good ones lie.

Nothing of this project. Values are better the larger they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from bench.stats.pareto import front

Array = np.ndarray


def expected_best(values: Sequence[float] | Array) -> Array:
    """The expected best of n trials, n = 1 .. N, drawn from the N values [N] without replacement: an array [N].

    E[max_n] = sum over i >= n of v_(i) C(i-1, n-1) / C(N, n), v_(i) the i-th smallest: v_(i) is the best of the draws
    that have it and n-1 of the i-1 smaller. Unbiased; E[max_1] is the mean, E[max_N] the largest. The form with
    replacement of Dodge et al. (2019) stays below the largest even at N.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    count = len(ordered)
    found = np.empty(count)
    for n in range(1, count + 1):
        # C(i-1, n-1) / C(N, n) is n/N at i = N, and (i-n+1)/i times its neighbour's below that.
        place = np.arange(count - 1, 0, -1)
        weights = np.cumprod([n / count, *((place - n + 1).clip(0) / place)])[::-1]
        found[n - 1] = weights @ ordered
    # Without rounding the curve never falls nor leaves the range of the values.
    return np.maximum.accumulate(found.clip(ordered[:1], ordered[-1:]))


def hypervolume(points: Iterable[tuple[float, float]], least: float = 0.5) -> float:
    """The area that points (F, U) dominate above the reference (0, least), at most 1 - least.

    With F falling along the front it is the sum of F_i (U_i - U_{i-1}), U_0 = least. F is clipped to [0, 1], 1 being
    retrain's, and U at 1, so that neither ruin nor a better model than the target pays. It grows with the number of
    points: compare at equal budgets.
    """
    able = [(min(max(f, 0.0), 1.0), min(u, 1.0)) for f, u in points if u > least]
    named = {str(n): at for n, at in enumerate(dict.fromkeys(able))}
    stairs = [named[name] for name in reversed(front(named))]
    below = [least, *(u for _, u in stairs)]
    return float(sum(f * (u - v) for (f, u), v in zip(stairs, below, strict=False)))


def width(values: Sequence[float] | Array, within: float = 0.1) -> float:
    """The share of values that are at least (1 - within) times the best: 1 where all are alike, 0 where the best is 0.

    How wide the good region of a space is: what a user who draws one setting can hope for.
    """
    found = np.asarray(values, dtype=float)
    best = found.max(initial=0.0)
    return float(np.mean(found >= (1 - within) * best)) if best > 0 else 0.0


def within_budget(seconds: Iterable[float], budget: float) -> int:
    """How many of the trials, in their order, end before the budget is spent: the most whose sum is not above it."""
    return sum(1 for _ in itertools.takewhile(lambda spent: spent <= budget, itertools.accumulate(seconds)))
