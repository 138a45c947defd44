"""Two methods on one number: the difference, its interval and its p, all of which know of other seeds.

The unit of a test is the cluster (author, document), which both methods lose together, and the seed, of which both have
the same. What is compared of a p-value is the KS distance behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.score.estimates import Estimate, alike, combine, error_parts, mean
from bench.stats.jackknife import FEWEST, holm, p_value, reach, tost

Array = np.ndarray
PAIRED = "t, clusters and seeds"
ITEMS_ONLY = "t, clusters of these runs"


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
    seeds = {pair: sorted(series[pair[0]].keys() & series[pair[1]].keys()) for pair in pairs}
    both = {pair: [series[m][seed] for m in pair for seed in of] for pair, of in seeds.items() if of}
    shares = {m: all(0 <= e.value <= 1 for e in of.values()) for m, of in series.items()}
    found: dict[tuple[str, str], Comparison] = {}
    for some, runs in alike(both):
        bound = np.where([shares[a] and shares[b] for a, b in some], 1.0, np.inf)  # shares differ by 1 at most
        names = [(a, b, name, tuple(seeds[a, b])) for a, b in some]
        told = tested(names, runs[: len(runs) // 2], runs[len(runs) // 2 :], bound, margin)
        found |= {(c.a, c.b): c for c in told}
    return [found[pair] for pair in pairs if pair in found]


def tested(
    names: Sequence[tuple[str, str, str, tuple[int, ...]]],
    one: Sequence[Estimate],
    other: Sequence[Estimate],
    bound: Array | float,
    margin: float,
) -> list[Comparison]:
    """`compare_all` of pairs whose numbers all rest on the same clusters.

    Args:
        names: of each pair a, b, the number's name and the seeds [R]. one, other: a stacked estimate for each seed.
        bound: how far two such numbers can differ [R].
    """
    apart = [combine(np.subtract, a, b) for a, b in zip(one, other, strict=True)]
    whole, test = mean(apart), PAIRED if len(apart) > 1 else ITEMS_ONLY
    if whole.fewest < FEWEST:
        return []
    n, parts = sum(whole.counts), error_parts(apart)
    half, p = reach(parts, 0.05), p_value(whole.value, parts)
    lo, hi = np.maximum(whole.value - half, -bound), np.minimum(whole.value + half, bound)
    columns = (of.tolist() for of in (whole.value, lo, hi, p, tost(whole.value, parts, margin)))
    return [
        Comparison(a, b, name, d, low, high, each, each, test, n, equal, seeds)
        for (a, b, name, seeds), d, low, high, each, equal in zip(names, *columns, strict=True)
        if not np.isnan(d)
    ]


def corrected(families: Sequence[Sequence[Comparison]]) -> list[Comparison]:
    """Holm's correction within each family, and Bonferroni's for the families: one error rate for all of them."""
    filled = [family for family in families if family]
    return [
        c._replace(p_holm=min(1.0, len(filled) * p))
        for family in filled
        for c, p in zip(family, holm([c.p for c in family]), strict=True)
    ]
