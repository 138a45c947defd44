"""Two methods on one metric: a paired test between clusters, the difference with its interval, and equivalence.

The unit of every test is the cluster (author, document): its items hang together, in all columns and for all seeds. A
test speaks of the runs that were made; the interval of the difference also of other seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Sample
from bench.compare import weighted
from bench.compare.crossed import Crossed, Run
from bench.keys import stream
from bench.metrics._forms import Attack
from bench.stats import intervals, roc

Array = np.ndarray
PERMUTATIONS = 9_999
PERMUTED = "permutation of clusters"
_ULP = 1e-12  # two sums of the same numbers in another order count as equal


class Comparison(NamedTuple):
    """Two methods on one metric, over the seeds that both have; p-values are compared by what they are p-values of."""

    a: str
    b: str
    metric: str
    difference: float  # a - b; of the KS statistic where the metric is its p-value
    lo: float  # hierarchical bootstrap
    hi: float
    p: float
    p_holm: float  # corrected for all comparisons of the table
    test: str
    n: int  # clusters that it rests on
    equivalent: float | None  # p of the TOST that the difference is within the margin
    seeds: tuple[int, ...]  # those that both methods have

    def significant(self, alpha: float) -> bool:
        """Whether the corrected p is below alpha and the interval, which knows of seeds, does not hold 0."""
        return self.p_holm < alpha and not self.lo <= 0 <= self.hi


class Test(NamedTuple):
    """A two-sided test."""

    p: float
    name: str
    n: int  # clusters


def compare_all(
    crossed: Crossed, metrics: dict[str, Metric], pairs: Sequence[tuple[str, str]], margin: float, alpha: float
) -> list[Comparison]:
    """Every pair on every metric that both have, with Holm's correction for all of them together."""
    family = len(pairs) * len(metrics)
    permutations = max(PERMUTATIONS, math.ceil(2 * family / alpha))  # or the correction could never be passed
    found = []
    for (name, metric), (a, b) in itertools.product(metrics.items(), pairs):  # one metric's swaps serve all pairs
        compared = _compare(crossed, metric, name, a, b, margin, permutations)
        if compared is not None:
            found.append(compared)
    place = {pair: i for i, pair in enumerate(pairs)}
    found.sort(key=lambda c: place[c.a, c.b])
    return [c._replace(p_holm=p) for c, p in zip(found, holm([c.p for c in found]), strict=True)]


def _compare(
    crossed: Crossed, metric: Metric, name: str, a: str, b: str, margin: float, permutations: int
) -> Comparison | None:
    seeds = tuple(
        seed
        for seed in crossed.seeds(a)
        if seed in crossed.seeds(b) and all(crossed.has(metric, Run(method, seed)) for method in (a, b))
    )
    if not seeds:
        return None
    of = {method: [crossed.observed(metric, Run(method, seed)) for seed in seeds] for method in (a, b)}
    difference = float(np.mean(of[a]) - np.mean(of[b]))
    if math.isnan(difference):
        return None
    apart = [
        crossed.distribution(metric, Run(a, s), True) - crossed.distribution(metric, Run(b, s), True) for s in seeds
    ]
    resampled = crossed.over_seeds(apart, seeds)
    lo, hi = intervals.percentile(resampled) or (math.nan, math.nan)
    test = delong(crossed, metric, a, b, seeds) if isinstance(metric, Attack) else None
    test = test or permutation(crossed, metric, a, b, seeds, permutations)
    equal = tost(difference, float(np.nanstd(resampled, ddof=1)), test.n - 1, margin)
    return Comparison(a, b, name, difference, lo, hi, test.p, test.p, test.name, test.n, equal, seeds)


# -- tests -----------------------------------------------------------------------------------------------------------


def permutation(
    crossed: Crossed, metric: Metric, a: str, b: str, seeds: Sequence[int], permutations: int = PERMUTATIONS
) -> Test:
    """Swap all that two methods have of a cluster, cluster by cluster, and compute the metric's difference anew.

    Exact (all swaps) where there are no more of them than `permutations`; else p = (1 + as far apart) / (1 + drawn).
    """
    swapping = _swapping(crossed, metric, permutations)
    differences = np.zeros(swapping.ways)
    for seed in seeds:
        both = _joined(*(crossed.sides(metric, Run(method, seed)) for method in (a, b)))
        differences += weighted.distance(metric, *both, swapping.forth) - weighted.distance(
            metric, *both, swapping.back
        )
    observed = abs(differences[0])  # the first row swaps nothing
    as_far = ~(np.abs(differences) < observed - _ULP * max(1.0, observed))
    p = as_far.mean() if swapping.exact else as_far.sum() / len(as_far)
    return Test(float(p), PERMUTED, swapping.clusters)


class Swapping(NamedTuple):
    """The ways in which clusters are swapped: `forth` weighs what then is one method's, `back` the other's."""

    forth: weighted.Weightings
    back: weighted.Weightings
    ways: int
    exact: bool  # whether these are all ways
    clusters: int


def _swapping(crossed: Crossed, metric: Metric, permutations: int) -> Swapping:
    """How two methods' items are swapped for a metric; the last one is kept, since it is the same for all pairs."""
    sets = sorted({name for name, _ in metric.needs if name in crossed.ids})
    key = (*sets, permutations)
    if crossed.swapping.get("key") == key:
        kept: Swapping = crossed.swapping["made"]
        return kept
    crossed.swapping.clear()
    labels = [label for name in sets for label in crossed.clusters[name]]
    slot = intervals.units(labels)
    count = int(slot.max()) + 1
    swapped, exact = swaps(count, permutations, sorted(set(labels)))
    forth: dict[str, weighted.Weighting] = {}
    back: dict[str, weighted.Weighting] = {}
    start = 0
    for name in sets:
        own = slot[start : start + len(crossed.ids[name])]
        start += len(own)
        places, local = np.unique(own, return_inverse=True)
        unit = np.concatenate([local, len(places) + local])
        of_places = swapped.T[places]
        forth[name] = weighted.Weighting(unit, of_places.T, True)
        back[name] = weighted.Weighting(unit, (1 - of_places).T, True)
    made = Swapping(forth, back, len(swapped), exact, count)
    crossed.swapping.update(key=key, made=made)
    return made


def swaps(clusters: int, permutations: int, names: Sequence[str]) -> tuple[Array, bool]:
    """Which clusters are swapped, 0 or 1 [R, clusters], none in the first row; and whether these are all ways to.

    A cluster's column is contiguous: columns are what is picked from it.
    """
    if 2**clusters <= permutations:
        ways = np.arange(2**clusters) >> np.arange(clusters)[:, None] & 1
        return ways.astype(float).T, True
    drawn = np.zeros((clusters, permutations + 1))
    drawn[:, 1:] = stream("permutation", *names).integers(2, size=(clusters, permutations), dtype=np.int8)
    return drawn.T, False


def _joined(one: tuple[Sample, Sample | None], other: tuple[Sample, Sample | None]) -> tuple[Sample, Sample | None]:
    """Both methods' items, end to end."""

    def glue(a: Sample | None, b: Sample | None) -> Sample | None:
        return None if a is None or b is None else {need: np.concatenate([a[need], b[need]]) for need in a}

    return glue(one[0], other[0]) or {}, glue(one[1], other[1])


def delong(crossed: Crossed, attack: Attack, a: str, b: str, seeds: Sequence[int]) -> Test | None:
    """DeLong's test of two AUCs on the same items, between clusters, of the mean over seeds.

    None where its variance is 0 or unknown: two attacks that never fail, or one cluster.
    """
    needs = attack.needs
    scores = {m: [crossed.values[Run(m, seed)] for seed in seeds] for m in (a, b)}
    known = [
        np.flatnonzero(~np.isnan([side[need] for m in (a, b) for side in scores[m]]).any(axis=0)) for need in needs
    ]
    sides = [[crossed.clusters[name][int(i)] for i in kept] for (name, _), kept in zip(needs, known, strict=True)]
    if min(len(set(side)) for side in sides) < 2:
        return None
    stand = {
        m: [roc.placements(side[needs[0]][known[0]], side[needs[1]][known[1]]) for side in scores[m]] for m in (a, b)
    }
    members, others = (
        np.mean([p[i] for p in stand[a]], axis=0) - np.mean([p[i] for p in stand[b]], axis=0) for i in (0, 1)
    )
    variance = sum(
        float(roc.placement_covariance(part[None], side)[0, 0])
        for part, side in zip((members, others), sides, strict=True)
    )
    if variance <= 0:
        return None
    df = intervals.freedom(sides)
    n = sum(len(set(side)) for side in sides)
    return Test(2 * intervals.tail(abs(float(members.mean())) / math.sqrt(variance), df), "DeLong between clusters", n)


# -- corrections and equivalence -------------------------------------------------------------------------------------


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): the family-wise error rate is kept whatever depends on what."""
    ordered = np.argsort(p, kind="stable")
    steps = np.asarray(p, dtype=float)[ordered] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[ordered] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(q) for q in corrected]


def too_few(comparisons: Sequence[Comparison], alpha: float) -> dict[str, int]:
    """Metrics whose exact test cannot pass the correction: n clusters can be swapped in 2^n ways, so p >= 2 / 2^n.

    Returns:
        The number of clusters by metric.
    """
    return {c.metric: c.n for c in comparisons if c.test == PERMUTED and len(comparisons) * 2.0 ** (1 - c.n) > alpha}


def tost(difference: float, error: float, df: float, margin: float) -> float:
    """p of two one-sided t-tests that the true difference lies within (-margin, margin) (Schuirmann 1987).

    Args:
        difference: its estimate. error: the estimate's standard error. df: degrees of freedom of that.
    """
    room = margin - abs(difference)
    if error == 0:
        return 0.0 if room > 0 else 1.0
    return intervals.tail(room / error, df)
