"""Ranks over tasks: the example of Demsar 2006; and at their edges by hand: nothing to rank, just enough, ties, methods
that are alone."""

from __future__ import annotations

import math
import string

import pytest

from bench.stats.critical_difference import _groups, rank_tasks

METHODS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
# AUCs on 14 data sets, Demsar 2006, table 6.
AUCS = """
.763 .768 .771 .798
.599 .591 .590 .569
.954 .971 .968 .967
.628 .661 .654 .657
.882 .888 .886 .898
.936 .931 .916 .931
.661 .668 .609 .685
.583 .583 .563 .625
.775 .838 .866 .875
1.00 1.00 1.00 1.00
.940 .962 .965 .962
.619 .666 .614 .669
.972 .981 .975 .9749
.957 .978 .946 .970
"""
TABLE = {
    f"set {i}": dict(zip(METHODS, map(float, line.split()), strict=True))
    for i, line in enumerate(AUCS.strip().splitlines())
}


def test_the_published_example() -> None:
    """Average ranks 3.143, 2.000, 2.893, 1.964; chi squared 9.28 without a correction for ties; CD 1.25.

    One pair that is equal in the three printed digits is ranked apart there, hence the fourth digit in the table.
    """
    found = rank_tasks(TABLE)
    ranks = dict(zip(found.methods, found.ranks, strict=True))
    assert [round(ranks[m], 3) for m in METHODS] == [3.143, 2.0, 2.893, 1.964]
    plain = 12 * 14 / (4 * 5) * (sum(r**2 for r in ranks.values()) - 4 * 5**2 / 4)
    assert plain == pytest.approx(9.28, abs=0.01)
    ties = 3 * (2**3 - 2) + (4**3 - 4)  # three pairs and one set where all four are equal
    assert found.statistic == pytest.approx(plain / (1 - ties / (14 * (4**3 - 4))))
    assert found.difference == pytest.approx(1.25, abs=0.005)
    assert found.groups == (tuple(sorted(METHODS, key=ranks.__getitem__)),)  # the text: no pair reaches 1.25
    assert found.difference > 3.143 - 1.964


def test_groups_are_the_longest_runs_within_the_difference() -> None:
    """20 tasks that order a > b > c > d > e alike: ranks 1 to 5, CD = 2.728 sqrt(30 / 120) = 1.364."""
    values = {f"t{i}": {m: float(-j) for j, m in enumerate("abcde")} for i in range(20)}
    found = rank_tasks(values)
    assert found.ranks == (1, 2, 3, 4, 5)
    assert found.difference == pytest.approx(2.728 * (30 / 120) ** 0.5, abs=1e-3)
    assert found.groups == (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"))


def test_too_few_tasks_are_said_to_be() -> None:
    found = rank_tasks(dict(list(TABLE.items())[:2]))
    assert found.p is None and found.note == "tasks: 2, methods on all of them: 4; it takes 3 of each to test"


def test_only_methods_that_every_task_has_are_ranked_and_ties_are_no_evidence() -> None:
    values = {f"t{i}": {"a": 1.0, "b": 1.0, "c": 1.0} for i in range(4)}
    values["t0"]["d"] = 2.0
    found = rank_tasks(values)
    assert found.methods == ("a", "b", "c") and found.ranks == (2, 2, 2) and found.p == 1.0


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
