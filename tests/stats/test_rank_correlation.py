"""Rank correlations against scipy's, and their exact p-values against orders counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from bench.stats.rank_correlation import correlate


@pytest.mark.parametrize("ties", [False, True])
def test_coefficients_are_those_of_scipy(ties: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = rng.integers(0, 4, (2, 7)) + (0 if ties else rng.random((2, 7)))
        found = correlate(x, y)
        assert found.spearman == pytest.approx(spearmanr(x, y).statistic)
        assert found.kendall == pytest.approx(kendalltau(x, y).statistic)
        if not ties:
            assert found.p_kendall == pytest.approx(kendalltau(x, y, method="exact").pvalue)


def test_p_of_three_in_order() -> None:
    """Of six orders two, this one and its reverse, agree or disagree as much."""
    assert correlate([1, 2, 3], [10, 20, 30]) == pytest.approx((1, 1 / 3, 1, 1 / 3, 3))


def test_p_with_a_tie() -> None:
    """x = 1 1 2: rho with 1 2 3 is sqrt(3)/2, as far as any order gets; 3 may stand in the third place or 1: 4 of 6."""
    found = correlate([1, 1, 2], [1, 2, 3])
    assert found.spearman == pytest.approx(math.sqrt(3) / 2)
    assert found.p_spearman == found.p_kendall == pytest.approx(4 / 6)


def test_reversing_a_side_turns_the_sign_and_keeps_p() -> None:
    x, y = [3, 1, 2, 5, 4], [2, 1, 2, 4, 9]
    one, other = correlate(x, y), correlate(x, [-v for v in y])
    assert other == pytest.approx((-one.spearman, one.p_spearman, -one.kendall, one.p_kendall, 5))


def test_a_side_without_variation_has_no_correlation() -> None:
    assert all(math.isnan(v) for v in correlate([1, 1, 1], [1, 2, 3])[:4])


def test_eight_need_a_spearman_of_074() -> None:
    """What docs/tuning_1b.md says: 1 - 6 S / 504 with S = 22 is the least of eight with p < 0.05, S = 24 too little."""
    base = list(range(8))
    enough, short = correlate(base, [3, 1, 2, 0, 5, 4, 7, 6]), correlate(base, [3, 2, 1, 0, 5, 4, 7, 6])
    assert enough.spearman == pytest.approx(0.738, abs=5e-4) and enough.p_spearman < 0.05
    assert short.spearman == pytest.approx(0.714, abs=5e-4) and short.p_spearman > 0.05


def test_of_eight_every_order_is_counted() -> None:
    """Whole numbers of 8! orders, as scipy has them for Kendall's tau."""
    x, y = list(range(8)), [1, 0, 3, 2, 6, 4, 5, 7]
    found = correlate(x, y)
    assert found.p_kendall == pytest.approx(kendalltau(x, y, method="exact").pvalue, rel=1e-12)
    assert correlate(x, x).p_spearman == 2 / math.factorial(8)


def test_of_more_than_eight_orders_are_drawn() -> None:
    """Close to the exact p of Kendall's tau, and never 0."""
    x, y = list(range(10)), [1, 0, 3, 2, 6, 4, 5, 9, 7, 8]
    found = correlate(x, y)
    assert found.p_kendall == pytest.approx(kendalltau(x, y, method="exact").pvalue, abs=3e-3)
    assert correlate(x, x).p_spearman == pytest.approx(1 / 40_000, abs=1e-4)
    assert correlate(x, y) == found


def test_unequal_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 4 values"):
        correlate(range(3), range(4))
