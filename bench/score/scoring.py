"""Rows to item table, item table to scores: pure functions, without torch, for our own cells and for foreign logs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench import registry
from bench.api import Metric, Rows, Sample, Score, make_task
from bench.errors import BenchError, UsageError
from bench.metrics._compat import COMPATS, Compat
from bench.metrics._exam import EXAM, exam_score
from bench.metrics._forms import RetrainTest
from bench.metrics._items import Items
from bench.score.leave_out import Strata, distances, estimate
from bench.score.limits import distance_limits, limits, p_limits
from bench.stats.intervals import Interval

Array = np.ndarray
KEY = ["set", "id", "cluster"]
_ABSENT = {
    "holdout": "no holdout split in this data: membership inference needs non-members",
    "nonmember": "no documents in this data that no model has seen: membership inference needs non-members",
    "general": "the exam of general knowledge was not held",
    "neighbours_same_subject": "whole subjects are forgotten, so no other facts of them are kept; others need --probes "
    "neighbours",
    "neighbours_shared_value": "no row says which subjects share a value; other data needs --probes neighbours",
    "neighbours_same_template": "no neighbours: run with --probes neighbours",
    "neighbours_other_kind": "the data has no other kind that is kept; other data needs --probes neighbours",
    "neighbours_world_facts": "no neighbours: run with --probes neighbours",
    "excess_loss": "no reference losses: run with --probes reference",
    "gradient_norm": "no gradient norms: run with --probes gradient-norm",
    "abstained": "refusals were not looked for: run with --probes abstention",
}


class _Group(NamedTuple):
    """The items of one set that a metric is computed on: columns [n], in the order of their ids."""

    columns: Mapping[str, Array]
    clusters: Array
    unscored: int


def refuse_unknown(compat: str) -> None:
    """Raise `UsageError` unless `compat` is a published behaviour that is known, or none."""
    if compat not in COMPATS:
        raise UsageError(f"no compat '{compat}'. Known: {', '.join(filter(None, COMPATS))}; leave it out for none.")


def build(name: str, compat: Compat = "") -> Metric:
    """The metric of that name, with the published behaviour asked for.

    Raises:
        UsageError: no such metric, or no such behaviour.
    """
    refuse_unknown(compat)
    made = exam_score(name) if name.startswith(EXAM) else registry.load("metric", name)
    takes = dataclasses.is_dataclass(made) and any(f.name == "compat" for f in dataclasses.fields(made))
    metric: Metric = made(compat=compat) if compat and takes else made()
    return metric


@cache
def scores_of(task: str) -> tuple[str, ...]:
    """The scores of a task: those it names, headline ones first, then metrics that no task names."""
    named = {name for other in registry.names("task") for name in make_task(other).scores}
    others = [name for name in registry.names("metric") if name not in named]
    return tuple(dict.fromkeys([*make_task(task).scores, *others]))


@cache
def find(name: str) -> Metric | None:
    """The metric of that name; None if there is none any more, or only in somebody else's tree."""
    try:
        return build(name)
    except UsageError:
        return None


def item_table(rows: Rows, metric_names: Sequence[str], compat: Compat = "") -> pd.DataFrame:
    """One line an item: set, id, cluster, and a float32 column for each statistic that the metrics need.

    NaN is an unscored item, or a statistic that no metric needs of that set.

    Raises:
        BenchError: an item was measured twice.
    """
    for table, names in ((rows.texts, ["set", "id", "role", "index"]), (rows.generations, ["set", "id", "role"])):
        if (twice := table.duplicated(names)).any():
            first = "/".join(map(str, table.loc[twice, names].iloc[0]))
            raise BenchError(f"{first} was measured twice; ids must be unique within a set. Mend the task's probes.")
    measured = Items.of(rows, compat)
    both = pd.concat([rows.texts[KEY], rows.generations[KEY]])
    items = both.drop_duplicates(["set", "id"]).sort_values(["set", "id"]).reset_index(drop=True)
    index = pd.MultiIndex.from_frame(items[["set", "id"]])
    needed: dict[str, set[str]] = {}
    columns: dict[str, pd.Series] = {}
    for metric in (build(name, compat) for name in metric_names):
        for wanted, column in metric.needs:
            needed.setdefault(column, set()).add(wanted)
        if not all(column in columns for _, column in metric.needs):
            columns.update(metric.items(measured))
    for column, sets in needed.items():
        values = columns[column].reindex(index).to_numpy(dtype=np.float32, copy=True)
        values[~items["set"].isin(sets).to_numpy()] = np.nan
        items[column] = values if compat else np.where(np.isfinite(values), values, np.float32(np.nan))
    return items


def score_items(
    items: pd.DataFrame, retrain_items: pd.DataFrame | None, metric_names: Iterable[str], compat: Compat = ""
) -> dict[str, Score]:
    """Every metric with its 95% interval over clusters (authors, documents), whatever the order of the lines.

    A metric uses the items of a set that are scored in any column that it needs, and for a comparison with the retrain
    model those scored in both models; a cluster is left out of both. Where a set has one cluster, the interval is over
    its items alone; with two clusters there is none (`bench.score.limits`).

    Args:
        items: an `item_table`. retrain_items: that of the retrain model, None where there is none.
        compat: whose published behaviour to reproduce where it differs from the correct one.

    Raises:
        UsageError: the two tables are of different items.
    """
    tables = [_by_set(table) for table in (items, retrain_items) if table is not None]
    return {name: _score(build(name, compat), tables, compat) for name in metric_names}


def _by_set(items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(name): group for name, group in items.set_index("id").sort_index().groupby("set")}


def _score(metric: Metric, tables: Sequence[Mapping[str, pd.DataFrame]], compat: Compat) -> Score:
    if metric.needs_retrain and len(tables) < 2:
        return Score(None, note="needs the retrain model's items to compare with")
    sides = tables if metric.needs_retrain else tables[:1]
    try:
        groups = {name: _group(name, metric, sides, compat) for name in _sets(metric, sides)}
    except _Unscored as reason:
        return Score(None, note=str(reason))
    own, other = _samples(metric, groups)
    value, n = float(metric.score(own, other)), sum(len(group.clusters) for group in groups.values())
    left_out = sum(group.unscored for group in groups.values())
    note = f"{left_out} unscored" if left_out else ""
    if np.isnan(value):
        return Score(None, n=n, note="undefined on these items" + (f" ({note})" if note else ""))
    strata = Strata.build({name: clusters_or_items(group.clusters) for name, group in groups.items()})
    lo, hi = _interval(metric, own, other, strata, value) or (None, None)
    return Score(value, lo, hi, n, note)


def _interval(metric: Metric, own: Sample, other: Sample | None, strata: Strata, value: float) -> Interval | None:
    if not isinstance(metric, RetrainTest):
        return limits(metric, [estimate(metric, own, other, strata)])
    found = distances(metric, own, other or {}, strata)
    return p_limits(distance_limits([found.estimate], [found.gaps]), int(found.gaps.items.sum()), value)


def clusters_or_items(labels: Array) -> list[str]:
    """The cluster of each item; where all are of one cluster, which says nothing of others, each item is its own."""
    found: list[str] = labels.tolist()
    return found if len(set(found)) > 1 else [f"{found[0]} {i}" for i in range(len(found))]


class _Unscored(Exception):
    """Why a metric has no value."""


def _sets(metric: Metric, sides: Sequence[Mapping[str, pd.DataFrame]]) -> list[str]:
    """The sets that a metric reads, without those that a task may lack and does."""
    lacking = getattr(metric, "may_lack", ())
    named = list(dict.fromkeys(s for s, _ in metric.needs))
    return [s for s in named if s not in lacking or any(s in side for side in sides)] or named


def _group(name: str, metric: Metric, sides: Sequence[Mapping[str, pd.DataFrame]], compat: Compat) -> _Group:
    """Columns of one set, the retrain model's under "retrain " + column; `_Unscored` if one has no value at all."""
    needed = list(dict.fromkeys(column for s, column in metric.needs if s == name))
    if any(name not in side for side in sides):
        raise _Unscored(_ABSENT.get(name, f"no items of the {name} set"))
    first, *others = (side[name] for side in sides)
    for other in others:
        if not first.index.equals(other.index):
            odd = [*first.index.symmetric_difference(other.index), *other.index[other.index.duplicated()], *first.index]
            raise UsageError(
                f"the retrain model was measured on other items of the {name} set ({len(other)} against {len(first)}; "
                f"for one, '{odd[0]}' is not once in both). Measure both on one task."
            )
    columns: dict[str, Array] = {}
    scored = np.ones(len(first), dtype=bool)
    for prefix, side in zip(("", "retrain "), (first, *others), strict=False):
        for column in needed:
            values = side[column].to_numpy(dtype=float) if column in side else np.full(len(side), np.nan)
            if np.isnan(values).all():
                reason = _ABSENT.get(column, f"no item of the {name} set is scored for {column}")
                raise _Unscored(reason + (" in the retrain model" if prefix else ""))
            columns[prefix + column] = values
        scored &= ~np.isnan([columns[prefix + column] for column in needed]).all(axis=0)
    if not scored.any():
        raise _Unscored(f"no item of the {name} set is scored in both models")
    unscored = int(np.isnan([*columns.values()]).any(axis=0).sum())
    keep = np.ones_like(scored) if compat else scored
    clusters = first["cluster"].to_numpy()[keep]
    return _Group({column: values[keep] for column, values in columns.items()}, clusters, unscored)


def _samples(metric: Metric, groups: Mapping[str, _Group]) -> tuple[Sample, Sample | None]:
    """What `Metric.score` reads."""

    def side(prefix: str) -> dict[tuple[str, str], Any]:
        return {(s, column): groups[s].columns[prefix + column] for s, column in metric.needs if s in groups}

    return side(""), side("retrain ") if metric.needs_retrain else None
