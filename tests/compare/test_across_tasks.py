"""Friedman and Nemenyi against the example of Demsar 2006."""

from __future__ import annotations

import pytest

from bench.stats.critical_difference import rank_tasks

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
