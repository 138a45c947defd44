"""What is kept at each distance from what was forgotten, beside what the target has of the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.api import NEIGHBOURS
from bench.compare.comparing import Comparison, Series, compare_all
from bench.compare.crossed import Crossed, Run
from bench.metrics._asked import ASKED_FOR, NEAR
from bench.score.scoring import build
from bench.store.record import TARGET

SUMMARIES = tuple(name for name in ASKED_FOR[NEAR] if name not in NEIGHBOURS)
"""Keeping in the domain of what was forgotten, and across domains."""


@dataclass(frozen=True)
class Change:
    """What a method has less the target's, of the same items and seeds, with a 95% interval; of these runs only where
    there is one seed."""

    method: str
    name: str  # a set of `bench.data.NEIGHBOURS`, or one of `SUMMARIES`
    difference: float
    lo: float
    hi: float
    p: float  # not corrected: asked of each method and distance alone


def changes(crossed: Crossed, seeds: Mapping[str, Sequence[int]]) -> list[Change]:
    """Of each method, distance by distance, then the summaries; nothing where the two lack the items.

    Where all clusters agree to the last item the interval is Clopper and Pearson's of none in so many clusters, to both
    sides: a jackknife of no differences has no width, and no finite sample shows that.

    Args:
        seeds: of each method that is compared.
    """
    found: list[Change] = []
    for name in (*NEIGHBOURS, *SUMMARIES):
        metric = build(name)
        series: dict[str, Series] = {
            method: {s: crossed.estimate(metric, Run(method, s)) for s in used if crossed.has(metric, Run(method, s))}
            for method, used in {**seeds, TARGET: crossed.seeds(TARGET)}.items()
        }
        for c in compare_all(name, [(method, TARGET) for method in seeds if method != TARGET], series, 0.0):
            clusters = min(series[c.a][seed].fewest for seed in c.seeds)
            found.append(Change(c.a, name, c.difference, *_ends(c, clusters), c.p))
    return found


def _ends(c: Comparison, clusters: int) -> tuple[float, float]:
    if c.difference == 0 and c.lo == c.hi:
        bound = 1 - 0.025 ** (1 / clusters)
        return -bound, bound
    return c.lo, c.hi
