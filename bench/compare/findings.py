"""What takes time in a table, kept by the content that it rests on: scores over seeds, the headline, the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.api import Score
from bench.compare.comparing import Comparison, compare
from bench.compare.crossed import Crossed, Loaded, load, one_model
from bench.compare.numbers import Asked, Numbers, common_seeds
from bench.keys import digest
from bench.stats.ranking import below_floor
from bench.store import files, kept
from bench.store.record import CONTROLS, RETRAIN, Cell, Record, origin, tuning_of
from bench.store.versions import ANALYSIS, SCORE


class Findings(NamedTuple):
    """What is found of a table's cells."""

    seeds: tuple[int, ...]  # that ranked methods have
    scores: dict[str, dict[str, Score]]  # method -> number -> score over its seeds
    target_shares: dict[str, dict[str, Score]]  # method -> metric with a floor -> share of the target's value
    by_seed: dict[str, dict[str, dict[int, float]]]  # the same of what no record has: the headline, its parts, ...
    comparisons: list[Comparison]
    aside: list[Comparison]  # of pairs that are in no family, with those set apart and controls: never corrected
    enters: tuple[str, ...]  # the metrics that *erased* is made of
    blind: dict[str, str]  # memorisation metrics that cannot tell, and why
    band: Score | None  # KS distance between retrain models: mean, smallest and largest pair
    broken: dict[Cell, str]  # cells whose items cannot be read, are not those of the rest, or copies


def findings(results: Path, records: Mapping[Cell, Record], asked: Asked) -> Findings:
    """Of the cells of one table, from their item tables or from what RESULTS/analysis has of them.

    Files in that folder are safe to delete. What rests on a cell that cannot be read is not kept.
    """
    rests_on = {
        "analysis": [ANALYSIS, SCORE, [dict(v) if isinstance(v, Mapping) else v for v in asked]],
        "cells": [[*cell, record.keys.get("score"), _size(results, cell)] for cell, record in sorted(records.items())],
    }
    if beside := _beside(records):
        rests_on["beside tuned ones"] = sorted(beside)
    path = kept.path(results, digest(rests_on))
    try:
        return _from_json(kept.read(path))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = _compute(results, records, asked)
    if not found.broken:
        kept.write(path, _to_json(found))
    return found


def untuned_beside_tuned(origins: Mapping[str, str]) -> set[str]:
    """The methods whose parameters were not tuned where others' were, or among fewer settings: they are not ranked."""
    most = max(map(tuning_of, origins.values()), default=0)
    return {method for method, said in origins.items() if tuning_of(said) < most}


def _beside(records: Mapping[Cell, Record]) -> set[str]:
    origins: dict[str, str] = {}
    for cell, record in records.items():
        if cell.method not in CONTROLS and "@" not in cell.method:
            origins[cell.method] = f"{origins.get(cell.method, '')}, {origin(record)}".removeprefix(", ")
    return untuned_beside_tuned(origins)


def _size(results: Path, cell: Cell) -> int:
    try:
        return files.items_path(results, cell).stat().st_size
    except OSError:
        return -1


def _to_json(found: Findings) -> dict[str, Any]:
    compared = {name: [c._asdict() for c in getattr(found, name)] for name in ("comparisons", "aside")}
    return {**found._asdict(), **compared, "broken": {}}


def _from_json(plain: Any) -> Findings:
    scores, shares = ({m: {name: Score(*score) for name, score in of.items()} for m, of in plain[key].items()}
                    for key in ("scores", "target_shares"))  # fmt: skip
    comparisons, aside = ([Comparison(**{**c, "seeds": tuple(c["seeds"])}) for c in plain[key]]
                          for key in ("comparisons", "aside"))  # fmt: skip
    by_seed = {m: {n: {int(seed): v for seed, v in values.items()} for n, values in of.items()}
               for m, of in plain["by_seed"].items()}  # fmt: skip
    band = plain["band"] and Score(*plain["band"])
    return Findings(tuple(plain["seeds"]), scores, shares, by_seed, comparisons, aside, tuple(plain["enters"]),
                    plain["blind"], band, {})  # fmt: skip


def _compute(results: Path, records: Mapping[Cell, Record], asked: Asked) -> Findings:
    crossed, broken = _loaded(results, records)
    seeds = common_seeds({m: crossed.seeds(m) for m in {run.method for run in crossed.values} if "@" not in m})
    anchored = [s for s in seeds if all(s in crossed.seeds(control) for control in CONTROLS)]
    seeds = tuple(anchored) if anchored and asked.memorisation else seeds
    found = Numbers(crossed, seeds, asked)
    scores = {method: found.scores(method, records) for method in sorted({run.method for run in crossed.values})}
    shares = {method: {name: found.share_of_target(method, name) for name in asked.floors} for method in scores}
    outside = {*CONTROLS, *_beside(records)}
    able = [
        m for m in scores if m not in outside and "@" not in m and set(seeds) <= set(crossed.seeds(m))
        and not any(below_floor(*shares[m][name][:3], floor) == "apart" for name, floor in asked.floors.items())
    ]  # fmt: skip
    by_seed = {method: found.by_seed(method) for method in scores}
    compared = found.comparisons(able)
    aside = found.aside([m for m in scores if "@" not in m], compared)
    return Findings(seeds, scores, shares, by_seed, compared, aside, tuple(found.told.metrics), found.told.blind,
                    found.band(), broken)  # fmt: skip


def _loaded(results: Path, records: Mapping[Cell, Record]) -> Loaded:
    return load(results, sorted(records, key=lambda c: (c.method != RETRAIN, c.method, c.seed)), one_model(records))


class Pair(NamedTuple):
    """Two methods alone: a question that was asked beforehand, so nothing is corrected."""

    crossed: Crossed
    comparisons: dict[str, Comparison]
    scores: dict[str, dict[str, Score]]


def of_pair(results: Path, records: Mapping[Cell, Record], asked: Asked, a: str, b: str, names: Sequence[str]) -> Pair:
    """The comparisons of `a` and `b` on each of `names` that both have, over the seeds that both have."""
    crossed, _ = _loaded(results, records)
    seeds = tuple(seed for seed in crossed.seeds(a) if seed in crossed.seeds(b))
    found = Numbers(crossed, seeds, asked)
    made = {name: compare(name, a, b, found.series(name, a), found.series(name, b), asked.margin) for name in names}
    scores = {method: found.scores(method, records) for method in (a, b) if seeds}
    return Pair(crossed, {name: c for name, c in made.items() if c is not None}, scores)
