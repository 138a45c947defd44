"""What takes time in a table, kept by the content that it rests on: intervals over seeds, tests, the retrain band."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.api import Score
from bench.compare.comparing import Comparison, compare_all
from bench.compare.crossed import Crossed, Run, load
from bench.errors import BenchError
from bench.keys import digest
from bench.metrics._forms import RetrainTest
from bench.score.scoring import find
from bench.stats import intervals, two_sample
from bench.store import files
from bench.store.record import CONTROLS, RETRAIN, Cell, Record
from bench.store.versions import ANALYSIS, SCORE

FORGET_QUALITY = "forget quality"


class Band(NamedTuple):
    """How far retrain models of different seeds are from each other: what a method has to reach.

    Values are the mean over the pairs, bounds the smallest and the largest pair, `n` the number of pairs.
    """

    ks: Score  # KS statistic
    log10_p: Score  # log10 of its p-value, as forget quality has it


class Findings(NamedTuple):
    """What is found of a table's cells."""

    scores: dict[str, dict[str, Score]]  # of methods with several seeds
    comparisons: list[Comparison]
    band: Band | None
    broken: dict[Cell, str]  # cells whose items cannot be read, or are not those of the rest


def findings(
    results: Path,
    records: Mapping[Cell, Record],
    headlines: Mapping[str, str],
    details: Mapping[str, Sequence[str]],
    alpha: float,
    margin: float,
) -> Findings:
    """Of the cells of one table, from their item tables or from what RESULTS/analysis has of them.

    Files in that folder are safe to delete. What rests on a cell that cannot be read is not kept.
    """
    rests_on = {
        "analysis": [ANALYSIS, SCORE, alpha, margin, dict(headlines), {k: list(v) for k, v in details.items()}],
        "cells": [[*cell, record.keys.get("score"), _size(results, cell)] for cell, record in sorted(records.items())],
    }
    path = results / "analysis" / f"{digest(rests_on)}.json"
    try:
        return _from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = _compute(results, records, headlines, details, alpha, margin)
    if not found.broken:
        try:
            with files.atomically(path) as temporary:
                temporary.write_text(_to_json(found), encoding="utf-8")
        except BenchError:
            pass  # results that may not be written can still be read; it only takes longer every time
    return found


def _size(results: Path, cell: Cell) -> int:
    try:
        return files.items_path(results, cell).stat().st_size
    except OSError:
        return -1


def _to_json(found: Findings) -> str:
    return json.dumps(
        {"scores": found.scores, "comparisons": [c._asdict() for c in found.comparisons], "band": found.band}
    )


def _from_json(text: str) -> Findings:
    plain = json.loads(text)
    scores = {m: {name: Score(*score) for name, score in of.items()} for m, of in plain["scores"].items()}
    comparisons = [Comparison(**{**c, "seeds": tuple(c["seeds"])}) for c in plain["comparisons"]]
    band = plain["band"] and Band(*(Score(*score) for score in plain["band"]))
    return Findings(scores, comparisons, band, {})


def _compute(
    results: Path,
    records: Mapping[Cell, Record],
    headlines: Mapping[str, str],
    details: Mapping[str, Sequence[str]],
    alpha: float,
    margin: float,
) -> Findings:
    several = Counter(cell.method for cell in records)
    needed = [cell for cell in records if "@" not in cell.method or several[cell.method] > 1]
    crossed, broken = load(results, sorted(needed, key=lambda c: (c.method != RETRAIN, c.method, c.seed)))
    shown = {*headlines.values(), *(name for names in details.values() for name in names)}
    scores: dict[str, dict[str, Score]] = {}
    for method in {run.method for run in crossed.values}:
        by_seed = {c.seed: r for c, r in records.items() if c.method == method and c not in broken}
        if len(by_seed) > 1:
            names = dict.fromkeys(name for record in by_seed.values() for name in record.scores)
            scores[method] = {
                name: over_seeds(crossed, name, method, [r.scores.get(name, Score(None)) for r in by_seed.values()])
                for name in names
                if "@" not in method or name in shown
            }
    methods = sorted({run.method for run in crossed.values if "@" not in run.method} - set(CONTROLS))
    metrics = {name: metric for name in headlines.values() if (metric := find(name)) is not None}
    compared = compare_all(crossed, metrics, list(combinations(methods, 2)), margin, alpha)
    return Findings(scores, compared, _band(crossed, headlines), broken)


def mean(name: str, scores: Sequence[Score]) -> Score:
    """A score over seeds without its interval; of one seed the score itself."""
    if len(scores) == 1:
        return scores[0]
    known = [score.value for score in scores if score.value is not None]
    note = next((score.note for score in scores if score.note), "")
    if not known:
        return Score(None, note=note)
    value = math.fsum(known) / len(known)
    if isinstance(find(name), RetrainTest):
        value = math.exp(math.fsum(map(math.log, known)) / len(known)) if min(known) > 0 else 0.0
    return Score(value, n=max(score.n for score in scores), note=note)


def over_seeds(crossed: Crossed, name: str, method: str, scores: Sequence[Score]) -> Score:
    """The mean of a score over the seeds of a method, with its hierarchical bootstrap interval."""
    average, metric, seeds = mean(name, scores), find(name), crossed.seeds(method)
    if average.value is None or metric is None or not all(crossed.has(metric, Run(method, seed)) for seed in seeds):
        return average
    log = isinstance(metric, RetrainTest)
    values = [crossed.distribution(metric, Run(method, seed)) for seed in seeds]
    with np.errstate(divide="ignore"):
        resampled = crossed.over_seeds([np.log(v) for v in values] if log else values, seeds)
    interval = intervals.percentile(np.exp(resampled) if log else resampled)
    if interval is None:
        return average
    if interval.lo == interval.hi and hasattr(metric, "interval"):
        # AUCs of 1 in every resample are no certainty; the exact intervals of the seeds know that.
        known = [(s.lo, s.hi) for s in scores if s.lo is not None and s.hi is not None]
        interval = intervals.Interval(min(lo for lo, _ in known), max(hi for _, hi in known)) if known else interval
    return average._replace(lo=interval.lo, hi=interval.hi)


def _band(crossed: Crossed, headlines: Mapping[str, str]) -> Band | None:
    """KS statistic and log10 p of every pair of retrain models, on the column that forget quality compares."""
    metric = find(headlines.get(FORGET_QUALITY, ""))
    seeds = crossed.seeds(RETRAIN)
    if not isinstance(metric, RetrainTest) or len(seeds) < 2:
        return None
    need = metric.needs[0]
    columns = [crossed.values[Run(RETRAIN, seed)].get(need) for seed in seeds]
    distances, logs = [], []
    for one, other in combinations([c for c in columns if c is not None], 2):
        both = ~(np.isnan(one) | np.isnan(other))
        if both.any():
            distances.append(float(two_sample.ks_statistic(one[both], other[both])))
            logs.append(math.log10(float(two_sample.ks_pvalue(one[both], other[both]))))
    if not distances:
        return None
    return Band(*(Score(math.fsum(v) / len(v), min(v), max(v), len(v)) for v in (distances, logs)))
