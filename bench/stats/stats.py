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
    steps, bad = _ks_lattice(x, y)
    return np.where(bad, np.nan, ks_tail(steps, x.shape[-1], y.shape[-1]))


def ks_tail(steps: Array, n: int, m: int) -> Array:
    """P(nm D >= steps) for samples of n and m without ties; `steps` are whole numbers [...]."""
    distinct, back = np.unique(steps, return_inverse=True)
    if max(n, m) > _EXACT_UP_TO:
        from scipy.stats import kstwo

        tails = kstwo.sf(distinct / (n * m), round(n * m / (n + m)))
    elif n == m:
        tails = np.array([_equal_tail(int(h) // n, n) for h in distinct])
    else:
        tails = _unequal_tail(distinct, n, m)
    return np.clip(tails, 0, 1)[back.reshape(steps.shape)]


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


class Placements(NamedTuple):
    """DeLong's structural components: how each item stands among those of the other side, in [0, 1]."""

    member: Array  # [m]
    other: Array  # [n]


def placements(member: Array, other: Array) -> Placements:
    """Components of the AUC of one attack, whose means are both the AUC; 1-D scores."""
    return Placements(_share_below(-member, -other), _share_below(other, member))


def delong(
    member: Array, other: Array, clusters: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None
) -> tuple[Array, Array]:
    """AUCs [k] of k attacks on the same items, and their covariance [k, k] (DeLong et al. 1988).

    Args:
        member: scores [k, m]. other: scores [k, n]. m, n >= 2.
        clusters: the cluster of each member and of each other item; see `placement_covariance`.
    """
    above, below = (np.stack(side) for side in zip(*map(placements, member, other), strict=True))
    sides = clusters or (range(above.shape[-1]), range(below.shape[-1]))
    covariance = placement_covariance(above, sides[0]) + placement_covariance(below, sides[1])
    return below.mean(axis=-1), covariance


def placement_covariance(components: Array, clusters: Sequence[Hashable]) -> Array:
    """One side's share [k, k] of the covariance of k AUCs, from components [k, n] (Obuchowski 1997).

    Items of a cluster are taken together, clusters as independent; two or more are needed. Where each item is a cluster
    this is DeLong's.
    """
    slot = units(clusters)
    n, k = components.shape[-1], int(slot.max()) + 1
    centred = components - components.mean(axis=-1, keepdims=True)
    sums = np.stack([np.bincount(slot, row, minlength=k) for row in centred])
    return sums @ sums.T * (k / (k - 1)) / n**2


def _share_below(of: Array, among: Array) -> Array:
    """For each value of `of`, the share of `among` below it, equal ones counted half."""
    ordered = np.sort(among)
    sides = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
    return sides / (2 * len(ordered))


def auc_interval(
    member: Array,
    other: Array,
    level: float = 0.95,
    clusters: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
) -> Interval | None:
    """DeLong's interval on the logit scale, which stays within (0, 1); None with fewer than two items on a side.

    With `clusters` the variance is Obuchowski's, and where items hang together Student's t with the clusters of the
    smaller side less one takes the place of the normal distribution.

    Where members and non-members are told apart without an error DeLong's variance is 0. Pairing items (clusters) at
    random gives as many independent trials as the smaller side has, which all went one way, and Clopper and Pearson's
    bound for those is taken.
    """
    sides = clusters or (range(len(member)), range(len(other)))
    fewest = min(len(set(side)) for side in sides)
    if fewest < 2:
        return None
    values, covariance = delong(member[None], other[None], sides)
    value, tail = float(values[0]), (1 - level) / 2
    if value in (0.0, 1.0):
        bound = tail ** (1 / fewest)
        return Interval(bound, 1.0) if value else Interval(0.0, 1 - bound)
    centre = math.log(value / (1 - value))
    reach = quantile(1 - tail, freedom(sides)) * math.sqrt(covariance[0, 0]) / (value * (1 - value))
    return Interval(*(1 / (1 + math.exp(-min(max(z, -700.0), 700.0))) for z in (centre - reach, centre + reach)))


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
