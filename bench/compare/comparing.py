"""Two methods on one number: the difference, its interval and its p, all of which know of other seeds.

The unit of a test is the cluster (author, document), which both methods lose together, and the seed, of which both have
the same. What is compared of a p-value is the KS distance behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.score.leave_out import Estimate, combine, error_parts, mean
from bench.stats.jackknife import FEWEST, holm, p_value, reach, tost

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
    """The paired difference of the means over the seeds that both have; None without one, or with too few clusters.

    Its error has two parts: between clusters, by the jackknife of the difference itself, and between seeds, s^2 / S of
    this pair's own differences, so that nothing is taken to be equal between methods. They are joined by Banerjee's
    bound (`reach`), which holds at the small levels that a correction asks for; interval and p are of one formula.
    """
    seeds = tuple(sorted(one.keys() & other.keys()))
    if not seeds:
        return None
    apart = [combine(np.subtract, one[seed], other[seed]) for seed in seeds]
    whole = mean(apart)
    if whole.fewest < FEWEST or np.isnan(whole.value):
        return None
    parts = error_parts(apart)
    half, p = reach(parts, 0.05), p_value(whole.value, parts)
    lo, hi = whole.value - half, whole.value + half
    if all(0 <= e.value <= 1 for side in (one, other) for e in side.values()):  # shares differ by 1 at most
        lo, hi = max(lo, -1.0), min(hi, 1.0)
    n = sum(int((sizes > 0).sum()) for sizes in whole.sizes.values())
    test = PAIRED if len(seeds) > 1 else ITEMS_ONLY
    return Comparison(a, b, name, whole.value, lo, hi, p, p, test, n, tost(whole.value, parts, margin), seeds)


def corrected(families: Sequence[Sequence[Comparison]]) -> list[Comparison]:
    """Holm's correction within each family, and Bonferroni's for the families: one error rate for all of them."""
    filled = [family for family in families if family]
    return [
        c._replace(p_holm=min(1.0, len(filled) * p))
        for family in filled
        for c, p in zip(family, holm([c.p for c in family]), strict=True)
    ]
