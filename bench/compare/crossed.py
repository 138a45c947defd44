"""The cells of one table, crossed: the same items for every method and seed, and the same clusters left out of all.

What is left out of one method is left out of every other, of target and retrain too, so that whatever is computed of
several of them (a difference, a share of a gap) is computed jointly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.api import Metric, Sample
from bench.errors import BenchError
from bench.metrics._forms import RetrainTest
from bench.score.leave_out import Estimate, Gaps, Strata, estimate, gaps
from bench.score.scoring import clusters_or_items
from bench.store import files
from bench.store.record import CONTROLS, RETRAIN, Cell, Record

Array = np.ndarray
Items = Mapping[str, tuple[list[str], list[str]]]
"""Ids and clusters of the items of each set, in the order of the ids."""


class Run(NamedTuple):
    """One model of the table."""

    method: str
    seed: int


class Loaded(NamedTuple):
    """The cells of a table, and those that cannot stand in it with the reason."""

    crossed: Crossed
    broken: dict[Cell, str]


@dataclass(frozen=True)
class Crossed:
    """Item values of the runs of one table.

    Attributes:
        ids: the items of each set.
        clusters: the cluster of each item of each set; the item itself where the set has only one cluster.
        values: of each run, by (set, column), [n].
        fixed: the controls that are one checkpoint in several seeds, so that their seeds say nothing of other models.
    """

    ids: Mapping[str, Sequence[str]]
    clusters: Mapping[str, Sequence[str]]
    values: Mapping[Run, Sample]
    fixed: frozenset[str] = frozenset()
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)  # estimates, each made once

    @cached_property
    def strata(self) -> Strata:
        """Which clusters are left out together."""
        return Strata.build(self.clusters)

    def seeds(self, method: str) -> tuple[int, ...]:
        """The seeds of a method, in order."""
        return tuple(sorted(run.seed for run in self.values if run.method == method))

    def has(self, metric: Metric, run: Run) -> bool:
        """Whether the run, and the retrain model where it is needed, has what the metric reads."""
        sides = [run, Run(RETRAIN, run.seed)] if metric.needs_retrain else [run]
        lacking = getattr(metric, "may_lack", ())
        wanted = [need for need in metric.needs if need[0] not in lacking or need[0] in self.ids]
        return bool(wanted) and all(
            side in self.values and need in self.values[side] and not np.isnan(self.values[side][need]).all()
            for side in sides
            for need in wanted
        )

    def estimate(self, metric: Metric, run: Run, against: Run | None = None, distance: bool = False) -> Estimate:
        """The metric of one run, and without each cluster.

        Args:
            against: what it is compared with where the metric compares; by default the retrain model of its seed.
            distance: of a metric that is a p-value, the KS distance behind it.
        """
        against = against or Run(RETRAIN, run.seed)
        key = (
            type(metric),
            run,
            against if metric.needs_retrain else None,
            distance and isinstance(metric, RetrainTest),
        )
        if key not in self._kept:
            self._kept[key] = estimate(metric, *self._sides(metric, run, against), self.strata, distance)
        found: Estimate = self._kept[key]
        return found

    def paired(self, metric: RetrainTest, run: Run) -> int:
        """How many items are scored in a run and in the retrain model of its seed."""
        own, other = self._sides(metric, run, Run(RETRAIN, run.seed))
        (need,) = metric.needs
        return int((~np.isnan(own[need]) & ~np.isnan((other or {})[need])).sum())

    def gaps(self, metric: RetrainTest, run: Run) -> Gaps:
        """What is behind a KS distance to the retrain model of its seed."""
        own, other = self._sides(metric, run, Run(RETRAIN, run.seed))
        return gaps(metric, own, other or {}, self.strata)

    def _sides(self, metric: Metric, run: Run, against: Run) -> tuple[Sample, Sample | None]:
        def side(values: Sample) -> Sample:
            return {need: values[need] for need in metric.needs if need in values}

        return side(self.values[run]), side(self.values[against]) if metric.needs_retrain else None


def one_model(records: Mapping[Cell, Record]) -> frozenset[Cell]:
    """The cells of target and retrain that are checkpoints which were given, and so the same for every seed."""
    return frozenset(c for c, record in records.items() if c.method in CONTROLS and "checkpoint" in record.identity)


def load(results: Path, cells: Iterable[Cell], same: Collection[Cell] = ()) -> Loaded:
    """Read the item tables of one table's cells.

    Left out as broken: what cannot be read, an empty table, other items of a set than most cells have, and a run
    whose items are number for number those of another seed, which is a copy and no second run, unless it is one of
    `same`.
    """
    read: dict[Cell, tuple[Items, Sample]] = {}
    broken: dict[Cell, str] = {}
    for cell in cells:
        try:
            read[cell] = _items(results, cell)
        except BenchError as error:
            broken[cell] = str(error)
    shown = _usual([items for items, _ in read.values()])
    values: dict[Run, Sample] = {}
    fixed: set[str] = set()
    for cell, (items, numbers) in read.items():
        twin = next((run for run, of in values.items() if run.method == cell.method and _same(of, numbers)), None)
        if odd := next((name for name, own in items.items() if own[0] != shown[name][0]), ""):
            broken[cell] = f"measured on other items of the {odd} set than most of the table"
        elif twin is not None and cell not in same:
            broken[cell] = f"a copy of seed {twin.seed}: every number of every item is the same"
        else:
            values[Run(cell.method, cell.seed)] = numbers
            fixed |= {cell.method} if twin is not None else set()
    ids = {name: own for name, (own, _) in shown.items()}
    clusters = {name: clusters_or_items(np.array(labels, dtype=object)) for name, (_, labels) in shown.items()}
    return Loaded(Crossed(ids, clusters, values, frozenset(fixed)), broken)


def _items(results: Path, cell: Cell) -> tuple[Items, Sample]:
    """The items of a cell by set, sorted by id, and its numbers by (set, column)."""
    table = files.items(results, cell)
    if table.empty:
        raise BenchError(f"{files.items_path(results, cell)} holds no item. Remove it and run the cell again.")
    columns = {name: table[name].to_numpy() for name in table.columns}
    order = np.lexsort((columns["id"].astype(str), columns["set"].astype(str)))
    names, starts = np.unique(columns["set"].astype(str)[order], return_index=True)
    parts = dict(zip(map(str, names), np.split(order, starts[1:]), strict=True))
    items = {name: (columns["id"][part].tolist(), columns["cluster"][part].tolist()) for name, part in parts.items()}
    numeric = [name for name in columns if name not in ("set", "id", "cluster")]
    return items, {(name, c): columns[c][part].astype(float) for name, part in parts.items() for c in numeric}


def _usual(read: Sequence[Items]) -> Items:
    """Of every set the items that most cells have of those that have it: not every cell was asked for every probe."""
    found: dict[str, dict[str, tuple[list[str], list[str]]]] = {}
    counted: Counter[tuple[str, str]] = Counter()
    for items in read:
        for name, own in items.items():
            told = repr(own[0])
            counted[name, told] += 1
            found.setdefault(name, {}).setdefault(told, own)
    return {name: of[max(of, key=lambda told: counted[name, told])] for name, of in found.items()}


def _same(one: Sample, other: Sample) -> bool:
    """Whether all numbers are the same and say anything: two ruined runs may both be NaN or 0 throughout."""
    if one.keys() != other.keys() or not all(np.array_equal(one[key], other[key], equal_nan=True) for key in one):
        return False
    return any(len(np.unique(values[~np.isnan(values)])) > 1 for values in one.values())
