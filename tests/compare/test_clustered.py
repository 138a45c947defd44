"""Means over clustered items of which each seed scores some: each is what a loop over seeds and clusters finds."""

from __future__ import annotations

import numpy as np
import pytest

from bench.compare.clustered import Scored, mean_of, scores
from bench.score.estimates import error_parts, mean
from bench.stats.jackknife import FEWEST, reach

GROUPS = np.array([0, 0, 1, 1, 1, 2, 3, 3])
ITEMS = np.ones((2, 8), dtype=bool)
ITEMS[0, [0, 5]] = False  # of the first cluster one is left, of the third none
SCORED = Scored(GROUPS, ITEMS)
VALUES = np.where(ITEMS, np.random.default_rng(0).random((3, 2, 8)), np.nan)


def test_each_seed_has_its_mean_and_that_without_each_cluster() -> None:
    for seed, found in enumerate(SCORED.estimates(VALUES)):
        for row, value in enumerate(found.value):
            own = VALUES[row, seed]
            assert value == pytest.approx(np.nanmean(own))
            without = [np.nanmean(own[cluster != GROUPS]) for cluster in range(4)]
            assert found.without["forget"][row] == pytest.approx(without)
        assert found.sizes["forget"].tolist() == ([1, 3, 0, 2], [2, 3, 1, 2])[seed]


def test_without_the_only_cluster_nothing_is_left() -> None:
    (found,) = Scored(np.zeros(3, dtype=int), np.ones((1, 3), dtype=bool)).estimates(np.array([[0.2, 0.4, 0.6]]))
    assert found.value == pytest.approx(0.4) and found.fewest == 1 and np.isfinite(found.without["forget"]).all()


def test_seeds_count_alike_whatever_they_score() -> None:
    expected = [(np.nanmean(of[0]) + np.nanmean(of[1])) / 2 for of in VALUES]
    assert SCORED.mean(VALUES) == pytest.approx(expected)


def test_what_scores_the_same_items_of_the_same_clusters_is_the_same() -> None:
    assert SCORED.same == Scored(GROUPS.copy(), ITEMS.copy()).same
    assert SCORED.same != Scored(GROUPS[::-1], ITEMS).same and SCORED.same != Scored(GROUPS, ~ITEMS).same


@pytest.mark.parametrize("clusters", [FEWEST - 1, FEWEST])
def test_scores_have_an_interval_where_there_are_clusters_enough(clusters: int) -> None:
    """And no bounds: numbers of the size of 10 keep theirs."""
    values = 10 + np.random.default_rng(1).random((2, 3, 2 * clusters))
    by_seed = Scored(np.arange(2 * clusters) // 2, np.ones((3, 2 * clusters), dtype=bool)).estimates(values)
    half = reach(error_parts(by_seed), 0.05)
    for score, value, far in zip(scores(by_seed), values.mean(axis=(1, 2)), half, strict=True):
        assert (score.value, score.n) == (pytest.approx(value), clusters) and mean(by_seed).fewest == clusters
        limits = (None, None) if clusters < FEWEST else (pytest.approx(value - far), pytest.approx(value + far))
        assert (score.lo, score.hi) == limits


def test_the_mean_of_what_is_there() -> None:
    nan = np.nan
    values = np.array([[1.0, nan, 4.0], [nan, nan, 6.0]])
    np.testing.assert_array_equal(mean_of(values, 0), [1, nan, 5])
    np.testing.assert_array_equal(mean_of(values, 1), [2.5, 6])
    assert mean_of(values) == pytest.approx(11 / 3) and np.isnan(mean_of(values[:, 1]))
