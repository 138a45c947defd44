"""Runs compared along their way: what is left of the retain set where as much is forgotten as retrain has.

Runs stop at different places of one trade-off, so comparing where they end crowns whoever stopped earlier. Each run
leaves a trace, the mean probability of forget and of retain answers at a few points on its way. The retain probability
stands for utility there; `run --match utility` measures the real one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.api import Score
from bench.compare.comparing import Comparison
from bench.stats.curves import drawn_through
from bench.stats.jackknife import between_seeds, holm, p_value, reach, tost
from bench.store.record import Record

AT_RETRAIN = "kept at retrain's level"
LEVEL = "probability"
"""The score that says how likely the forget answers are: of retrain, the level at which runs are compared."""


class Matched(NamedTuple):
    """The trade-off that a method's runs went along, over its seeds."""

    retained: Score  # retain probability where the forget probability has fallen to the level asked for
    at_retrain: Score  # share of the start's retain probability kept at retrain's own level of forgetting


def trace(record: Record) -> tuple[Sequence[float], Sequence[float]]:
    """Forget and retain probabilities on the way of a run, from its start to its end; empty where none can be used."""
    both = record.curve.get("trace forget probability", []), record.curve.get("trace retain probability", [])
    known = all(isinstance(x, float | int) and math.isfinite(x) for side in both for x in side)
    return both if known and len(both[0]) == len(both[1]) else ([], [])


def retained_at(record: Record, level: float) -> float | None:
    """Retain probability when the run's forget probability first falls to `level`, interpolated along its trace.

    None if it never does, or if the run started below.
    """
    forget, retain = trace(record)
    for i in range(1, len(forget)):
        before, after = forget[i - 1], forget[i]
        if before > level >= after:
            share = (before - level) / (before - after)
            return retain[i - 1] + share * (retain[i] - retain[i - 1])
    return None


def kept_at(forget: Sequence[float], retain: Sequence[float], level: float) -> float | None:
    """The most of the start's retain probability that a run has anywhere at or below a level of forgetting, at most 1.

    The envelope of the run's way, straight between its points: neither its length, nor what lies above the level, nor
    going back up can add to it, and a ruined model has only what it had left when it got there. None where the level is
    never reached.
    """
    f, r = np.asarray(forget), np.asarray(retain)
    if not len(f) or r[0] <= 0:
        return None
    crosses = (f[:-1] - level) * (f[1:] - level) < 0
    before, after, one, two = f[:-1][crosses], f[1:][crosses], r[:-1][crosses], r[1:][crosses]
    found = np.concatenate([r[f <= level], one + (before - level) / (before - after) * (two - one)])
    return min(1.0, float(found.max()) / float(r[0])) if len(found) else None


def at_retrain(record: Record, retrain: Record | None) -> float | None:
    """`kept_at` retrain's own forget probability, on the way drawn through the points of the trace.

    So drawn, 20 points read what a probe at every step does, to 0.01 (`docs/statistics.md`).
    """
    score = retrain.scores.get(LEVEL) if retrain else None
    if score is None or score.value is None:
        return None
    forget, retain = trace(record)
    return _kept_on_the_way(tuple(forget), tuple(retain), score.value)


@lru_cache(maxsize=1 << 16)  # a row and its comparisons ask for the same
def _kept_on_the_way(forget: tuple[float, ...], retain: tuple[float, ...], level: float) -> float | None:
    both = drawn_through(forget, retain)
    return kept_at(both[0], both[1], level)


def matched(records: Mapping[int, Record], retrains: Mapping[int, Record], level: float) -> Matched:
    """Both numbers over the seeds of a method, with t-intervals; one seed leaves the interval unknown."""
    traced = {seed: record for seed, record in records.items() if len(trace(record)[0]) > 1}
    if not traced:
        return Matched(Score(None, note="no trace"), Score(None, note="no trace"))
    if lacking := sorted(records.keys() - traced.keys()):
        none = Score(None, note=f"no trace in seed {', '.join(map(str, lacking))}")
        return Matched(none, none)
    retained = [retained_at(record, level) for record in traced.values()]
    kept = [at_retrain(record, retrains.get(seed)) for seed, record in traced.items()]
    below = all(trace(record)[0][0] <= level for record in traced.values())
    return Matched(_reached(retained, "starts below" if below else "not reached"), _reached(kept, "not reached"))


def _reached(values: Sequence[float | None], never: str) -> Score:
    known = [value for value in values if value is not None]
    note = "" if len(known) == len(values) else f"reached by {len(known)} of {len(values)} seeds" if known else never
    return over_seeds(known, note)


def over_seeds(values: Sequence[float], note: str = "", lowest: float = 0.0) -> Score:
    """Mean and 95% t-interval of one value a seed, between `lowest` and 1; `n` counts seeds."""
    if not values:
        return Score(None, note=note)
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Score(mean, n=1, note=note)
    half = reach([between_seeds(values)], 0.05)
    return Score(mean, max(lowest, mean - half), min(1.0, mean + half), len(values), note)


def compare(
    records: Mapping[str, Mapping[int, Record]], pairs: Sequence[tuple[str, str]], margin: float
) -> list[Comparison]:
    """Pairs of methods at retrain's level of forgetting: t-tests paired by seed, with Holm's correction for all.

    A pair needs two seeds that both methods have and in which both reach the level; without, there is no comparison.

    Args:
        records: by method, then seed, with those of retrain.
    """
    retrains = records.get("retrain", {})
    kept = {
        method: {seed: at_retrain(record, retrains.get(seed)) for seed, record in records[method].items()}
        for method in dict.fromkeys(method for pair in pairs for method in pair)
    }
    return paired(kept, pairs, AT_RETRAIN, margin)


def paired(
    values: Mapping[str, Mapping[int, float | None]], pairs: Sequence[tuple[str, str]], metric: str, margin: float
) -> list[Comparison]:
    """Pairs of methods on one number a seed: t-tests paired by seed, with Holm's correction for all.

    A pair needs two seeds in which both have a number; without, there is no comparison.

    Args:
        values: by method, then seed; None where there is none. metric: what the number is called.
    """
    apart: dict[tuple[int, ...], dict[tuple[str, str], list[float]]] = {}  # by seeds
    for a, b in pairs:
        both = {s: (values[a][s], values[b][s]) for s in sorted(values[a].keys() & values[b].keys())}
        known = {s: x - y for s, (x, y) in both.items() if x is not None and y is not None}
        if len(known) > 1:
            apart.setdefault(tuple(known), {})[a, b] = [*known.values()]
    made = {c[:2]: c for seeds, of in apart.items() for c in _paired(of, metric, seeds, margin)}
    found = [made[pair] for pair in pairs if pair in made]
    return [c._replace(p_holm=p) for c, p in zip(found, holm([c.p for c in found]), strict=True)]


def _paired(
    apart: Mapping[tuple[str, str], Sequence[float]], metric: str, seeds: tuple[int, ...], margin: float
) -> Iterator[Comparison]:
    """Pairs that have the same seeds, from their differences."""
    each = np.array([*apart.values()])
    mean, parts = np.mean(each, axis=1), [between_seeds(each)]
    half, p = reach(parts, 0.05), p_value(mean, parts)
    columns = (of.tolist() for of in (mean, mean - half, mean + half, p, tost(mean, parts, margin)))
    for (a, b), d, lo, hi, one, equal in zip(apart, *columns, strict=True):
        yield Comparison(a, b, metric, d, lo, hi, one, one, "t-test paired by seed", len(seeds), equal, seeds)
