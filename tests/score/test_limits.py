"""Limits are what their formulas give, computed item by item and part by part."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from bench.keys import stream
from bench.score.estimates import Estimate
from bench.score.leave_out import Strata, distances
from bench.score.limits import distance_limits, limits, p_limits
from bench.score.scoring import build
from bench.stats.intervals import Interval
from bench.stats.jackknife import share_interval

QUALITY, SHARE, FREE = build("forget_quality"), build("rouge"), build("privleak")
(NEED,) = QUALITY.needs
HALF = t.ppf(0.975, 3) * math.sqrt(3 / 4 * 4 * 0.1**2)  # four clusters, each of which moves the number by 0.1


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_distance_is_at_least_what_its_curve_may_have_moved_above_the_truth(seeds: int) -> None:
    """Each draw weighs every cluster's items by a normal number; Student's t makes up for few clusters."""
    labels = np.repeat(np.arange(8), [3, 4, 5, 6, 7, 8, 9, 10])
    k, n = 8, len(labels)
    strata = Strata.build({NEED[0]: labels.astype(str).tolist()})
    rng = np.random.default_rng(seeds)
    x, y = rng.normal(0, 1, n), rng.normal(3, 1, n)
    draws = stream("multipliers", k).standard_normal((500, k), dtype=np.float32)
    found, moved = [], []
    for _ in range(seeds):
        x = x + rng.normal(0, 0.2, n)
        found.append(distances(QUALITY, {NEED: x}, {NEED: y}, strata))
        at = np.concatenate([x, y])[:, None]
        gap = (x <= at) * 1.0 - (y <= at)  # of each item, at each value
        apart = gap - gap.mean(axis=1, keepdims=True)
        parts = np.stack([apart[:, labels == c].sum(axis=1) / n for c in range(k)]) * math.sqrt(k / (k - 1))
        moved.append(np.abs(draws @ parts).max(axis=1))
    runs = [of.estimate for of in found]
    values = [run.value for run in runs]
    far = t.ppf(0.975, k - 1) / norm.ppf(0.975) * np.quantile(np.mean(moved, axis=0), 0.975)
    of_seeds = t.ppf(0.975, seeds - 1) * np.std(values, ddof=1) / math.sqrt(seeds) if seeds > 1 else 0.0
    lo, hi = distance_limits(runs, [of.gaps for of in found])
    assert lo > 0 and (of_seeds > 0) == (seeds > 1)
    assert lo == pytest.approx(np.mean(values) - math.sqrt(far**2 + of_seeds**2), rel=1e-5)
    without = np.mean([run.without[NEED[0]] for run in runs], axis=0)
    upper = share_interval(np.mean(values), [without], [np.bincount(labels)], values, level=0.95)
    assert np.mean(values) < hi == pytest.approx(upper.hi)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.3, (0.1, 0.6)), (0.05, (0.05, 0.6)), (0.8, (0.1, 0.8))], ids=["within", "below", "above"]
)
def test_limits_of_a_p_value_are_read_at_those_of_its_distance(value: float, expected: tuple[float, float]) -> None:
    """Of the 20 orders of three items a side two are wholly apart, and 2 C(6, 1) two thirds or more (by reflection)."""
    assert p_limits(Interval(2 / 3, 1.0), 3, value) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.55], [0.5, 0.55, 0.63], [0.5, 0.55, 0.63, 0.51]], ids=len)
def test_errors_of_clusters_and_of_seeds_are_joined(values: list[float]) -> None:
    """Two seeds by Banerjee, each part with its own Student's t; more by Satterthwaite, one t of joint freedom."""
    apart, seeds = np.array([-0.03, 0.01, 0.0, 0.02]), len(values)  # their mean is 0
    sizes = np.array([2, 2, 2, 2, 0])  # the fifth has no items: it is no cluster
    runs = [Estimate(value, {"a": np.array([*(value + apart), 0.9])}, {"a": sizes}) for value in values]
    clusters = 3 / 4 * (apart**2).sum()
    between = np.var(values, ddof=1) / seeds if seeds > 1 else 0.0
    if seeds <= 2:
        half = math.hypot(t.ppf(0.975, 3) * math.sqrt(clusters), t.ppf(0.975, 1) * math.sqrt(between))
    else:
        freedom = (clusters + between) ** 2 / (clusters**2 / 3 + between**2 / (seeds - 1))
        half = t.ppf(0.975, freedom) * math.sqrt(clusters + between)
    middle = np.mean(values)
    assert limits(FREE, runs) == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize(
    ("metric", "value", "left", "expected"),
    [
        (SHARE, 1.0, [1.0] * 4, (0.05 ** (1 / 4), 1.0)),  # of four trials that all succeed
        (SHARE, 1.0, [0.9, 1.1, 0.9, 1.1], (1 - HALF, 1 + HALF)),  # no share after all
        (SHARE, 0.0, [-0.1, 0.1, -0.1, 0.1], (-HALF, HALF)),
        (FREE, -99.9, [-100.0, -99.8, -100.0, -99.8], (-100.0, -99.9 + HALF)),  # -100 is the least there is
    ],
    ids=["all", "above", "below", "bound"],
)
def test_limits_lie_where_the_metric_does(metric, value: float, left: list[float], expected) -> None:
    found = limits(metric, [Estimate(value, {"a": np.array(left)}, {"a": np.ones(4)})])
    assert found == pytest.approx(expected)
