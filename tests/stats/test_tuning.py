"""What a search is worth: worked examples, and every definition against brute force."""

from __future__ import annotations

import itertools
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.tuning import expected_best, hypervolume, width, within_budget

shares = st.floats(0, 1)
lists = st.lists(shares, min_size=1, max_size=7)
clouds = st.lists(st.tuples(st.integers(-2, 12).map(lambda n: n / 10), st.integers(0, 12).map(lambda n: n / 10)),
                  max_size=7)  # fmt: skip


def test_expected_best_by_hand() -> None:
    """Of two of (0, .5, 1) the best is .5 once and 1 twice."""
    np.testing.assert_allclose(expected_best([1, 0, 0.5]), [0.5, 2.5 / 3, 1])
    assert expected_best([]).shape == (0,)


@given(lists)
def test_expected_best_is_the_mean_over_all_subsets(values: list[float]) -> None:
    every = [fmean(map(max, itertools.combinations(values, n))) for n in range(1, len(values) + 1)]
    np.testing.assert_allclose(expected_best(values), every, atol=1e-12)


@given(lists, st.randoms())
def test_expected_best_begins_at_the_mean_ends_at_the_best_and_knows_no_order(values: list[float], random) -> None:
    found = expected_best(values)
    assert found[0] == pytest.approx(fmean(values))
    assert found[-1] == max(values)
    assert (np.diff(found) >= 0).all()
    random.shuffle(values)
    np.testing.assert_array_equal(expected_best(values), found)


def test_expected_best_of_many() -> None:
    """Uniform values 1..N: E[max_n] = n (N+1) / (n+1)."""
    n = np.arange(1, 2001)
    np.testing.assert_allclose(expected_best(n), n * 2001 / (n + 1), rtol=1e-9)


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3])
def test_where_all_trials_are_alike_every_number_of_them_is_worth_just_that(value: float) -> None:
    for count in range(1, 40):
        np.testing.assert_array_equal(expected_best([value] * count), [value] * count)


def test_hypervolume_by_hand() -> None:
    """.9 x .2 + .5 x .3 + .2 x .4; above .5 only .2 x .4."""
    points = [(0.5, 0.5), (0.9, 0.2), (0.2, 0.9)]
    assert hypervolume(points, least=0) == pytest.approx(0.41)
    assert hypervolume(points) == pytest.approx(0.2 * 0.4)
    assert hypervolume([]) == 0
    assert hypervolume([(1.0, 0.4)]) == 0, "ruin"
    assert hypervolume([(0.0, 1.0)]) == 0, "nothing done"
    assert hypervolume([(1.7, 1.3)]) == 0.5, "neither beyond retrain nor beyond the target pays"


@given(clouds, st.sampled_from([0.0, 0.5]))
def test_hypervolume_is_what_the_points_cover(points: list[tuple[float, float]], least: float) -> None:
    """All numbers are tenths: squares of a grid that some point is right of and above."""
    middles = [(i + 0.5) / 10 for i in range(10)]
    covered = sum(
        any(f > x and u > y for f, u in points) for x in middles for y in middles if y > least
    )  # fmt: skip
    assert hypervolume(points, least) == pytest.approx(covered / 100)


@given(clouds, st.tuples(shares, shares))
def test_hypervolume_never_falls_with_another_point(points: list[tuple[float, float]], one) -> None:
    assert hypervolume([*points, one]) >= hypervolume(points) - 1e-12


def test_width_by_hand() -> None:
    assert width([1.0, 0.9, 0.89, 0.0]) == 0.5
    assert width([0.3] * 5) == 1
    assert width([0.0, 0.0]) == 0
    assert width([]) == 0
    assert width([1.0, 0.5, 0.4], within=0.5) == pytest.approx(2 / 3)


@given(lists, st.sampled_from([0.5, 2.0]))
def test_width_is_of_shares_of_the_best(values: list[float], scale: float) -> None:
    """It knows no unit, and one trial in N reaches the best at least."""
    values = [round(value, 3) for value in values]
    assert width([scale * value for value in values]) == width(values)
    assert width(values) >= (1 / len(values) if max(values) > 0 else 0)


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 40))
def test_within_budget_is_the_most_that_fits(seconds: list[int], budget: int) -> None:
    found = within_budget(seconds, budget)
    assert sum(seconds[:found]) <= budget
    assert found == len(seconds) or sum(seconds[: found + 1]) > budget
