"""Two methods on one number: the difference, its interval and its p, all of which know of other seeds.

The unit of a test is the cluster (author, document), which both methods lose together, and the seed, of which both have
the same. What is compared of a p-value is the KS distance behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.score.leave_out import Estimate
from bench.stats.jackknife import FEWEST, between_seeds, holm, jackknife, p_value, reach, satterthwaite, tost

PAIRED = "t, clusters and seeds"
ITEMS_ONLY = "t, clusters of these runs"
_AT_ONCE = 1024  # pairs


class Comparison(NamedTuple):
    """Two methods on one number, over the seeds that both have."""

    a: str
    b: str
    metric: str
    difference: float  # a - b; of the KS distance where the metric is its p-value
    lo: float
    hi: float
    p: float
    p_holm: float  # corrected for all comparisons of the table
    test: str
    n: int  # clusters that it rests on
    equivalent: float  # p of the TOST that the difference is within the margin
    seeds: tuple[int, ...]  # those that both methods have

    def significant(self, alpha: float) -> bool:
        """Whether the corrected p is below alpha; one seed shows nothing of other runs, so never then."""
        return self.p_holm < alpha and len(self.seeds) > 1

    def turned(self) -> Comparison:
        """The same of b and a."""
        return self._replace(a=self.b, b=self.a, difference=-self.difference, lo=-self.hi, hi=-self.lo)


Series = Mapping[int, Estimate]
"""One number of one method, by seed."""


def compare(name: str, a: str, b: str, one: Series, other: Series, margin: float) -> Comparison | None:
    """`compare_all` of one pair."""
    return next(iter(compare_all(name, [(a, b)], {a: one, b: other}, margin)), None)


def compare_all(
    name: str, pairs: Sequence[tuple[str, str]], series: Mapping[str, Series], margin: float
) -> list[Comparison]:
    """The paired difference of the means over the seeds that both methods of a pair have; none of a pair without such a
    seed, or with too few clusters.

    Its error has two parts: between clusters, by the jackknife of the difference itself, and between seeds, s^2 / S of
    this pair's own differences, so that nothing is taken to be equal between methods. They are joined by Banerjee's
    bound (`reach`), which holds at the small levels that a correction asks for; interval and p are of one formula.

    Args:
        series: of every method of the pairs.
    """
    alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)  # pairs with the same seeds and clusters
    clusters = {method: {seed: _clusters(of) for seed, of in by_seed.items()} for method, by_seed in series.items()}
    for i, (a, b) in enumerate(pairs):
        seeds = tuple(sorted(series[a].keys() & series[b].keys()))
        alike[(seeds, *((clusters[a][seed], clusters[b][seed]) for seed in seeds))].append(i)
    found: dict[int, Comparison] = {}
    for (seeds, *_), places in alike.items():
        for start in range(0, len(places) if seeds else 0, _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            made = _compared(name, [pairs[i] for i in some], series, seeds, margin)
            found |= {i: c for i, c in zip(some, made, strict=True) if not np.isnan(c.difference)} if made else {}
    return [found[i] for i in sorted(found)]


def _clusters(of: Estimate) -> tuple[tuple[str, bytes], ...]:
    """Which clusters an estimate rests on, as what can be held against another's."""
    return tuple((home, sizes.tobytes()) for home, sizes in of.sizes.items())


def _compared(
    name: str, pairs: Sequence[tuple[str, str]], series: Mapping[str, Series], seeds: tuple[int, ...], margin: float
) -> list[Comparison]:
    """Pairs that rest on the same clusters, over the same seeds; empty where these clusters are too few."""
    place = {method: i for i, method in enumerate(dict.fromkeys(method for pair in pairs for method in pair))}
    runs = [[series[method][seed] for seed in seeds] for method in place]
    both = [e for method in pairs[0] for e in runs[place[method]]]
    homes = dict.fromkeys(home for e in both for home in e.without)
    sizes = {home: np.max([e.sizes[home] for e in both if home in e.sizes], axis=0) for home in homes}
    if min((int((n > 0).sum()) for n in sizes.values()), default=0) < FEWEST:
        return []
    one, other = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
    values = np.array([[e.value for e in of] for of in runs])  # [methods, seeds]
    apart = values[one] - values[other]
    difference = np.mean(apart, axis=1)
    clusters = []
    for home, n in sizes.items():
        left = np.array([[e.without.get(home, np.full(len(n), e.value)) for e in of] for of in runs])
        clusters.append(jackknife(np.mean(left[one] - left[other], axis=1)[:, n > 0], n[n > 0]))
    parts = [satterthwaite(clusters), *([between_seeds(apart)] if len(seeds) > 1 else [])]
    half = reach(parts, 0.05)
    shares = np.array([all(0 <= e.value <= 1 for e in series[method].values()) for method in place])
    bound = np.where(shares[one] & shares[other], 1.0, np.inf)  # shares differ by 1 at most
    lo, hi = np.maximum(difference - half, -bound), np.minimum(difference + half, bound)
    numbers = (difference, lo, hi, p_value(difference, parts), tost(difference, parts, margin))
    n, test = sum(int((n > 0).sum()) for n in sizes.values()), PAIRED if len(seeds) > 1 else ITEMS_ONLY
    return [
        Comparison(a, b, name, d, low, high, p, p, test, n, equal, seeds)
        for (a, b), d, low, high, p, equal in zip(pairs, *(of.tolist() for of in numbers), strict=True)
    ]


def corrected(families: Sequence[Sequence[Comparison]]) -> list[Comparison]:
    """Holm's correction within each family, and Bonferroni's for the families: one error rate for all of them."""
    filled = [family for family in families if family]
    return [
        c._replace(p_holm=min(1.0, len(filled) * p))
        for family in filled
        for c, p in zip(family, holm([c.p for c in family]), strict=True)
    ]
