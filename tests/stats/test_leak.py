"""leak@k and Clopper-Pearson, held against the numbers of the reference, brute force and scipy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from bench.stats.leak import at_least_once, leak_at, upper_bound


def test_five_leaks_of_two_hundred() -> None:
    found = [float(leak_at(k, np.array(5), 200)) for k in (1, 8, 32, 128)]
    assert found == pytest.approx([0.025, 0.186, 0.586, 0.994], abs=5e-4)


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_share_of_the_choices_that_hold_a_leak(drawn: tuple[int, int, int]) -> None:
    n, c, k = drawn
    scores = np.array([1.0] * c + [0.0] * (n - c))
    shares = np.mean([max(chosen) for chosen in combinations(scores, k)])
    assert float(leak_at(k, np.array(c), n)) == pytest.approx(shares, abs=1e-12)


def test_it_is_unbiased_for_the_chance_of_one_in_k() -> None:
    n, p, k = 40, 0.07, 16
    counts = np.arange(n + 1)
    assert leak_at(k, counts, n) @ binom.pmf(counts, n, p) == pytest.approx(1 - (1 - p) ** k, abs=1e-12)


def test_many_items_at_once_and_what_is_not_scored() -> None:
    found = leak_at(4, np.array([[0, 50, np.nan], [47, 46, 3]]), 50)
    assert found[0, 0] == 0 and found[0, 1] == 1 and np.isnan(found[0, 2]) and found[1, 0] == 1 and found[1, 1] < 1
    with pytest.raises(ValueError, match="k = 51 of 50"):
        leak_at(51, np.array([0]), 50)


def test_of_however_many_samples_no_chance_is_below_none() -> None:
    """Logarithms of factorials of 10^8 have no digits left for a leak in 10^8."""
    assert (leak_at(1, np.arange(6), 10**8) >= 0).all()


def test_counts_of_any_kind_are_numbers() -> None:
    few = np.array([0, 7, 255], dtype=np.uint8)
    np.testing.assert_array_equal(leak_at(4, few, 300), leak_at(4, few.astype(float), 300))
    np.testing.assert_array_equal(upper_bound(few, 300), upper_bound(few.astype(float), 300))


def test_a_certain_answer_is_said_at_least_once_without_a_warning() -> None:
    with np.errstate(divide="raise"):
        assert at_least_once(np.array([0.0]), 8) == 1


def test_nothing_heard_leaves_room() -> None:
    found = upper_bound(np.zeros(3), np.array([50, 100, 200]))
    np.testing.assert_allclose(found, [0.058, 0.030, 0.015], atol=5e-4)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_it_is_the_bound_of_scipy(drawn: tuple[int, int], level: float) -> None:
    c, n = drawn
    wanted = binomtest(c, n, alternative="less").proportion_ci(level, "exact").high
    assert float(upper_bound(np.array(c), n, level)) == pytest.approx(wanted, rel=1e-9)


def test_of_items_it_is_taken_by_item_or_of_their_sum_and_not_of_what_is_not_scored() -> None:
    leaks = np.array([0.0, 3.0, np.nan, 50.0])
    found = upper_bound(leaks, 50)
    assert np.isnan(found[2]) and found[3] == 1 and (np.diff(found[[0, 1, 3]]) > 0).all()
    assert float(upper_bound(np.nansum(leaks[:2]), 100)) < found[1]
