"""Runs compared along their way: what is left of the retain set where as much is forgotten.

Runs stop at different places of one trade-off, so comparing where they end crowns whoever stopped earlier. Each run
leaves a trace, the mean probability of forget and of retain answers at a few points on its way. The retain probability
stands for utility there: it is what can be measured cheaply, and utility holds it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.api import Score
from bench.compare.comparing import Comparison, holm, tost
from bench.stats import intervals
from bench.store.record import Record

RETAINED = "retained"
AREA = "area"


class Matched(NamedTuple):
    """The trade-off that a method's runs went along, over its seeds."""

    retained: Score  # retain probability where the forget probability has fallen to the level
    area: Score  # mean retain probability over all forget probabilities below the start's; see `area`


def trace(record: Record) -> tuple[Sequence[float], Sequence[float]]:
    """Forget and retain probabilities on the way of a run, from its start to its end; empty where none were kept."""
    return record.curve.get("trace forget probability", []), record.curve.get("trace retain probability", [])


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


def area(record: Record) -> float | None:
    """Mean over the forget probabilities f from 0 to the start's of the retain probability when f is first reached.

    What is never reached counts 0, so that a run cannot win by stopping early. None without a trace.
    """
    forget, retain = trace(record)
    if len(forget) < 2 or forget[0] <= 0:
        return None
    total, lowest = 0.0, forget[0]
    for i in range(1, len(forget)):
        if forget[i] >= lowest:
            continue
        share = (forget[i - 1] - lowest) / (forget[i - 1] - forget[i])
        entered = retain[i - 1] + share * (retain[i] - retain[i - 1])
        total += (lowest - forget[i]) * (entered + retain[i]) / 2
        lowest = forget[i]
    return total / forget[0]


def matched(records: Sequence[Record], level: float) -> Matched:
    """Both numbers over the seeds of a method, with t-intervals; one seed leaves the interval unknown."""
    traced = [record for record in records if len(trace(record)[0]) > 1]
    reached = [value for value in (retained_at(record, level) for record in traced) if value is not None]
    areas = [value for value in map(area, traced) if value is not None]
    if not traced:
        return Matched(Score(None, note="no trace"), Score(None, note="no trace"))
    note = "" if len(reached) == len(traced) else f"reached by {len(reached)} of {len(traced)} seeds"
    if not reached:
        note = "starts below" if all(trace(record)[0][0] <= level for record in traced) else "not reached"
    return Matched(over_seeds(reached, note), over_seeds(areas))


def over_seeds(values: Sequence[float], note: str = "") -> Score:
    """Mean and 95% t-interval of one value a seed; `n` counts seeds."""
    if not values:
        return Score(None, note=note)
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Score(mean, n=1, note=note)
    half = intervals.quantile(0.975, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Score(mean, mean - half, mean + half, len(values), note)


def compare(
    records: Mapping[str, Mapping[int, Record]], pairs: Sequence[tuple[str, str]], level: float, margin: float
) -> list[Comparison]:
    """Pairs of methods at matched forgetting and by area: t-tests paired by seed, with Holm's correction for all.

    A pair needs two seeds that both methods have and in which both reach the level; without, there is no comparison.
    """
    found = []
    of = {RETAINED: lambda record: retained_at(record, level), AREA: area}
    values = {
        (name, method): {seed: value(record) for seed, record in by_seed.items()}
        for name, value in of.items()
        for method, by_seed in records.items()
    }
    for (a, b), name in itertools.product(pairs, of):
        one, other = values[name, a], values[name, b]
        both = {seed: (one[seed], other[seed]) for seed in sorted(one.keys() & other.keys())}
        apart = {seed: x - y for seed, (x, y) in both.items() if x is not None and y is not None}
        if len(apart) > 1:
            found.append(_paired(a, b, name, apart, margin))
    return [c._replace(p_holm=p) for c, p in zip(found, holm([c.p for c in found]), strict=True)]


def _paired(a: str, b: str, name: str, apart: Mapping[int, float], margin: float) -> Comparison:
    mean, lo, hi, n, _ = over_seeds(list(apart.values()))
    error = float(np.std(list(apart.values()), ddof=1)) / math.sqrt(n)
    mean, lo, hi = mean or 0.0, lo or 0.0, hi or 0.0
    p = (2 * intervals.tail(abs(mean) / error, n - 1)) if error else float(mean == 0)
    equal = tost(mean, error, n - 1, margin)
    return Comparison(a, b, name, mean, lo, hi, p, p, "t-test paired by seed", n, equal, tuple(apart))
