"""Which setting of a method, and which point of its run, a tuning chooses: by what a deployer has, or with an oracle.

Deployable: the least extraction strength on the forget set among the points that keep 0.95 of the target's utility.
Oracle: the highest headline, for which one needs a retrain model. Both look at validation data alone. The gap between
them is what not knowing the answer costs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from bench.store.trials import Point, Trial

Objective = Literal["deployable", "oracle"]
OBJECTIVES: tuple[Objective, ...] = ("deployable", "oracle")
KEPT_AT_LEAST = 0.95
"""Share of the target's utility that a deployable setting keeps on validation data (tau)."""
EXTRACTION = "extraction_strength"
UTILITY = "utility share"
"""Utility over the target's, not bounded by 1."""
HEADLINE = "headline"


class Candidate(NamedTuple):
    """A setting with a place to stop: what a tuning chooses among. Values are means over validation data and seeds."""

    number: int
    share: float
    extraction: float
    utility: float
    headline: float
    error: float  # standard error of the extraction strength, over items
    moved: float

    @property
    def keeps(self) -> bool:
        """Whether the deployable constraint holds."""
        return self.utility >= KEPT_AT_LEAST


class Choice(NamedTuple):
    """What was chosen of a method, and among how many trials."""

    candidate: Candidate
    trials: int
    kept: bool  # whether any point met the constraint; if none did, the one that keeps most was taken


def candidates(trials: Iterable[Trial]) -> list[Candidate]:
    """Every point of every trial, those of one setting on several validation data averaged; fresh runs are left out.

    A point that is missing on one of them, for its run diverged or failed there, is no candidate.
    """
    runs = [trial for trial in trials if not trial.fresh and trial.number > 0]
    where = {(t.data, t.seed) for t in runs}
    found: dict[tuple[int, float], list[Point]] = defaultdict(list)
    for trial in runs:
        for point in trial.points:
            found[trial.number, point.share].append(point)
    return [_candidate(*at, points) for at, points in sorted(found.items()) if len(points) == len(where)]


def _candidate(number: int, share: float, points: Sequence[Point]) -> Candidate:
    def mean(name: str) -> float:
        values = [point.scores.get(name) for point in points]
        return math.fsum(v for v in values if v is not None) / len(values) if None not in values else math.nan

    error = math.sqrt(math.fsum(p.errors.get(EXTRACTION, 0.0) ** 2 for p in points)) / len(points)
    moved = math.fsum(p.moved or 0.0 for p in points) / len(points)
    return Candidate(number, share, mean(EXTRACTION), mean(UTILITY), mean(HEADLINE), error, moved)


def choose(objective: Objective, trials: Sequence[Trial]) -> Choice | None:
    """The choice of an objective; None where no trial left a point that it can judge."""
    found = candidates(trials)
    count = len({trial.number for trial in trials if not trial.fresh and trial.number > 0})
    if objective == "oracle":
        able = [c for c in found if math.isfinite(c.headline)]
        return Choice(max(able, key=lambda c: (c.headline, -c.moved, -c.number)), count, True) if able else None
    able = [c for c in found if math.isfinite(c.extraction) and math.isfinite(c.utility)]
    if not able:
        return None
    keeping = [c for c in able if c.keeps]
    if not keeping:
        return Choice(max(able, key=lambda c: (c.utility, -c.moved, -c.number)), count, False)
    least = min(keeping, key=lambda c: c.extraction)
    # Within a standard error nothing tells them apart, and who moved the weights less has broken less.
    near = [c for c in keeping if c.extraction <= least.extraction + least.error]
    return Choice(min(near, key=lambda c: (c.moved, c.extraction, c.number)), count, True)


def best_headlines(trials: Sequence[Trial]) -> list[float]:
    """The best headline of each setting along its run, in the order of the numbers; 0 of one that left no point."""
    numbers = sorted({trial.number for trial in trials if not trial.fresh and trial.number > 0})
    best = dict.fromkeys(numbers, 0.0)
    for c in candidates(trials):
        if math.isfinite(c.headline):
            best[c.number] = max(best[c.number], c.headline)
    return [best[number] for number in numbers]
