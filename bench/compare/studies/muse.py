"""MUSE's six criteria side by side: four of the whole forget set, two of utility fold by fold. arXiv:2407.06460.

V, K and U are VerbMem, KnowMem and utility (KnowMem of the retain set) of a method, Vr, Kr and Ur those of retrain,
each a mean over items; k is a fold, growing (`scal`) or after those before it (`sust`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

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
from bench.store.record import RETRAIN

ITEMS = {
    "verbatim memorisation": ("forget", "completed"),
    "knowledge memorisation": ("forget_qa", "answered"),
    "model utility": ("retain_qa", "answered"),
}
"""The criteria that are means over items: their set and the items' column."""
VERBATIM, KNOWLEDGE, UTILITY = ITEMS
PRIVACY, SCALABILITY, SUSTAINABILITY = "privacy leakage", "scalability", "sustainability"
FOLDWISE = {SCALABILITY: "scal", SUSTAINABILITY: "sust"}
COLUMNS = (
    Column(VERBATIM, "V - Vr of the whole forget set at once: above 0 its documents are still said"),
    Column(KNOWLEDGE, "K - Kr of the same: above 0 what they tell is still known"),
    Column(PRIVACY, "PrivLeak of the same, %: -100 leaks all, above 0 is overdone; MUSE calls -5 to 5 good"),
    Column(UTILITY, "U - Ur of the same: below 0 more is lost than retraining loses"),
    Column(SCALABILITY, "slope of U - Ur over growing forget sets, a fold: below 0 larger ones cost more"),
    Column(SUSTAINABILITY, "slope of U - Ur over requests one after another, a request: below 0 each costs more"),
)
TESTED = (VERBATIM, KNOWLEDGE, UTILITY, SCALABILITY, SUSTAINABILITY)


def study(material: Material) -> Study | None:
    """Of every method that has all folds of this series; a criterion whose cells were not run is left out."""
    methods = material.methods
    if len(material.tasks) < 2 or not methods:
        return None
    whole, _, kind = material.name.rpartition(":")
    of = {
        column: material if own == kind else _beside(material, {k: f"{whole}:{own}:{k:g}" for k in material.tasks})
        for column, own in FOLDWISE.items()
    }
    once = _beside(material, {1: whole})
    made = {m: material.seeds_of(m) for m in methods}
    rows = {m: {**_whole(once, m), **_foldwise(of, m)} for m in methods}
    title = "growing forget sets" if kind == "scal" else "requests one after another"
    return Study(
        material.name, material.data, material.model, f"MUSE's six criteria, {title}", material.axis,
        max(made.values(), key=len), COLUMNS, corrected(rows),
        tuple(Curves(f"{name[:1].upper()}{name[1:]}", name, _lines(material, methods, name)) for name in ITEMS),
        notes=(*_absent(once, of, kind), *material.lacking(made)),
    )  # fmt: skip


def _beside(material: Material, tasks: Mapping[float, str]) -> Material:
    return dataclasses.replace(material, tasks=tasks)


def _whole(once: Material, method: str) -> dict[str, Figure]:
    """The first four criteria, where the whole was asked for at once."""
    seeds = once.seeds_of(method)
    if not seeds:
        return {}
    (task,) = once.tasks.values()
    found = {name: over_seeds([_beyond(once, method, task, s, name) for s in seeds]) for name in ITEMS}
    scores = [once.records[once.cell(method, task, s)].scores["muse_privleak"].value for s in seeds]
    known = [score for score in scores if score is not None]
    leaks = over_seeds([constant(score) for score in known], tested=False) if known else Figure(None, note="undefined")
    return {**found, PRIVACY: leaks}


def _foldwise(of: Mapping[str, Material], method: str) -> dict[str, Figure]:
    """The last two criteria, where every fold was asked for."""
    found = {}
    for column, own in of.items():
        if seeds := own.seeds_of(method):
            slopes = [weighted([_beyond(own, method, task, s, UTILITY) for task in own.tasks.values()],
                               slope(list(own.tasks))) for s in seeds]  # fmt: skip
            found[column] = over_seeds(slopes)
    return found


def _beyond(material: Material, method: str, task: str, seed: int, name: str) -> Estimate:
    """A criterion less retrain's."""
    return combine(np.subtract, *(_mean(material, m, task, seed, name) for m in (method, RETRAIN)))


def _mean(material: Material, method: str, task: str, seed: int, name: str) -> Estimate:
    within, column = ITEMS[name]
    items = material.read(material.cell(method, task, seed))
    items = items[items["set"] == within]
    return item_mean(items[column], items["cluster"], within.partition("_")[0])


def _lines(material: Material, methods: Sequence[str], name: str) -> dict[str, tuple[tuple[float, Figure], ...]]:
    return {
        m: curve((k, [_mean(material, m, task, s, name) for s in material.seeds_of(m)])
                 for k, task in material.tasks.items())
        for m in (*methods, RETRAIN)
    }  # fmt: skip


def _absent(once: Material, of: Mapping[str, Material], kind: str) -> tuple[str, ...]:
    """What to type for criteria that nobody has."""
    asked = {
        "the first four criteria": once,
        **{name: own for name, own in of.items() if FOLDWISE[name] != kind},
    }
    lacking = {name: own for name, own in asked.items() if not own.methods}
    return tuple(f"Not run: {name} (--tasks {','.join(own.tasks.values())})." for name, own in lacking.items())
