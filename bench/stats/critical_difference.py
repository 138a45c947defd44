"""Methods over several tasks: Friedman's test, Nemenyi's critical difference (Demsar 2006)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

FEWEST_TASKS = 3


class Ranking(NamedTuple):
    """Average ranks of methods over tasks, best first, and how far apart they must be to differ.

    Where there are too few tasks or methods `note` says so and the tests are None.
    """

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    ranks: tuple[float, ...]  # 1 is best; ties share the mean of their ranks
    statistic: float | None = None  # Friedman's chi squared, corrected for ties
    p: float | None = None
    difference: float | None = None  # Nemenyi's critical difference of two average ranks
    groups: tuple[tuple[str, ...], ...] = ()  # largest runs of two or more methods that do not differ
    note: str = ""


def rank_tasks(values: Mapping[str, Mapping[str, float]], alpha: float = 0.05) -> Ranking:
    """Friedman's test over the methods that every task has.

    Args:
        values: what methods are ranked by, by task, then method; larger is better.
        alpha: the level of the critical difference.
    """
    tasks = tuple(values)
    shared = set.intersection(*(set(of) for of in values.values())) if values else set()
    methods = sorted(shared)
    k, n = len(methods), len(tasks)
    if n < FEWEST_TASKS or k < 3:
        return Ranking(
            tasks, tuple(methods), (), note=f"tasks: {n}, methods on all of them: {k}; it takes 3 of each to test"
        )
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    table = np.array([[values[task][method] for method in methods] for task in tasks])
    average = rankdata(-table, axis=1).mean(axis=0)
    order = np.argsort(average, kind="stable")
    ranks, named = average[order], [methods[i] for i in order]
    if (table == table[:, :1]).all():
        statistic, p = 0.0, 1.0  # every method ties with every other on every task
    else:
        statistic, p = map(float, friedmanchisquare(*table.T))
    difference = float(studentized_range.ppf(1 - alpha, k, np.inf)) * math.sqrt(k * (k + 1) / (12 * n))
    groups = tuple(tuple(named[i:j]) for i, j in _groups(ranks, difference))
    return Ranking(tasks, tuple(named), tuple(map(float, ranks)), statistic, p, difference, groups)


def _groups(ranks: Sequence[float] | np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Half-open runs of two or more sorted ranks that lie within the difference, none inside another."""
    found: list[tuple[int, int]] = []
    for i, first in enumerate(ranks):
        j = i + int(np.sum(np.asarray(ranks[i:]) - first < difference))
        if j - i > 1 and not (found and found[-1][1] >= j):
            found.append((i, j))
    return found
