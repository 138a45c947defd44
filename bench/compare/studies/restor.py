"""Do true facts come back when the documents that displaced them are forgotten? RESTOR, arXiv:2411.00204.

a_u(e) is the share of an entity's corrupted facts of which the model u puts a true answer first (`restored`). The
recovery rate of an entity is R(e) = [a_u(e) - a_target(e)] / [a_retrain(e) - a_target(e)]: target is the corrupted
model, retrain the clean one, so these are 0 and 1. Entities whose denominator is below `TOLD_APART` are unscored.

Below 0 there is as much room as target has left true, and dilution leaves it more: a ruined model has a slope of R
below 0. So what dilution does to restoring is read off the facts that target has lost, of which no model can lose more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.compare.studies.study import (
    Column,
    Curves,
    Figure,
    Material,
    Study,
    corrected,
    curve,
    item_mean,
    over_seeds,
    slope,
    weighted,
)
from bench.score.estimates import Estimate, combine, mean
from bench.store.record import RETRAIN, TARGET

DISPLACED = 0.5
"""A fact that the clean model puts first by more than this beyond the corrupted one has been displaced."""
TOLD_APART = 0.1
"""The least that the clean model must know beyond the corrupted one: of an entity, and of a mean."""
RECOVERY, SLOPE, FORGOTTEN, MARGIN = "recovery", "recovery a dilution", "forgotten", "margin restored"
RESTORED, CORRUPTED, LOST = "restored", "corrupted", "lost"
GENERATED, UNTOUCHED, NEIGHBOUR, DILUTING = "generated", "untouched", "same entity", "diluting"
UNDILUTED, RETURNED, RETURNED_SLOPE = "recovery undiluted", "displaced back", "displaced back a dilution"
TESTED = (UNDILUTED, RECOVERY, RETURNED_SLOPE, FORGOTTEN)
SLOPES = {SLOPE: RECOVERY, RETURNED_SLOPE: RETURNED}
COLUMNS = (
    Column(UNDILUTED, "R, mean over entities, of documents without true facts: above 0 true facts come back", "high"),
    Column(RECOVERY, "the same, mean over dilutions: below 0 more true facts go than come back", "high"),
    Column(SLOPE, "slope of R over the number of true facts beside each false one; that of a ruined model is below 0"),
    Column(RETURNED, "R of single facts that the clean model puts first and the corrupted one does not", "high"),
    Column(RETURNED_SLOPE, "slope of that over the number of true facts: below 0 dilution hinders"),
    Column(FORGOTTEN, "(c_target - c) / (c_target - c_retrain) of the share c answered falsely: 1 is all gone", "high"),
    Column(MARGIN, "(m - m_target) / (m_retrain - m_target) of the mean m of l(true) - l(false)", "high"),
    Column(RESTORED, "share of the corrupted facts with a true answer first", "high"),
    Column(CORRUPTED, "with the false one first", "low"),
    Column(LOST, "with another one first; the three add up to 1", "low"),
    Column(GENERATED, "share of the corrupted facts with a true answer generated after five examples", "high"),
    Column(UNTOUCHED, "true answers first of entities that no document names, less target's", "high"),
    Column(NEIGHBOUR, "the same of the corrupted entities' other facts", "high"),
    Column(DILUTING, "the same of true facts within the documents, where there are such", "high"),
)  # fmt: skip
SETS = {UNTOUCHED: "untouched", NEIGHBOUR: "neighbour", DILUTING: "diluting"}
NOTES = (
    "Retrain is the clean model and target the corrupted one: recovery and margin restored are 0 of target and 1 of "
    "retrain by definition, and not bounded by them.",
    "Published (arXiv:2411.00204, as its authors sum it up): ascent and KL forget without restoring, NPO often "
    "restores, less so where the false facts are diluted. To say so of methods here takes, of the former, "
    f"{FORGOTTEN} above 0 and neither recovery; of the latter, a recovery above 0 and {RETURNED_SLOPE} below 0. These "
    "four columns are tested, corrected for all of them and all methods.",
)
_Sets = Mapping[str, pd.DataFrame]
"""What one model knows at one dilution: items by set, indexed by id."""


def study(material: Material) -> Study | None:
    """Of every method that has all dilutions that were run; None where none has."""
    methods = material.methods
    if not methods:
        return None
    places = _places(material)
    models = {
        name: {seed: [_read(material, name, task, seed, places) for task in material.tasks.values()]
               for seed in material.seeds_of(name)}
        for name in (*methods, RETRAIN)
    }  # fmt: skip
    levels = list(material.tasks)
    found = {m: {s: [_steps(m, s, k, models, at) for k, at in enumerate(levels)] for s in models[m]} for m in methods}
    rows = {m: _row(levels, of) for m, of in found.items()}
    lines = {
        title: {m: curve((at, _scored(of, title, k)) for k, at in enumerate(levels)) for m, of in found.items()}
        for title in (RECOVERY, MARGIN, FORGOTTEN, UNTOUCHED)
    }
    return Study(
        material.name, material.data, material.model, "False facts forgotten: do the true ones come back",
        material.axis, max((tuple(of) for of in found.values()), key=len), COLUMNS, corrected(rows),
        (
            Curves("True facts that come back", "recovery rate", lines[RECOVERY]),
            Curves("Margin of the true answer restored", "share", lines[MARGIN]),
            Curves("False facts forgotten", "share", lines[FORGOTTEN]),
            Curves("Other entities beside target", "difference in what is known", lines[UNTOUCHED]),
        ),
        notes=(*NOTES, *_unscored(levels, models), *material.lacking(found)),
    )  # fmt: skip


def recovery(own: pd.DataFrame, target: pd.DataFrame, retrain: pd.DataFrame) -> pd.Series:
    """R of each entity; NaN of one whose facts the clean model knows too little beyond the corrupted one.

    Args:
        own, target, retrain: items of the corrupted facts by id, with `cluster` (the entity) and `restored`.
    """
    of = [_by_entity(table, "restored", (own, target, retrain)) for table in (own, target, retrain)]
    apart = of[2] - of[1]
    return ((of[0] - of[1]) / apart).where(apart > TOLD_APART - 1e-9)


def returned(own: pd.DataFrame, target: pd.DataFrame, retrain: pd.DataFrame) -> pd.Series:
    """The same of each fact that was displaced; NaN of every other. Arguments as of `recovery`."""
    apart = retrain["restored"] - target["restored"]
    return ((own["restored"] - target["restored"]) / apart).where(apart > DISPLACED)


def _by_entity(table: pd.DataFrame, column: str, beside: Sequence[pd.DataFrame]) -> pd.Series:
    """The mean of each entity, of the facts that every model was scored on."""
    scored = np.logical_and.reduce([other.loc[table.index, column].notna() for other in beside])
    return table[column].where(scored).groupby(table["cluster"]).mean()


def _places(material: Material) -> dict[str, pd.Series]:
    """The entity of each item that any dilution has, by set: real files lack an entity at some."""
    found: dict[str, dict[str, str]] = {}
    for task in material.tasks.values():
        for seed in material.seeds_of(RETRAIN)[:1]:
            for name, items in material.read(material.cell(RETRAIN, task, seed)).groupby("set"):
                found.setdefault(str(name), {}).update((str(k), str(v)) for k, v in items["cluster"].items())
    return {name: pd.Series(of, dtype=str) for name, of in found.items()}


def _read(material: Material, method: str, task: str, seed: int, places: Mapping[str, pd.Series]) -> _Sets:
    """The items of a model by set, those of every dilution; what this one does not ask is unscored."""
    table = material.read(material.cell(method, task, seed))
    return {
        str(name): items.reindex(places[str(name)].index).assign(cluster=places[str(name)])
        for name, items in table.groupby("set")
    }


def _steps(
    method: str, seed: int, k: int, models: Mapping[str, Mapping[int, Sequence[_Sets]]], dilution: float
) -> dict[str, Estimate]:
    """Everything of one method, seed and dilution."""
    own, target, retrain = (models[name][seed][k] for name in (method, TARGET, RETRAIN))
    facts, before, clean = own["forget"], target["forget"], retrain["forget"]
    rates = recovery(facts, before, clean)
    found = {RECOVERY: item_mean(rates, rates.index.to_series(), "entities")}
    if dilution == 0:
        found[UNDILUTED] = found[RECOVERY]
    found[RETURNED] = item_mean(returned(facts, before, clean), facts["cluster"], "entities")
    for title, column in ((FORGOTTEN, "corrupted"), (MARGIN, "margin")):
        found[title] = combine(_way, *(_mean(table, column) for table in (facts, before, clean)))
    for title, column in ((RESTORED,) * 2, (CORRUPTED,) * 2, (LOST,) * 2, (GENERATED, "restored_generation")):
        found[title] = _mean(facts, column)
    for title, name in SETS.items():
        if name in own:
            stratum = "entities" if name == "neighbour" else name
            found[title] = combine(np.subtract, *(_mean(of[name], "restored", stratum) for of in (own, target)))
    return found


def _mean(table: pd.DataFrame, column: str, stratum: str = "entities") -> Estimate:
    return item_mean(table[column], table["cluster"], stratum)


def _way(own: np.ndarray, target: np.ndarray, retrain: np.ndarray) -> np.ndarray:
    """How far on the way from target to retrain; NaN where these are too near each other.

    The first of several is the number with all entities: it decides for those without one, too.
    """
    apart = np.asarray(retrain - target, dtype=float)
    return (own - target) / np.where(np.abs(apart) < TOLD_APART, np.nan, apart)


def _row(levels: Sequence[float], of: Mapping[int, Sequence[Mapping[str, Estimate]]]) -> dict[str, Figure]:
    row = {}
    for column in COLUMNS:
        title = column.title
        source = SLOPES.get(title, title)
        by_seed = []
        for steps in of.values():
            if there := [step[source] for step in steps if source in step]:
                by_seed.append(weighted(there, slope(levels)) if title in SLOPES else mean(there))
        if by_seed and (title not in SLOPES or len(levels) > 1):
            row[title] = over_seeds(by_seed, title in TESTED)
    return row


def _scored(of: Mapping[int, Sequence[Mapping[str, Estimate]]], title: str, k: int) -> list[Estimate]:
    return [steps[k][title] for steps in of.values()]


def _unscored(levels: Sequence[float], models: Mapping[str, Mapping[int, Sequence[_Sets]]]) -> tuple[str, ...]:
    """How many entities no rate can be given for, whatever the method: from target and retrain alone."""
    counts = []
    for k in range(len(levels)):
        sides = [[models[name][s][k]["forget"] for name in (TARGET, TARGET, RETRAIN)] for s in models[RETRAIN]]
        rates = [recovery(*side) for side in sides]
        counts.append((sum(int(r.isna().sum()) for r in rates), sum(len(r) for r in rates)))
    said = "; ".join(f"{lacking} of {every} at {at:g}" for at, (lacking, every) in zip(levels, counts, strict=True))
    return (
        f"Unscored entities, of which the clean model knows less than {TOLD_APART:g} beyond the corrupted one, over "
        f"all seeds, by dilution: {said}.",
    )
