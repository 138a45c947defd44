"""Intervals, two-sample statistics and ROC curves. Numpy only, until a sample is too large for the exact tests.

Functions named after a statistic reduce the LAST axis and broadcast over the leading ones, so that one call does every
bootstrap resample. A NaN in a sample makes its statistic NaN: what is unscored is left out before, never here.

Membership inference here has one orientation: the attack's score is like a loss, low for a member.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np

Array = np.ndarray
Group = TypeVar("Group", bound=Hashable)
Statistic = Callable[[Mapping[Group, Array]], Array]
"""Item indices [..., n] of each group -> values [...]; how `resample` and `bca` ask for a number."""

_CHUNK = 500_000  # item indices drawn at a time: a handful of float64 temporaries of that size stay below 50 MB
_EXACT_UP_TO = 10_000  # the larger sample of a KS test, above which scipy's "auto" turns asymptotic too


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
) -> Array:
    """Bootstrap distribution [resamples] of a statistic of independent groups of items (Efron & Tibshirani 1993).

    Every group is resampled from its own generator, so that a group's draws depend on nothing but that generator and
    the group's size. All columns of a group share the draw: items are what was sampled, not numbers.

    Args:
        statistic: from drawn item indices to numbers.
        sizes: number of items of each group.
        rngs: one generator a group.
        resamples: number of bootstrap samples.
        clusters: the cluster of each item of a group; such a group draws clusters first, then items within them.
    """
    chunk = max(1, _CHUNK // max(1, sum(sizes.values())))
    values = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        draw = {
            g: _draw_clusters(rngs[g], rows, clusters[g]) if clusters else rngs[g].integers(n, size=(rows, n))
            for g, n in sizes.items()
        }
        values.append(np.broadcast_to(statistic(draw), (rows,)))
    return np.concatenate(values)


def _draw_clusters(rng: np.random.Generator, rows: int, labels: Sequence[Hashable]) -> Array:
    """Item indices [rows, n]: a cluster is drawn for each cluster, then its items with replacement.

    A drawn cluster gives as many items as the one whose place it takes, so that every resample has n items; with
    clusters of one size (an author's 20 questions) this is the ordinary two-stage bootstrap.
    """
    place = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    slot = np.array([place[label] for label in labels])
    sizes = np.bincount(slot)
    members, first = np.argsort(slot, kind="stable"), np.cumsum(sizes) - sizes
    drawn = rng.integers(len(sizes), size=(rows, len(sizes)))[:, slot]
    return members[first[drawn] + (rng.random(drawn.shape) * sizes[drawn]).astype(np.int64)]


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


# -- two samples -----------------------------------------------------------------------------------------------------


class _Steps(NamedTuple):
    """Both empirical distribution functions, as counts, at the end of each run of equal values; [..., n + m]."""

    x: Array
    y: Array
    bad: Array  # [...], a NaN is among the values


def _steps(x: Array, y: Array) -> _Steps:
    lead = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    n = x.shape[-1]
    pooled = np.concatenate([np.broadcast_to(v, (*lead, v.shape[-1])) for v in (x, y)], axis=-1)
    order = np.argsort(pooled, axis=-1)
    ordered = np.take_along_axis(pooled, order, axis=-1)
    last = np.ones(ordered.shape, dtype=bool)
    last[..., :-1] = ordered[..., 1:] != ordered[..., :-1]
    of_x = np.cumsum(order < n, axis=-1)
    of_y = np.arange(1, pooled.shape[-1] + 1) - of_x
    x_held, y_held = (np.maximum.accumulate(np.where(last, counts, 0), axis=-1) for counts in (of_x, of_y))
    return _Steps(x_held, y_held, np.isnan(ordered[..., -1]))


def ks_statistic(x: Array, y: Array) -> Array:
    """Largest distance between the two empirical distribution functions, [...]."""
    steps, bad = _ks_lattice(x, y)
    return np.where(bad, np.nan, steps / (x.shape[-1] * y.shape[-1]))


def ks_pvalue(x: Array, y: Array) -> Array:
    """Two-sided p-value of the two-sample Kolmogorov-Smirnov test, [...]; exact up to 10,000 items a side.

    What `scipy.stats.ks_2samp(method="auto")` gives, without its loss of digits where the statistic is small.
    """
    n, m = x.shape[-1], y.shape[-1]
    steps, bad = _ks_lattice(x, y)
    distinct, back = np.unique(steps, return_inverse=True)
    if max(n, m) > _EXACT_UP_TO:
        from scipy.stats import kstwo

        tails = kstwo.sf(distinct / (n * m), round(n * m / (n + m)))
    elif n == m:
        tails = np.array([_equal_tail(int(h) // n, n) for h in distinct])
    else:
        tails = _unequal_tail(distinct, n, m)
    return np.where(bad, np.nan, np.clip(tails, 0, 1)[back.reshape(steps.shape)])


def _ks_lattice(x: Array, y: Array) -> tuple[Array, Array]:
    """KS statistic times n * m, an integer [...], and where it is unknown."""
    steps = _steps(x, y)
    return np.abs(steps.x * y.shape[-1] - steps.y * x.shape[-1]).max(axis=-1), steps.bad


@cache
def _equal_tail(k: int, n: int) -> float:
    """P(D >= k/n) for two samples of n without ties, by reflection (Gnedenko & Korolyuk 1951), in whole numbers."""
    if k == 0:
        return 1.0
    signed = (math.comb(2 * n, n - j * k) * (-1) ** (j - 1) for j in range(1, n // k + 1))
    return float(2 * sum(signed) / math.comb(2 * n, n))


def _unequal_tail(distances: Array, n: int, m: int) -> Array:
    """P(nm D >= h) for each h: the chance that a random lattice path from (0, 0) to (n, m) meets |im - jn| >= h.

    Runs backwards over the diagonals; every term is positive, so that small probabilities keep their digits.
    """
    i, h = np.arange(n + 1), distances[:, None]
    meets = np.zeros((len(distances), n + 1))
    for s in range(n + m - 1, -1, -1):
        j = s - i
        right = np.concatenate([meets[:, 1:], np.zeros_like(h, dtype=float)], axis=1)
        meets = ((n - i) * right + (m - j) * meets) / (n + m - s)
        meets = np.where(np.abs(i * m - j * n) >= h, 1.0, meets) * ((j >= 0) & (j <= m))
    return meets[:, 0]


# -- membership inference --------------------------------------------------------------------------------------------


def auc(member: Array, other: Array) -> Array:
    """P(score of a member < score of a non-member), ties counted half, [...]; 0.5 tells nothing, 1 tells all."""
    steps = _steps(member, other)
    x, y = (np.concatenate([np.zeros_like(c[..., :1]), c], axis=-1) for c in (steps.x, steps.y))
    area = np.sum(np.diff(y) * (x[..., 1:] + x[..., :-1]), axis=-1) / 2
    return np.where(steps.bad, np.nan, area / (member.shape[-1] * other.shape[-1]))


def delong(member: Array, other: Array) -> tuple[Array, Array]:
    """AUCs [k] of k attacks on the same items, and their covariance [k, k] (DeLong et al. 1988).

    Args:
        member: scores [k, m]. other: scores [k, n]. m, n >= 2.
    """
    above = np.stack([_share_below(-a, -b) for a, b in zip(member, other, strict=True)])  # [k, m]
    below = np.stack([_share_below(b, a) for a, b in zip(member, other, strict=True)])  # [k, n]
    covariance = np.atleast_2d(np.cov(above)) / member.shape[-1] + np.atleast_2d(np.cov(below)) / other.shape[-1]
    return below.mean(axis=-1), covariance


def _share_below(of: Array, among: Array) -> Array:
    """For each value of `of`, the share of `among` below it, equal ones counted half."""
    ordered = np.sort(among)
    sides = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
    return sides / (2 * len(ordered))


def auc_interval(member: Array, other: Array, level: float = 0.95) -> Interval | None:
    """DeLong's interval on the logit scale, which stays within (0, 1); None with fewer than two items on a side.

    Where members and non-members are told apart without an error DeLong's variance is 0. Pairing items at random gives
    min(m, n) independent trials that all went one way, and Clopper and Pearson's bound for those is taken.
    """
    pairs = min(len(member), len(other))
    if pairs < 2:
        return None
    values, covariance = delong(member[None], other[None])
    value, tail = float(values[0]), (1 - level) / 2
    if value in (0.0, 1.0):
        bound = tail ** (1 / pairs)
        return Interval(bound, 1.0) if value else Interval(0.0, 1 - bound)
    centre = math.log(value / (1 - value))
    reach = NormalDist().inv_cdf(1 - tail) * math.sqrt(covariance[0, 0]) / (value * (1 - value))
    return Interval(*(1 / (1 + math.exp(-min(max(z, -700.0), 700.0))) for z in (centre - reach, centre + reach)))


def roc(member: Array, other: Array) -> tuple[Array, Array]:
    """ROC points (FPR, TPR), one for each distinct score, from (0, 0) to (1, 1); 1-D samples.

    Low false-positive rates are where an attack does harm, so draw both axes in logarithms (Carlini et al. 2022) and
    leave out the points with a zero.
    """
    thresholds = np.unique(np.concatenate([member, other]))
    rates = (np.searchsorted(np.sort(s), thresholds, "right") / len(s) for s in (other, member))
    fpr, tpr = (np.concatenate([[0.0], r]) for r in rates)
    return fpr, tpr


def tpr_at(fpr: float, member: Array, other: Array) -> Array:
    """Largest true-positive rate whose false-positive rate does not exceed `fpr`, [...] (Carlini et al. 2022)."""
    allowed = math.floor(fpr * other.shape[-1] + 1e-9)
    if allowed >= other.shape[-1]:
        return np.ones(np.broadcast_shapes(member.shape[:-1], other.shape[:-1]))
    first_error = np.partition(other, allowed, axis=-1)[..., allowed, None]
    bad = np.isnan(member).any(axis=-1) | np.isnan(other).any(axis=-1)
    return np.where(bad, np.nan, np.mean(member < first_error, axis=-1))
