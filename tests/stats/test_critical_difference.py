"""Ranks over tasks at their edges: nothing to rank, just enough, ties, methods that are alone; by hand."""

from __future__ import annotations

import math
import string

import pytest

from bench.stats.critical_difference import _groups, rank_tasks


def test_of_nothing_nothing_is_ranked() -> None:
    assert rank_tasks({})[:3] == ((), (), ())


def test_two_tasks_are_too_few_and_are_named_all_the_same() -> None:
    found = rank_tasks({task: {"b": 1.0, "a": 2.0, "c": 3.0} for task in ("one", "two")})
    assert found[:3] == (("one", "two"), ("a", "b", "c"), ())


def test_three_methods_on_three_tasks_are_enough() -> None:
    """Ordered alike: chi squared 12 n / (k (k + 1)) x (1 + 0 + 1) = 6; with two degrees of freedom p = exp(-6 / 2)."""
    found = rank_tasks({task: {"b": 2.0, "a": 3.0, "c": 1.0} for task in ("one", "two", "three")})
    assert found[:3] == (("one", "two", "three"), ("a", "b", "c"), (1, 2, 3)) and not found.note
    assert (found.statistic, found.p) == pytest.approx((6, math.exp(-3)))


def test_where_all_tie_on_every_task_the_statistic_is_zero() -> None:
    found = rank_tasks({f"t{i}": dict.fromkeys("abc", float(i)) for i in range(4)})
    assert (found.statistic, found.p, found.groups) == (0, 1, (("a", "b", "c"),))


def test_methods_that_tie_stand_by_name() -> None:
    """Every third letter ahead of the others: 9 share rank 5, the 17 others share rank 18."""
    ahead, behind = string.ascii_lowercase[::3], [m for i, m in enumerate(string.ascii_lowercase) if i % 3]
    found = rank_tasks({f"t{i}": {m: float(m in ahead) for m in string.ascii_lowercase} for i in range(3)})
    assert found.methods == (*ahead, *behind)
    assert found.ranks == (5,) * 9 + (18,) * 17


def test_a_method_that_differs_from_all_is_in_no_group() -> None:
    """30 tasks that order a > b > c alike: ranks 1, 2, 3, CD = 2.343 sqrt(12 / 360) = 0.43."""
    assert rank_tasks({f"t{i}": {"a": 3.0, "b": 2.0, "c": 1.0} for i in range(30)}).groups == ()


def test_ranks_that_lie_just_the_critical_difference_apart_differ() -> None:
    """Demsar 2006: significantly different where they differ by at least the critical difference."""
    assert _groups([1.0, 2.0, 4.0], 1.0) == []
    assert _groups([1.0, 1.5, 2.0, 4.0, 4.5], 1.0) == [(0, 2), (1, 3), (3, 5)]
