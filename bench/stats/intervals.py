"""Intervals: resampling of clusters and items, percentiles, Student's t. Numpy only, until t has degrees of freedom."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np

Array = np.ndarray
Group = TypeVar("Group", bound=Hashable)
Statistic = Callable[[Mapping[Group, Array]], Array]
"""Item indices [..., n] of each group -> values [...]; how `resample` and `bca` ask for a number."""

_CHUNK = 500_000  # item indices drawn at a time: a handful of float64 temporaries of that size stay below 50 MB


class Interval(NamedTuple):
    """A confidence interval."""

    lo: float
    hi: float


# -- resampling ------------------------------------------------------------------------------------------------------


def resample(
    statistic: Statistic[Group],
    sizes: Mapping[Group, int],
    rngs: Mapping[Group, np.random.Generator],
    resamples: int = 1000,
    clusters: Mapping[Group, Sequence[Hashable]] | None = None,
    cluster_rngs: Mapping[Group, np.random.Generator] | None = None,
) -> Array:
    """Bootstrap distribution [resamples] of a statistic of independent groups of items (Efron & Tibshirani 1993).

    Every group is resampled from its own generator, so that a group's draws depend on nothing but that generator and
    the group's size. All columns of a group share the draw: items are what was sampled, not numbers.

    Args:
        statistic: from drawn item indices to numbers.
        sizes: number of items of each group.
        rngs: one generator a group.
        resamples: number of bootstrap samples.
        clusters: the cluster of each item of a group; clusters are drawn first, then items within them.
        cluster_rngs: what draws the clusters; groups of the same clusters have generators of the same state, so that
            they draw the same ones.
    """
    chunk = max(1, _CHUNK // max(1, sum(sizes.values())))
    values = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        draw = {
            g: draw_clusters(rngs[g], (cluster_rngs or rngs)[g], rows, clusters[g])
            if clusters
            else rngs[g].integers(n, size=(rows, n))
            for g, n in sizes.items()
        }
        values.append(np.broadcast_to(statistic(draw), (rows,)))
    return np.concatenate(values)


def draw_clusters(
    rng: np.random.Generator, cluster_rng: np.random.Generator, rows: int, labels: Sequence[Hashable]
) -> Array:
    """Item indices [rows, n]: a cluster is drawn for each cluster, then its items with replacement.

    A drawn cluster gives as many items as the one whose place it takes, so that every resample has n items. Larger
    clusters are drawn more often, in proportion to their items: the mean over resamples is then the mean over items.
    With clusters of one size (an author's 20 questions) this is the ordinary two-stage bootstrap. With one cluster
    there is nothing to draw but its items.
    """
    slot = units(labels)
    sizes = np.bincount(slot)
    members, first = np.argsort(slot, kind="stable"), np.cumsum(sizes) - sizes
    upto = np.cumsum(sizes) / len(slot)
    drawn = np.searchsorted(upto, cluster_rng.random((rows, len(sizes))), side="right")[:, slot]
    return members[first[drawn] + (rng.random(drawn.shape) * sizes[drawn]).astype(np.int64)]


def units(labels: Sequence[Hashable]) -> Array:
    """The number of each label, [n], counted in the order in which they first stand."""
    place = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([place[label] for label in labels], dtype=np.int64)


def percentile(distribution: Array, level: float = 0.95) -> Interval | None:
    """Percentile bootstrap interval; None where no resample has a value."""
    return _quantiles(distribution, (1 - level) / 2, (1 + level) / 2)


def bca(distribution: Array, value: float, statistic: Statistic[Group], sizes: Mapping[Group, int],
        level: float = 0.95) -> Interval | None:  # fmt: skip
    """Bias-corrected and accelerated bootstrap interval (Efron 1987), jackknifing each group in turn."""
    below = np.mean(distribution < value) + np.mean(distribution == value) / 2
    if not 0 < below < 1:
        return percentile(distribution, level)
    cubes = squares = 0.0
    for group, n in sizes.items():
        draw = {g: np.arange(m)[None] for g, m in sizes.items()}
        left = np.arange(n - 1)[None] + (np.arange(n - 1)[None] >= np.arange(n)[:, None])
        without = statistic({**draw, group: left})
        influence = (n - 1) * (without.mean() - without)
        cubes, squares = cubes + np.sum(influence**3) / n**3, squares + np.sum(influence**2) / n**2
    acceleration = cubes / (6 * squares**1.5) if squares else 0.0
    normal, bias = NormalDist(), NormalDist().inv_cdf(float(below))

    def adjusted(share: float) -> float:
        z = bias + normal.inv_cdf(share)
        return normal.cdf(bias + z / (1 - acceleration * z))

    return _quantiles(distribution, adjusted((1 - level) / 2), adjusted((1 + level) / 2))


def _quantiles(distribution: Array, low: float, high: float) -> Interval | None:
    known = distribution[~np.isnan(distribution)]
    return Interval(*map(float, np.quantile(known, (low, high)))) if known.size else None


# -- Student's t ----------------------------------------------------------------------------------------------------


def freedom(sides: Sequence[Sequence[Hashable]]) -> float:
    """Degrees of freedom of a variance between clusters: the fewest of a side less one; infinite without clusters."""
    counts = [len(set(side)) for side in sides]
    return math.inf if counts == [len(side) for side in sides] else min(counts) - 1


def quantile(share: float, df: float) -> float:
    """Quantile of Student's t with `df` degrees of freedom, of the normal distribution where they are infinite."""
    if math.isinf(df):
        return NormalDist().inv_cdf(share)
    from scipy.special import stdtrit

    return float(stdtrit(df, share))


def tail(value: float, df: float) -> float:
    """P(T >= value) of Student's t with `df` degrees of freedom, of the normal distribution where they are infinite."""
    if math.isinf(df):
        return math.erfc(value / math.sqrt(2)) / 2
    from scipy.special import stdtr

    return float(stdtr(df, -value))
