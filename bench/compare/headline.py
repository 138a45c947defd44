"""The headline: how much is erased, how much is kept, and their harmonic mean. Defined in `docs/statistics.md`.

Erased is the harmonic mean, over the memorisation metrics that the task declares, of
clip((target - x) / (target - retrain), 0, 1), with target and retrain of the same seed: untouched is 0, what was never
learnt is 1, and going beyond that earns nothing. A harmonic mean, because what one metric still shows is not erased,
whatever the others say. Kept is min(1, utility / target's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Score
from bench.compare.crossed import Crossed, Run
from bench.metrics._forms import harmonic_mean
from bench.score.estimates import Estimate, combine, error_parts, joined_parts, mean
from bench.stats.jackknife import FEWEST, free_interval, joined_interval, reach, satterthwaite
from bench.store.record import RETRAIN, TARGET

Array = np.ndarray
HEADLINE, ERASED, KEPT = "headline", "erased", "kept"
SMALLEST_GAP = 0.05
"""Of a metric's range: where target and retrain are nearer, nothing can be told with it."""


class Shares(NamedTuple):
    """One run: each way from target to retrain, unclipped, and utility over the target's, unclipped."""

    ways: tuple[Estimate, ...]  # a metric each
    utility: Estimate

    def erased(self) -> Estimate:
        """Harmonic mean of the clipped ways."""
        return combine(lambda *ways: harmonic_mean([np.clip(way, 0, 1) for way in ways]), *self.ways)

    def kept(self) -> Estimate:
        """Utility over the target's, at most 1."""
        return combine(lambda x: np.clip(x, 0, 1), self.utility)

    def headline(self) -> Estimate:
        """Harmonic mean of both; 0 where either is."""
        return combine(lambda e, k: harmonic_mean([e, k]), self.erased(), self.kept())


class Told(NamedTuple):
    """Which memorisation metrics tell target and retrain apart, and which do not, with the reason."""

    metrics: dict[str, Metric]
    blind: dict[str, str]


def telling(crossed: Crossed, metrics: Mapping[str, Metric], seeds: Sequence[int]) -> Told:
    """The metrics that enter *erased*: with D the mean over seeds of target less retrain, D is at least `SMALLEST_GAP`
    and the lower end of its 95% interval at least D / 2.

    A ratio with D below is then bounded (Fieller's condition g <= 1/4). Decided once a table, from target and retrain
    alone. With fewer than five clusters the items count as clusters, for this decision only.
    """
    able: dict[str, Metric] = {}
    blind: dict[str, str] = {}
    by_item = _by_item(crossed, seeds)
    for name, metric in metrics.items():
        runs = [(Run(TARGET, seed), Run(RETRAIN, seed)) for seed in seeds]
        if not runs or not all(crossed.has(metric, run) for pair in runs for run in pair):
            blind[name] = "no value for target or retrain"
            continue
        source = crossed if _clusters(crossed, metric) >= 5 else by_item
        apart = [combine(np.subtract, source.estimate(metric, t), source.estimate(metric, r)) for t, r in runs]
        gap, parts = mean(apart), error_parts(apart)
        low = gap.value - reach([satterthwaite(parts)], 0.05)
        if gap.value < SMALLEST_GAP or not low >= gap.value / 2:
            blind[name] = f"target and retrain differ by {gap.value:.3f}, at least {low:.3f}: too little to tell"
        else:
            able[name] = metric
    return Told(able, blind)


def shares(
    crossed: Crossed, told: Told, utility: Metric, run: Run, retrain: Run | None = None, target: Run | None = None
) -> Shares | None:
    """How far a run is on its way from target to retrain of its seed; None where something of it has no value."""
    target, retrain = target or Run(TARGET, run.seed), retrain or Run(RETRAIN, run.seed)
    needed = [(metric, of) for metric in told.metrics.values() for of in (run, target, retrain)]
    needed += [(utility, run), (utility, target)]
    if not told.metrics or not all(crossed.has(metric, of) for metric, of in needed):
        return None

    def way(metric: Metric) -> Estimate:
        of = (crossed.estimate(metric, each) for each in (target, run, retrain))
        return combine(lambda t, x, r: (t - x) / np.where(t == r, np.nan, t - r), *of)

    kept = ratio(crossed, utility, run, target)
    found = Shares(tuple(way(metric) for metric in told.metrics.values()), kept)
    return None if np.isnan([each.value for each in (*found.ways, found.utility)]).any() else found


def ratio(crossed: Crossed, metric: Metric, run: Run, target: Run) -> Estimate:
    """A run's value over the target's."""
    both = crossed.estimate(metric, run), crossed.estimate(metric, target)
    return combine(lambda u, t: u / np.where(t > 0, t, np.nan), *both)


def bounded(runs: Sequence[Estimate]) -> Score:
    """The mean over seeds of a ratio of two numbers that are not negative, with its interval."""
    whole = mean(runs)
    if whole.fewest < FEWEST or np.isnan(whole.value):
        return Score(None if np.isnan(whole.value) else whole.value, n=len(runs))
    lo, hi = free_interval(whole.value, joined_parts(runs))
    return Score(whole.value, max(lo, 0.0), hi, len(runs))


def ceiling(crossed: Crossed, told: Told, utility: Metric, seeds: Sequence[int]) -> list[Shares | None]:
    """What retrain models of other seeds score in a method's place, seed by seed; empty where there is only one.

    Retrain is 1 by definition where it is measured against itself; this is what can be reached.
    """
    if RETRAIN in crossed.fixed:
        return []
    pairs = zip(seeds, (*seeds[1:], *seeds[:1]), strict=True)
    return [shares(crossed, told, utility, Run(RETRAIN, other), Run(RETRAIN, seed), Run(TARGET, seed))
            for seed, other in pairs if seed != other]  # fmt: skip


def scores(runs: Sequence[Shares]) -> dict[str, Score]:
    """Headline, erased and kept over seeds, with intervals."""
    made = {HEADLINE: [r.headline() for r in runs], ERASED: [r.erased() for r in runs], KEPT: [r.kept() for r in runs]}
    ways = [[run.ways[i] for run in runs] for i in range(len(runs[0].ways))]
    parts = {HEADLINE: [*ways, [run.utility for run in runs]], ERASED: ways, KEPT: [[run.utility for run in runs]]}
    joins: dict[str, Callable[[Array], Array]] = {
        HEADLINE: lambda x: harmonic_mean([harmonic_mean(list(x[:-1])), x[-1]]),
        ERASED: lambda x: harmonic_mean(list(x)),
        KEPT: lambda x: x[0],
    }
    found = {}
    for name, by_seed in made.items():
        value = mean(by_seed).value
        limits = _limits(joins[name], parts[name], value)
        lo, hi = limits or (None, None)
        found[name] = Score(value, lo, hi, len(runs))
    return found


def _limits(
    function: Callable[[Array], Array], terms: Sequence[Sequence[Estimate]], value: float
) -> tuple[float, float] | None:
    """The interval of a rising function of clipped ratios, from theirs (`joined_interval`), moved to the value.

    The mean over seeds of a function is not the function of the means; what lies between is added to both ends.
    """
    means = [mean(by_seed) for by_seed in terms]
    if min(m.fewest for m in means) < FEWEST:
        return None
    clipped = np.array([np.mean([np.clip(e.value, 0, 1) for e in by_seed]) for by_seed in terms])
    own = [free_interval(m.value, joined_parts(by_seed)) for m, by_seed in zip(means, terms, strict=True)]
    limits = np.clip(np.array(own), 0, 1)
    limits[:, 0], limits[:, 1] = np.minimum(limits[:, 0], clipped), np.maximum(limits[:, 1], clipped)
    found = joined_interval(function, clipped, limits, _correlation(means))
    moved = value - float(function(clipped))
    return min(max(found.lo + moved, 0.0), value), max(min(found.hi + moved, 1.0), value)


def _correlation(means: Sequence[Estimate]) -> Array:
    """Of estimates that lose the same clusters, [P, P]; 0 between those of different ones."""
    strata = dict.fromkeys(name for m in means for name in m.without)
    rows = []
    for m in means:
        pieces = []
        for name in strata:
            size = next(len(o.without[name]) for o in means if name in o.without)
            left = m.without.get(name, np.full(size, m.value))
            pieces.append((left - left.mean()) * np.sqrt((len(left) - 1) / len(left)))
        rows.append(np.concatenate(pieces))
    stacked = np.stack(rows)
    spread = np.sqrt((stacked**2).sum(axis=1))
    return np.asarray(stacked @ stacked.T / np.maximum(np.outer(spread, spread), 1e-300))


def _clusters(crossed: Crossed, metric: Metric) -> int:
    strata = {crossed.strata.of[name] for name, _ in metric.needs if name in crossed.ids}
    return min((crossed.strata.clusters[name] for name in strata), default=0)


def _by_item(crossed: Crossed, seeds: Sequence[int]) -> Crossed:
    """Target and retrain with every item its own cluster."""
    own = {name: [f"{name} {i}" for i in range(len(ids))] for name, ids in crossed.ids.items()}
    runs = [Run(method, seed) for method in (TARGET, RETRAIN) for seed in seeds]
    return Crossed(crossed.ids, own, {run: crossed.values[run] for run in runs if run in crossed.values})
