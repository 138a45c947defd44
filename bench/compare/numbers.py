"""Every number of one table, by method and seed: a metric, a part of the headline, what could tell from retrain."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Score
from bench.compare import headline
from bench.compare.comparing import Comparison, Series, compare_all, corrected
from bench.compare.crossed import Crossed, Run
from bench.compare.headline import ERASED, HEADLINE, KEPT, Shares, Told
from bench.metrics._forms import Attack, AttackScore, RetrainTest
from bench.score.estimates import alike
from bench.score.limits import distance_limits, is_p, limits, p_limits
from bench.score.scoring import find
from bench.stats.intervals import Interval
from bench.store.record import RETRAIN, TARGET, Cell, Record

FORGET_QUALITY, UTILITY, MEMBERSHIP = "forget quality", "model utility", "membership"
KS_DISTANCE, MEMBERSHIP_GAP = "ks_distance", "membership_gap"
PARTS = {HEADLINE: Shares.headline, ERASED: Shares.erased, KEPT: Shares.kept}


class Asked(NamedTuple):
    """What a table is to say; all names are of metrics."""

    headlines: Mapping[str, str]  # role -> metric
    memorisation: tuple[str, ...]
    floors: Mapping[str, float]  # metric -> share of the target's value below which a model has collapsed
    margin: float


def common_seeds(of: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """The seeds that most methods have, of equally common ones the most: what methods are compared over."""
    counts = Counter(tuple(sorted(seeds)) for seeds in of.values() if seeds)
    return max(counts, key=lambda s: (counts[s], len(s), s), default=())


def counted(seeds: tuple[int, ...], own: Collection[int]) -> tuple[int, ...]:
    """The seeds of a method that count: the table's where there are any and it has them all, else its own."""
    return seeds if seeds and set(seeds) <= set(own) else tuple(sorted(own))


class Numbers:
    """The numbers of one table's runs; what is asked for twice is computed once."""

    def __init__(self, crossed: Crossed, seeds: tuple[int, ...], asked: Asked) -> None:
        self.crossed, self.seeds, self.asked = crossed, seeds, asked
        self.utility = find(asked.headlines.get(UTILITY, ""))
        self.forget_quality = find(asked.headlines.get(FORGET_QUALITY, ""))
        self.attack = _attack(find(asked.headlines.get(MEMBERSHIP, "")))
        anchored = [s for s in seeds if all(Run(m, s) in crossed.values for m in (TARGET, RETRAIN))]
        known = {name: metric for name in asked.memorisation if (metric := find(name)) is not None}
        self.told = headline.telling(crossed, known, anchored) if self.utility else Told({}, {})
        self.shares: dict[str, dict[int, Shares]] = {}
        self.limits: dict[tuple[type, str], Interval | None] = {}
        self._intervals: dict[type, Mapping[str, Interval]] = {}
        self._series: dict[tuple[str, str], Series] = {}

    def used(self, method: str) -> tuple[int, ...]:
        """See `counted`."""
        return counted(self.seeds, self.crossed.seeds(method))

    def shares_of(self, method: str) -> dict[int, Shares]:
        """Way from target to retrain, by seed; of retrain that of other retrain models. Empty where a seed lacks it."""
        if method not in self.shares and self.utility is not None:
            used = self.used(method)
            if method == RETRAIN:
                made = headline.ceiling(self.crossed, self.told, self.utility, used)
            else:
                made = [headline.shares(self.crossed, self.told, self.utility, Run(method, s)) for s in used]
            complete = [one for one in made if one is not None]
            self.shares[method] = dict(zip(used, complete, strict=True)) if len(complete) == len(used) else {}
        return self.shares.get(method, {})

    def series(self, name: str, method: str) -> Series:
        """What is compared, by seed; empty where a seed has no value."""
        if (name, method) not in self._series:
            self._series[name, method] = self._made(name, method)
        return self._series[name, method]

    def _made(self, name: str, method: str) -> Series:
        if name in PARTS:
            return {seed: PARTS[name](of) for seed, of in self.shares_of(method).items()}
        metric = self.forget_quality if name == KS_DISTANCE else self.attack if name == MEMBERSHIP_GAP else find(name)
        if metric is None:
            return {}
        used, against = self.used(method), {}
        if method == RETRAIN and is_p(metric):  # another retrain model in a method's place
            if len(used) < 2 or RETRAIN in self.crossed.fixed:
                return {}
            against = dict(zip(used, (*used[1:], *used[:1]), strict=True))
        if not used or not all(self.crossed.has(metric, Run(method, seed)) for seed in used):
            return {}
        return {
            seed: self.crossed.estimate(metric, Run(method, against.get(seed, seed)), Run(RETRAIN, seed), distance=True)
            for seed in used
        }

    def scores(self, method: str, records: Mapping[Cell, Record]) -> dict[str, Score]:
        """Everything that is shown of a method, over its seeds."""
        used = self.used(method)
        by_seed = {cell.seed: record for cell, record in records.items() if cell.method == method}
        names = dict.fromkeys(name for seed in used for name in by_seed[seed].scores)
        of_seeds = {name: [by_seed[s].scores.get(name, Score(None)) for s in used] for name in names}
        found = {name: self.score(name, method, values) for name, values in of_seeds.items()}
        if of := list(self.shares_of(method).values()):
            found |= headline.scores(of)
        if self.forget_quality is not None and (distances := self.series(KS_DISTANCE, method)):
            lo, hi = self.distance_limits(self.forget_quality, method) or (None, None)
            found[KS_DISTANCE] = Score(_average(distances), lo, hi, len(distances))
            if method == RETRAIN:  # of all pairs, where the tests take each retrain model once
                found[KS_DISTANCE] = Score((self.band() or found[KS_DISTANCE]).value, n=len(distances))
        if method != RETRAIN and self.attack is not None:
            own, other = self.series(MEMBERSHIP_GAP, method), self.series(MEMBERSHIP_GAP, RETRAIN)
            if (gap := self.gap_of.get(method)) is not None:
                found[MEMBERSHIP_GAP] = Score(gap.difference, max(gap.lo, -1.0), min(gap.hi, 1.0), gap.n)
            elif both := [own[seed].value - other[seed].value for seed in own if seed in other]:
                found[MEMBERSHIP_GAP] = Score(math.fsum(both) / len(both), n=len(both))
        return found

    @cached_property
    def gap_of(self) -> Mapping[str, Comparison]:
        """The attack's AUC less retrain's, of every method that has both."""
        methods = dict.fromkeys(run.method for run in self.crossed.values)
        return {c.a: c for c in self._compared({MEMBERSHIP_GAP: [(m, RETRAIN) for m in methods if m != RETRAIN]})}

    def by_seed(self, method: str) -> dict[str, dict[int, float]]:
        """Seed by seed what no record has: the headline and its parts, what could tell a method from retrain."""
        found = {name: {s: e.value for s, e in self.series(name, method).items()} for name in (*PARTS, KS_DISTANCE)}
        if method != RETRAIN:
            own, other = self.series(MEMBERSHIP_GAP, method), self.series(MEMBERSHIP_GAP, RETRAIN)
            found[MEMBERSHIP_GAP] = {s: own[s].value - other[s].value for s in own if s in other}
        return {name: values for name, values in found.items() if values}

    def score(self, name: str, method: str, by_seed: Sequence[Score]) -> Score:
        """The mean over seeds with its interval; without a value in one seed it has none, and says so."""
        metric, used = find(name), self.used(method)
        average = over_seeds(name, by_seed, used)
        if average.value is None or metric is None:
            return average
        if not all(self.crossed.has(metric, Run(method, seed)) for seed in used):
            return average
        if isinstance(metric, RetrainTest):
            items = self.crossed.paired(metric, Run(method, used[0]))
            around = p_limits(self.distance_limits(metric, method), items, average.value)
        else:
            around = self.intervals(metric).get(method)
        return average._replace(lo=around.lo, hi=around.hi) if around else average

    def intervals(self, metric: Metric) -> Mapping[str, Interval]:
        """Of every method that has a metric in all of its seeds, and clusters enough."""
        if type(metric) not in self._intervals:
            methods = {run.method: self.used(run.method) for run in self.crossed.values}
            runs = {m: [Run(m, seed) for seed in used] for m, used in methods.items()}
            having = {m: of for m, of in runs.items() if of and all(self.crossed.has(metric, run) for run in of)}
            found: dict[str, Interval] = {}
            for some, by_seed in alike(
                {m: [self.crossed.estimate(metric, run) for run in of] for m, of in having.items()}
            ):
                if (around := limits(metric, by_seed)) is not None:
                    found |= dict(zip(some, map(Interval, around.lo.tolist(), around.hi.tolist()), strict=True))
            self._intervals[type(metric)] = found
        return self._intervals[type(metric)]

    def distance_limits(self, metric: Metric, method: str) -> Interval | None:
        """Of the KS distance to the retrain models; None of retrain itself."""
        key = (type(metric), method)
        if key not in self.limits and isinstance(metric, RetrainTest) and method != RETRAIN:
            runs = [Run(method, seed) for seed in self.used(method)]
            found = [self.crossed.distance(metric, run) for run in runs]
            self.limits[key] = distance_limits([of.estimate for of in found], [of.gaps for of in found])
        return self.limits.get(key)

    def share_of_target(self, method: str, name: str) -> Score:
        """A metric over the target's, what floors are held against."""
        metric = find(name)
        used = self.used(method)
        runs = [(Run(method, s), Run(TARGET, s)) for s in used]
        if metric is None or not runs or not all(self.crossed.has(metric, run) for pair in runs for run in pair):
            return Score(None)
        of = [headline.ratio(self.crossed, metric, *pair) for pair in runs]
        return headline.bounded(of)

    def comparisons(self, methods: Sequence[str]) -> list[Comparison]:
        """The verdict's family: every pair on the headline, each method with target and retrain, and with retrain on
        what could give it away. The second: every pair on what papers report. Corrected together."""
        pairs = list(combinations(sorted(methods), 2))
        anchors = [(m, control) for m in sorted(methods) for control in (TARGET, RETRAIN)]
        telltale = [(m, RETRAIN) for m in sorted(methods)]
        verdict = {HEADLINE: [*pairs, *anchors], KS_DISTANCE: telltale, MEMBERSHIP_GAP: telltale}
        reported = dict.fromkeys(self.asked.headlines.values(), pairs)
        return corrected([self._compared(verdict), self._compared(reported)])

    def _compared(self, family: Mapping[str, Sequence[tuple[str, str]]]) -> list[Comparison]:
        """Pairs of methods on each number, without a correction."""
        found: list[Comparison] = []
        for name, pairs in family.items():
            series = {m: self.series(name, m) for m in dict.fromkeys(m for pair in pairs for m in pair)}
            found += compare_all(name, pairs, series, self.asked.margin)
        return found

    def aside(self, methods: Sequence[str], compared: Sequence[Comparison]) -> list[Comparison]:
        """The pairs of methods and numbers that `comparisons` leaves out: asked alone, so without a correction."""
        known = {(c.metric, frozenset((c.a, c.b))) for c in compared}
        asked = {
            name: [pair for pair in combinations(sorted(methods), 2) if (name, frozenset(pair)) not in known]
            for name in (HEADLINE, *self.asked.headlines.values())
        }
        return [c._replace(p_holm=1.0) for c in self._compared(asked)]

    def band(self) -> Score | None:
        """KS distances of all pairs of retrain models: what cannot be told from retrain."""
        metric = self.forget_quality
        seeds = [
            s for s in self.crossed.seeds(RETRAIN) if metric is not None and self.crossed.has(metric, Run(RETRAIN, s))
        ]
        if metric is None or not is_p(metric) or len(seeds) < 2 or RETRAIN in self.crossed.fixed:
            return None
        far = [self.crossed.estimate(metric, Run(RETRAIN, a), Run(RETRAIN, b), distance=True).value
               for a, b in combinations(seeds, 2)]  # fmt: skip
        return Score(float(np.mean(far)), min(far), max(far), len(far))


def _average(series: Series) -> float:
    return math.fsum(e.value for e in series.values()) / len(series)


def _attack(metric: Metric | None) -> Metric | None:
    """The attack's AUC behind a membership score; None where there is none."""
    if isinstance(metric, AttackScore):
        return metric.parts[0]()
    return metric if isinstance(metric, Attack) else None


def over_seeds(name: str, scores: Sequence[Score], seeds: Sequence[int]) -> Score:
    """A score over seeds without its interval; of one seed the score itself. Of p-values the geometric mean."""
    if len(scores) == 1:
        return scores[0]
    note = next((score.note for score in scores if score.note), "")
    known = [score.value for score in scores if score.value is not None]
    if lacking := [str(s) for s, score in zip(seeds, scores, strict=True) if score.value is None]:
        return Score(None, note=note if not known else f"no value in seed {', '.join(lacking)}: {note}")
    metric = find(name)
    value = math.fsum(known) / len(known)
    if metric is not None and is_p(metric):
        value = math.exp(math.fsum(map(math.log, known)) / len(known)) if min(known) > 0 else 0.0
    return Score(value, n=max(score.n for score in scores), note=note)
