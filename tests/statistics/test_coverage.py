"""How often 95% intervals hold the planted truth: 0.93 to 0.97 at five or more clusters, with the exceptions named.

Tolerance: three standard errors of a share of 0.95 in n samples, 0.033 for 400.
"""

from __future__ import annotations

import math

import pytest

from tests.statistics.conftest import slack

LOW, HIGH, N = 0.93, 0.97, 400


def near(coverage: float, n: int, low: float = LOW, high: float = HIGH) -> bool:
    return low - slack(0.95, n) <= coverage <= high + slack(0.95, n)


@pytest.mark.parametrize("clusters", [5, 20])
@pytest.mark.parametrize("icc", [0.0, 0.5])
@pytest.mark.parametrize("unequal", [False, True])
def test_means(simulate, clusters: int, icc: float, unequal: bool) -> None:
    assert near(simulate.of_mean((2, 2), clusters, icc, unequal, N), N)


@pytest.mark.parametrize(("icc", "low"), [(0.0, 0.93), (0.5, 0.91)])
def test_skewed_means(simulate, icc: float, low: float) -> None:
    """An exception: items near 0.03 with an intra-class correlation of 0.5 have 0.91 to 0.94; before, 0.69 to 0.93."""
    for items in ("skewed, near 0.03", "nearly binary, near 0.03"):
        assert near(simulate.of_mean(simulate.ITEMS[items], 10, icc, False, N), N, low=low)


def test_with_two_clusters_there_is_none(simulate) -> None:
    assert math.isnan(simulate.of_mean((2, 2), 2, 0.2, False, 20))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("tau", [0, 1, 3])
def test_over_seeds(simulate, seeds: int, tau: float) -> None:
    """Two seeds: a bound, up to 0.99. It was 0.84 with two clusters and 0.91 where all variance is between seeds."""
    assert near(simulate.of_seeds(seeds, tau, 20, N), N, high=0.99 if seeds == 2 else 0.97)


def test_attacks(simulate) -> None:
    """An AUC of 0.95 at five clusters is over-covered: a bound that is too wide."""
    assert near(simulate.of_auc(0.75, 10, 0.2, 200), 200)
    assert simulate.of_auc(0.95, 5, 0.2, 200) >= LOW


def test_utility(simulate) -> None:
    assert near(simulate.of_utility(10, 0.2, 150), 150)


def test_distances_are_conservative(simulate) -> None:
    """An exception, on purpose: a KS distance is biased upwards, at 0 most of all, where a plain one never holds 0."""
    for shift in (0.0, 0.3):
        assert simulate.of_distance(shift, 10, 0.2, 100) >= 0.93


def test_distances_know_of_seeds(simulate) -> None:
    """A shift that spreads by 0.6 between seeds: 0.83 with two and 0.88 with three while the lower end did not."""
    for seeds in (2, 3):
        assert simulate.of_distance(1.0, 20, 0.2, 100, seeds, 0.6) >= 0.93 - slack(0.95, 100)


@pytest.mark.parametrize(
    ("ways", "kept", "low"),
    [((0.5, 0.5, 0.5), 0.9, 0.93), ((0.9, 1.02, 1.2), 0.95, 0.93), ((1.25, 1.25, 1.25), 0.9, 0.93)],
)
def test_the_headline(simulate, ways, kept: float, low: float) -> None:
    erased, headline = simulate.of_headline(ways, kept, 10, 150)
    assert min(erased, headline) >= low - slack(0.95, 150)


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [5, 10, 20, 40])
def test_means_at_length(simulate, clusters: int) -> None:
    for icc in simulate.ICC:
        for unequal in (False, True):
            assert near(simulate.of_mean((2, 2), clusters, icc, unequal, 2000), 2000), (icc, unequal)
            found = simulate.of_mean(simulate.ITEMS["skewed, near 0.03"], clusters, icc, unequal, 2000)
            assert near(found, 2000, low=0.92), (icc, unequal)


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [5, 20])
def test_others_at_length(simulate, clusters: int) -> None:
    for icc in simulate.ICC:
        assert near(simulate.of_auc(0.75, clusters, icc, 400), 400), icc
        assert near(simulate.of_utility(clusters, icc, 400), 400), icc
        assert simulate.of_distance(0.0, clusters, icc, 200) >= LOW
        assert simulate.of_distance(0.3, clusters, icc, 200) >= LOW


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0.9, 1.0])
def test_the_headline_at_its_kinks(simulate, kept: float) -> None:
    """Untouched to the digit, or all of retrain's level: the worst cells, 0.88 and more where both parts are at 1."""
    for ways in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
        for clusters in (5, 10, 20):
            erased, headline = simulate.of_headline(ways, kept, clusters, 400)
            assert min(erased, headline) >= 0.88 - slack(0.9, 400), (ways, clusters)
