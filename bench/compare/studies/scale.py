"""Growing forget sets: up to which size does a method keep what it should, up to which does it forget at all.

K_z is how much of the measured forget items is known at size z (mean extraction strength), R_z and T_z the same of the
retrain and target models of that size; U_z and Ur_z are the model utilities of the method and of retrain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.api import make_task
from bench.compare.studies.study import (
    Column,
    Curves,
    Figure,
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
from bench.score.estimates import Estimate, combine
from bench.store.record import CONTROLS, RETRAIN, TARGET

KNOWN = "extraction_strength"
KEPT = 0.9
"""The share of retrain's utility below which a method has lost what it should keep."""
FLOOR = 0.1
"""The share of what target knows beyond retrain that may be left where forgetting counts as done."""
TOLD_APART = 0.05
"""What target must know beyond retrain for a share of that to mean anything."""
HOLDS, FORGETS, EXCESS, EXCESS_SLOPE, UTILITY, UTILITY_SLOPE = (
    "utility holds to", "forgets to", "excess", "excess a doubling", "utility", "utility a doubling",
)  # fmt: skip
COLUMNS = (
    Column(
        HOLDS,
        f"the size, % of the authors, at which U falls below {KEPT:g} Ur, interpolated on log size",
        "high",
        signed=False,
    ),
    Column(
        FORGETS,
        f"the size at which (K - R) / (T - R) rises above {FLOOR:g}, interpolated on log size",
        "high",
        signed=False,
    ),
    Column(EXCESS, "K - R, mean over log size (trapezoids): what is still known"),
    Column(EXCESS_SLOPE, "slope of K - R over log size, a doubling: above 0 larger sets are forgotten less"),
    Column(UTILITY, "U / Ur - 1, mean over log size: what is lost beyond what retraining loses"),
    Column(UTILITY_SLOPE, "slope of U / Ur over log size, a doubling: below 0 larger sets cost more"),
)
NOTES = (
    "Known (K) is mean extraction strength of the measured forget items; R and T are that of retrain and target of the "
    "same size. Sizes of fewer than three authors have no interval.",
    f"Forgetting counts as done while at most {FLOOR:g} of what target knows beyond retrain is left; knowing less than "
    "retrain is no failure of that, and shows in the curve.",
    "A size beyond those that were run is written as > or <, and no number stands for it; 'not at' are smaller sizes "
    "at which a method does not hold yet, 'again at' larger ones at which it holds once more. The interval of a size "
    "is where the 95% interval of the curve, taken at each size by itself, meets the level; there is none where that "
    "first happens elsewhere, as of a curve that passes the level more than once.",
    "Published (Zhang et al. 2024, arXiv:2404.05868): NPO is of use with 50% of TOFU forgotten, where others fail at "
    "10%. To say that here, both columns of an NPO method would have to reach 50 and one of each other method's end by "
    "10, their intervals apart, over several seeds, with settings tuned at each size; those here were tuned at the "
    "nearest of 1, 5 and 10% (with fixed steps at 10%), if at all.",
)


class _Step(NamedTuple):
    """Of one method, seed and size."""

    known: Estimate
    utility: float


class _Method(NamedTuple):
    """A method with the sizes and seeds that are complete, and its steps by seed and size."""

    sizes: tuple[float, ...]
    steps: Mapping[int, Mapping[float, _Step]]


def study(material: Material) -> Study | None:
    """Of every method that has two sizes or more; None where none has."""
    read = _reader(material)
    found = {m: _of(material, m, read) for m in _methods(material)}
    found = {m: of for m, of in found.items() if len(of.sizes) > 1}
    if not found:
        return None
    anchors = {name: _anchor(name, found.values(), read) for name in CONTROLS}
    curves = {m: _curves(of, anchors) for m, of in found.items()}
    rows = {m: _row(material, of, *curves[m], anchors) for m, of in found.items()}
    series = make_task(next(iter(material.tasks.values()))).series  # type: ignore[attr-defined]
    return Study(
        material.name, material.data, material.model, f"Growing forget sets, {_regime(material.name)}", material.axis,
        max((tuple(of.steps) for of in found.values()), key=len), COLUMNS, corrected(rows),
        (
            Curves("Known beyond retrain's", "K - R", {m: of[0] for m, of in curves.items()}, log=True),
            Curves("Utility beside retrain's", "U / Ur", {m: of[2] for m, of in curves.items()}, log=True),
        ),
        notes=(*NOTES, *_lacking(material, found, int(series.of))),
    )  # fmt: skip


def _regime(name: str) -> str:
    return "as many updates at every size" if name.startswith("scale-steps") else "as many passes at every size"


def _methods(material: Material) -> list[str]:
    """Target, then every method that has cells here; a variant is none of them."""
    on = set(material.tasks.values())
    named = {c.method for c in material.records if c.task in on and "@" not in c.method} - set(CONTROLS)
    return [TARGET, *sorted(named)]


def _of(material: Material, method: str, read: Callable[[str, int, float], _Step]) -> _Method:
    """The sizes of a method, without the largest where no seed has all of them, and the seeds that have these."""
    sizes = {z: t for z, t in material.tasks.items() if dataclasses.replace(material, tasks={z: t}).seeds_of(method)}
    while sizes and not dataclasses.replace(material, tasks=sizes).seeds_of(method):
        del sizes[max(sizes)]
    seeds = dataclasses.replace(material, tasks=sizes).seeds_of(method) if sizes else ()
    return _Method(tuple(sizes), {s: {z: read(method, s, z) for z in sizes} for s in seeds})


def _reader(material: Material) -> Callable[[str, int, float], _Step]:
    """Reads a step; authors are the same clusters at every size, those that a size does not ask have no items there."""
    authors: dict[str, str] = {}
    tables: dict[tuple[str, int, float], pd.DataFrame] = {}

    def table(method: str, seed: int, size: float) -> pd.DataFrame:
        if (method, seed, size) not in tables:
            whole = material.read(material.cell(method, material.tasks[size], seed))
            tables[method, seed, size] = whole[whole["set"] == "forget"]
        return tables[method, seed, size]

    for size, task in material.tasks.items():
        for seed in dataclasses.replace(material, tasks={size: task}).seeds_of(RETRAIN)[:1]:
            asked = table(RETRAIN, seed, size)["cluster"]
            authors |= dict(zip(asked.index.astype(str), asked.astype(str), strict=True))
    every = pd.Series(authors, dtype=str)

    def step(method: str, seed: int, size: float) -> _Step:
        known = table(method, seed, size)[KNOWN].reindex(every.index)
        return _Step(item_mean(known, every, "author"), material.utility(method, material.tasks[size], seed))

    return step


def _anchor(
    name: str, found: Iterable[_Method], read: Callable[[str, int, float], _Step]
) -> dict[tuple[int, float], _Step]:
    """The steps of a control wherever a method has one."""
    return {(s, z): read(name, s, z) for s, z in {(s, z) for of in found for s in of.steps for z in of.sizes}}


Anchors = Mapping[str, Mapping[tuple[int, float], _Step]]
Line = tuple[tuple[float, Figure], ...]


def _excess(of: _Method, seed: int, size: float, anchors: Anchors) -> Estimate:
    return combine(np.subtract, of.steps[seed][size].known, anchors[RETRAIN][seed, size].known)


def _left(of: _Method, seed: int, size: float, anchors: Anchors) -> Estimate:
    """The share of what target knows beyond retrain that is left."""
    target, retrain = (anchors[name][seed, size].known for name in (TARGET, RETRAIN))
    if not float(target.value) - float(retrain.value) > TOLD_APART:
        return constant(np.nan)
    return combine(lambda k, t, r: (k - r) / (t - r), of.steps[seed][size].known, target, retrain)


def _kept(of: _Method, seed: int, size: float, anchors: Anchors) -> float:
    beside = anchors[RETRAIN][seed, size].utility
    return of.steps[seed][size].utility / beside if beside > 0 else np.nan


def _curves(of: _Method, anchors: Anchors) -> tuple[Line, Line, Line]:
    """What is known beyond retrain's, the share that is left, and utility beside retrain's, over size."""
    return (
        curve((z, [_excess(of, s, z, anchors) for s in of.steps]) for z in of.sizes),
        curve((z, [_left(of, s, z, anchors) for s in of.steps]) for z in of.sizes),
        curve((z, [constant(_kept(of, s, z, anchors)) for s in of.steps]) for z in of.sizes),
    )


def _row(material: Material, of: _Method, excess: Line, left: Line, kept: Line, anchors: Anchors) -> dict[str, Figure]:
    row = {HOLDS: threshold(kept, KEPT, above=False), FORGETS: threshold(left, FLOOR, above=True)}
    if lacking := [z for z in material.tasks if z not in of.sizes]:
        note = f"no cell at {_listed(lacking)}%"
        row = {t: f._replace(note=", ".join(filter(None, (f.note, note)))) for t, f in row.items()}
        return row | {t: Figure(None, note=note) for t in (EXCESS, EXCESS_SLOPE, UTILITY, UTILITY_SLOPE)}
    beyond = {s: [_excess(of, s, z, anchors) for z in of.sizes] for s in of.steps}
    lost = {s: np.array([_kept(of, s, z, anchors) for z in of.sizes]) - 1 for s in of.steps}
    for weights, known, utility in (
        (_mean_weights(of.sizes), EXCESS, UTILITY),
        (slope(np.log2(of.sizes)), EXCESS_SLOPE, UTILITY_SLOPE),
    ):
        row[known] = over_seeds([over_sizes(each, weights) for each in beyond.values()])
        row[utility] = over_seeds([constant(float(weights @ each)) for each in lost.values()])
    return row


# -- over sizes ------------------------------------------------------------------------------------------------------


def threshold(line: Line, level: float, above: bool) -> Figure:
    """The size at which a curve passes a level, with the interval that the curve's own intervals give.

    Without a number where it does not at any size that was run (">" the largest), or is beyond at all of them ("<").
    """
    scored = [(z, f) for z, f in line if f.value is not None]
    if not scored:
        return Figure(None, note="no size is scored")
    at, said = crossing([(z, float(f.value or 0.0)) for z, f in scored], level, above)
    notes = [said] if said else []
    sure = [(z, f.lo, f.hi) for z, f in scored if f.lo is not None and f.hi is not None]
    n = min(f.n for _, f in scored)
    if not sure:
        return Figure(at, n=n, note=", ".join(notes))
    low, high = ([(z, lo) for z, lo, _ in sure], [(z, hi) for z, _, hi in sure])
    first, last = (crossing(band, level, above) for band in ((high, low) if above else (low, high)))
    if at is not None and not _end(*first) <= at <= _end(*last):  # another of several passings, or no interval at it
        return Figure(at, n=n, note=", ".join([*notes, "no interval"]))
    if at is not None and first[0] is not None and last[0] is not None:
        return Figure(at, first[0], last[0], n, note=", ".join(notes))
    ends = [f"{end:.3g}" if end is not None else text.partition(",")[0] for end, text in (first, last)]
    if at is None and ends[0][0] == ends[1][0] == said[0]:  # the whole interval is beyond what was run
        return Figure(at, n=n, note=said)
    return Figure(at, n=n, note=", ".join([*notes, f"95%: {ends[0]} to {ends[1]}"]))


def _end(at: float | None, said: str) -> float:
    """Where a band passes the level; beyond every size that was run if it does not."""
    return at if at is not None else -math.inf if said.startswith("<") else math.inf


def crossing(points: Sequence[tuple[float, float]], level: float, above: bool) -> tuple[float | None, str]:
    """The size at which a curve, once it is within a level, first passes it, on log size between its steps.

    The words that go with it say at which smaller sizes it is not yet within, and at which larger ones it is again.
    """
    beyond = [value > level if above else value < level for _, value in points]
    if all(beyond):
        return None, f"< {points[0][0]:g}"
    within = beyond.index(False)
    early = f"not at {_listed(z for z, _ in points[:within])}" if within else ""
    if not any(beyond[within:]):
        return None, ", ".join(filter(None, (f"> {points[-1][0]:g}", early)))
    first = beyond.index(True, within)
    back = [z for (z, _), out in zip(points[first:], beyond[first:], strict=True) if not out]
    (before, inside), (after, outside) = points[first - 1], points[first]
    share = (level - inside) / (outside - inside)
    again = f"again at {_listed(back)}" if back else ""
    return float(before * (after / before) ** share), ", ".join(filter(None, (early, again)))


def over_sizes(estimates: Sequence[Estimate], weights: np.ndarray) -> Estimate:
    """A weighted sum over sizes, jackknifed jointly over the authors.

    The few authors of the smallest sizes carry most of it, so degrees of freedom are those of a sum of squares in which
    each author counts as much as the weights let him: K_eff of a_k^2, a_k = sum_z |w_z| n_kz / n_z.
    """
    made = weighted(estimates, weights)
    carried = {
        name: sum(abs(w) * e.sizes[name] / max(1, e.sizes[name].sum()) for w, e in zip(weights, estimates, strict=True))
        for name in made.sizes
    }
    return made._replace(sizes={name: np.square(share) for name, share in carried.items()})


def _mean_weights(sizes: Sequence[float]) -> np.ndarray:
    """Trapezoids over log size, by its range."""
    x = np.log2(sizes)
    gaps = np.diff(x)
    return (np.append(gaps, 0) + np.append(0, gaps)) / (2 * (x[-1] - x[0]))


# -- in words --------------------------------------------------------------------------------------------------------


def _lacking(material: Material, found: Mapping[str, _Method], declared: int) -> list[str]:
    """Which cells there are not: what is not run, diverged or failed is not made up for."""
    said = []
    if len(material.tasks) < declared:
        said.append(f"Only {_listed(material.tasks)}% were run: curves and sizes are interpolated across the others.")
    seeds = {s for of in found.values() for s in of.steps}
    for method, of in found.items():
        sizes, fewer = [z for z in material.tasks if z not in of.sizes], sorted(seeds - of.steps.keys())
        if sizes:
            said.append(f"{method} has no cell at {_listed(sizes)}% (not run, failed or diverged).")
        if fewer:
            said.append(f"{method} lacks cells of seed {_listed(fewer)}, which count nowhere.")
    return said


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
