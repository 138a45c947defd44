"""Requests one after another: do they work late, do earlier ones come back, are later ones damaged, what does it cost.

S[k, j] is how much of the part that request j names is known after k requests (mean extraction strength), R[k, j] the
same of the retrain model that saw none of the first k; U_k and Ur_k are the model utilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.api import make_task
from bench.compare.studies.study import (
    Column,
    Curves,
    Grid,
    Material,
    Study,
    constant,
    corrected,
    curve,
    item_mean,
    over_seeds,
    slope,
    weighted,
)
from bench.score.estimates import Estimate, combine, mean
from bench.stats.jackknife import FEWEST
from bench.store.record import CONTROLS, RETRAIN

KNOWN = "extraction_strength"
KNOWN_NOTE = "Known is mean extraction strength; in the matrix retrain's is subtracted."
ORDERS = ("", "-b", "-c")
COLUMNS = (
    Column("immediate", "mean over requests of S[k, k] - R[k, k]: what is still known right after its own request"),
    Column("later requests", "slope of that over k, a request: above 0 requests work less and less"),
    Column("relapse", "mean over requests of the largest S[k, j] - S[j, j], k > j: what comes back later", "low"),
    Column("premature", "mean of R[k, j] - S[k, j] over k < j: what is lost before anybody asks"),
    Column("utility", "U_K - Ur_K: what the requests cost in all, beyond what retraining costs"),
    Column("utility a request", "slope of U_k - Ur_k over k, through 0 before the first", ""),
    Column("gap to one shot", "known after K requests less known after one request for all of it"),
    Column("utility to one shot", "the same of utility", ""),
    Column("order", "standard deviation of what is known in the end over three orders of the requests", "", False),
    Column("seconds", "of all requests, over those of K retrainings", "low", False),
    Column("kept, MB", "what stays attached to the model after the last request", "low", False),
)


class _Steps(NamedTuple):
    """Of one method and seed: known [K][K] by request and part, and utility [K]."""

    known: list[list[Estimate]]
    utility: list[float]


def study(material: Material) -> Study | None:
    """Of every method that has all requests; None where none has, or requests are missing."""
    count = int(make_task(next(iter(material.tasks.values()))).series.of)  # type: ignore[attr-defined]
    methods = material.methods
    if len(material.tasks) < count or not methods:
        return None
    retrain = {seed: _steps(material, RETRAIN, seed) for seed in material.seeds_of(RETRAIN)}
    made = {m: {seed: _steps(material, m, seed) for seed in material.seeds_of(m)} for m in methods}
    rows = {m: _row(material, m, of, retrain) for m, of in made.items()}
    utility = {m: curve((k + 1, [constant(of[s].utility[k]) for s in of]) for k in range(count))
               for m, of in {**made, RETRAIN: retrain}.items()}  # fmt: skip
    forgotten = {m: curve((k + 1, [of[s].known[k][k] for s in of]) for k in range(count))
                 for m, of in {**made, RETRAIN: retrain}.items()}  # fmt: skip
    return Study(
        material.name, material.data, material.model, f"{count} requests one after another", material.axis,
        max((tuple(of) for of in made.values()), key=len), COLUMNS, corrected(rows),
        (Curves("The part just asked for", "known", forgotten), Curves("Utility", "model utility", utility)),
        (Grid("What is known of each part after each request", "request", "part", {m: _grid(of, retrain)
              for m, of in made.items()}),),
        (KNOWN_NOTE, *_few(made), *material.lacking(made)),
    )  # fmt: skip


def _few(made: Mapping[str, Mapping[int, _Steps]]) -> tuple[str, ...]:
    """What to say where a part has too few authors for an interval."""
    fewest = min(part.fewest for of in made.values() for steps in of.values() for part in steps.known[0])
    said = f"The smallest part is of {fewest} authors or documents, too few for intervals and tests of what is known."
    return (said,) if fewest < FEWEST else ()


def _steps(material: Material, method: str, seed: int) -> _Steps:
    tables = [material.read(material.cell(method, task, seed)) for task in material.tasks.values()]
    parts = [table.index[table["set"] == "forget"] for table in tables]
    about = [table[table["set"].isin(("earlier", "forget", "later"))] for table in tables]
    known = [
        [item_mean(own.loc[ids, KNOWN], own.loc[ids, "cluster"], f"part {j}") for j, ids in enumerate(parts)]
        for own in about
    ]
    return _Steps(known, [material.utility(method, task, seed) for task in material.tasks.values()])


def _row(material: Material, method: str, of: Mapping[int, _Steps], retrain: Mapping[int, _Steps]) -> dict[str, Any]:
    seeds = [seed for seed in of if seed in retrain]
    count = len(material.tasks)
    excess = {s: [[combine(np.subtract, of[s].known[k][j], retrain[s].known[k][j]) for j in range(count)]
                  for k in range(count)] for s in seeds}  # fmt: skip
    lost = {s: np.subtract(of[s].utility, retrain[s].utility) for s in seeds}
    steps = np.arange(1, count + 1)
    found: dict[str, Sequence[Estimate]] = {
        "immediate": [mean([excess[s][k][k] for k in range(count)]) for s in seeds],
        "later requests": [weighted([excess[s][k][k] for k in range(count)], slope(steps)) for s in seeds],
        "relapse": [_relapse(of[s].known) for s in seeds],
        "premature": [_premature(excess[s]) for s in seeds],
        "utility": [constant(lost[s][-1]) for s in seeds],
        "utility a request": [constant(float(steps @ lost[s] / (steps @ steps))) for s in seeds],
        **_one_shot(material, method, of, seeds),
    }
    tested = {column.title for column in COLUMNS if column.goal == "zero"}
    row = {title: over_seeds(by_seed, title in tested) for title, by_seed in found.items() if by_seed}
    return row | {t: over_seeds(v, tested=False) for t, v in _costs(material, method, of).items() if v}


def _relapse(known: Sequence[Sequence[Estimate]]) -> Estimate:
    """Mean over parts of the largest return; the request at which it is largest is chosen once, with all clusters."""
    count = len(known)
    back = [
        max((combine(np.subtract, known[k][j], known[j][j]) for k in range(j + 1, count)), key=lambda e: float(e.value))
        for j in range(count - 1)
    ]
    return mean(back)


def _premature(excess: Sequence[Sequence[Estimate]]) -> Estimate:
    before = mean([excess[k][j] for k in range(len(excess)) for j in range(k + 1, len(excess))])
    return combine(np.negative, before)


def _one_shot(
    material: Material, method: str, of: Mapping[int, _Steps], seeds: Sequence[int]
) -> dict[str, list[Estimate]]:
    """Beside the cells that forget everything at once, where there are such."""
    task = make_task(next(iter(material.tasks.values())))
    whole = getattr(task, "whole", "")
    able = [s for s in seeds if material.cell(method, whole, s) in material.records]
    if not able or len(able) < len(seeds) or not all(_alike(material, method, whole, s) for s in able):
        return {}
    gaps, lost = [], []
    for s in able:
        table = material.read(material.cell(method, whole, s))
        table = table[table["set"] == "forget"]
        ids = [material.read(material.cell(method, t, s)) for t in material.tasks.values()]
        parts = [own.index[own["set"] == "forget"] for own in ids]
        once = [item_mean(table.loc[own, KNOWN], table.loc[own, "cluster"], f"part {j}") for j, own in enumerate(parts)]
        gaps.append(combine(np.subtract, mean(of[s].known[-1]), mean(once)))
        lost.append(constant(of[s].utility[-1] - material.utility(method, whole, s)))
    return {"gap to one shot": gaps, "utility to one shot": lost}


def _alike(material: Material, method: str, whole: str, seed: int) -> bool:
    """Whether every request and the whole were unlearned with the same parameters; else more than requests differs."""
    tasks = (whole, *material.tasks.values())
    said = [material.records[material.cell(method, task, seed)].parameters for task in tasks]
    return all(own == said[0] for own in said)


def _costs(material: Material, method: str, of: Mapping[int, _Steps]) -> dict[str, list[Estimate]]:
    """What a method took, and what depends on the order; a control takes nothing."""
    if method in CONTROLS:
        return {}
    cost = {s: [material.records[material.cell(method, t, s)].cost for t in material.tasks.values()] for s in of}
    taught = {
        s: [material.records[material.cell(RETRAIN, t, s)].cost.get("prepare_seconds") for t in material.tasks.values()]
        for s in of
    }
    found: dict[str, list[Estimate]] = {"order": _orders(material, method, of)}
    timed = [s for s in of if all(taught[s]) and all("unlearn_seconds" in c for c in cost[s])]
    found["seconds"] = [
        constant(sum(float(c["unlearn_seconds"]) for c in cost[s]) / sum(float(t or 0.0) for t in taught[s]))
        for s in timed
    ]
    found["kept, MB"] = [constant(float(cost[s][-1].get("attached_mb", 0.0))) for s in of]
    return found


def _orders(material: Material, method: str, of: Mapping[int, _Steps]) -> list[Estimate]:
    """The spread over orders, a seed at a time; nothing where one of the orders was not run."""
    kind, _, rest = material.name.partition(":")
    found = []
    for s in of:
        ends = []
        for order in ORDERS:
            tasks = {at: f"{kind.partition('-')[0]}{order}:{rest}:{at:.0f}" for at in material.tasks}
            own = dataclasses.replace(material, tasks=tasks)
            if s not in own.seeds_of(method):
                return []
            ends.append(float(mean(_steps(own, method, s).known[-1]).value))
        found.append(constant(float(np.std(ends, ddof=1))))
    return found


def _grid(of: Mapping[int, _Steps], retrain: Mapping[int, _Steps]) -> tuple[tuple[float | None, ...], ...]:
    values = np.mean(
        [[[float(e.value) - float(r.value) for e, r in zip(own, other, strict=True)]
          for own, other in zip(of[s].known, retrain[s].known, strict=True)] for s in of], axis=0
    )  # fmt: skip
    return tuple(tuple(float(v) for v in line) for line in values)
