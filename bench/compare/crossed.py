"""The cells of one table, crossed: the same items for every method and seed, and the same clusters left out of all.

What is left out of one method is left out of every other, of target and retrain too, so that whatever is computed of
several of them (a difference, a share of a gap) is computed jointly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bench.api import Metric, Sample
from bench.errors import BenchError
from bench.metrics._forms import RetrainTest
from bench.score.estimates import Estimate
from bench.score.leave_out import Distance, Stacked, Strata, distances, estimates
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

    @cached_property
    def rows(self) -> Mapping[Run, int]:
        """The place of each run among the models of `stacked`."""
        return {run: i for i, run in enumerate(self.values)}

    @cached_property
    def stacked(self) -> Stacked:
        """The values of all runs, by (set, column) [runs, n]."""
        needs = dict.fromkeys(need for of in self.values.values() for need in of)
        lacking = {need: np.full(len(self.ids[need[0]]), np.nan) for need in needs}
        every = {need: np.stack([of.get(need, lacking[need]) for of in self.values.values()]) for need in needs}
        return Stacked(every, self.strata)

    @cached_property
    def _scored(self) -> Mapping[tuple[str, str], Array]:
        """Which runs have any number in a column, [runs]."""
        return {need: ~np.isnan(of).all(axis=1) for need, of in self.stacked.columns.items()}

    @cached_property
    def _retrains(self) -> Array:
        """The place of the retrain model of each run's seed, -1 where there is none, [runs]."""
        return np.array([self.rows.get(Run(RETRAIN, run.seed), -1) for run in self.rows], dtype=np.int64)

    def has(self, metric: Metric, run: Run) -> bool:
        """Whether the run, and the retrain model where it is needed, has what the metric reads."""
        return run in self.rows and bool(self._having(metric)[self.rows[run]])

    def _having(self, metric: Metric) -> Array:
        """`has` of every run, [runs]."""
        found: Array = self._once(("has", type(metric)), lambda: self._looked_for(metric))
        return found

    def _looked_for(self, metric: Metric) -> Array:
        lacking = getattr(metric, "may_lack", ())
        wanted = [need for need in metric.needs if need[0] not in lacking or need[0] in self.ids]
        if not wanted or any(need not in self._scored for need in wanted):
            return np.zeros(len(self.rows), dtype=bool)
        own: Array = np.all([self._scored[need] for need in wanted], axis=0)
        return own & own[self._retrains] & (self._retrains >= 0) if metric.needs_retrain else own

    def estimate(self, metric: Metric, run: Run, against: Run | None = None, distance: bool = False) -> Estimate:
        """The metric of one run that `has` it, and without each cluster.

        Args:
            against: what it is compared with where the metric compares; by default the retrain model of its seed.
            distance: of a metric that is a p-value, the KS distance behind it.
        """
        other = against or Run(RETRAIN, run.seed)
        if distance and isinstance(metric, RetrainTest):
            kept: Estimate | None = self._kept.get((type(metric), run, other))
            return kept or self.distance(metric, run, other).estimate
        if against is not None and metric.needs_retrain:
            alone: Estimate = estimates(metric, self.stacked, *(np.array([self.rows[r]]) for r in (run, other)))[0]
            return alone
        found: Estimate = self._once((type(metric),), lambda: self._every(metric))[self.rows[run]]
        return found

    def _every(self, metric: Metric) -> dict[int, Estimate]:
        """The estimate of every run that has the metric, by its place: together they take little longer than one."""
        rows = np.flatnonzero(self._having(metric))
        return dict(zip(rows.tolist(), estimates(metric, self.stacked, rows, self._retrains[rows]), strict=True))

    def distance(self, metric: RetrainTest, run: Run, against: Run | None = None) -> Distance:
        """The KS distance behind a p-value, and what is behind that, which is large and not kept."""
        other = against or Run(RETRAIN, run.seed)
        found = distances(metric, self.values[run], self.values[other], self.strata)
        self._kept[type(metric), run, other] = found.estimate
        return found

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def paired(self, metric: RetrainTest, run: Run) -> int:
        """How many items are scored in a run and in the retrain model of its seed."""
        (need,) = metric.needs
        return int((~np.isnan(self.values[run][need]) & ~np.isnan(self.values[Run(RETRAIN, run.seed)][need])).sum())


def one_model(records: Mapping[Cell, Record]) -> frozenset[Cell]:
    """The cells of target and retrain that are checkpoints which were given, and so the same for every seed."""
    return frozenset(c for c, record in records.items() if c.method in CONTROLS and "checkpoint" in record.identity)


def load(results: Path, cells: Iterable[Cell], same: Collection[Cell] = ()) -> Loaded:
    """Read the item tables of one table's cells.

    Left out as broken: what cannot be read, an empty table, other items of a set than most cells have, and a run
    whose items are number for number those of another seed, which is a copy and no second run, unless it is one of
    `same`.
    """
    read: dict[Cell, tuple[_Layout, Sample]] = {}
    broken: dict[Cell, str] = {}
    layout: _Layout | None = None
    for cell in cells:
        try:
            layout, numbers = _items(results, cell, layout)
        except BenchError as error:
            broken[cell] = str(error)
        else:
            read[cell] = layout, numbers
    shown = _usual([layout.items for layout, _ in read.values()])
    values: dict[Run, Sample] = {}
    of_method: dict[str, list[Run]] = defaultdict(list)
    fixed: set[str] = set()
    for cell, (layout, numbers) in read.items():
        twin = next((run for run in of_method[cell.method] if _same(values[run], numbers)), None)
        if odd := next((name for name, own in layout.items.items() if own[0] != shown[name][0]), ""):
            broken[cell] = f"measured on other items of the {odd} set than most of the table"
        elif twin is not None and cell not in same:
            broken[cell] = f"a copy of seed {twin.seed}: every number of every item is the same"
        else:
            run = Run(cell.method, cell.seed)
            values[run] = numbers
            of_method[cell.method].append(run)
            fixed |= {cell.method} if twin is not None else set()
    ids = {name: own for name, (own, _) in shown.items()}
    clusters = {name: clusters_or_items(np.array(labels, dtype=object)) for name, (_, labels) in shown.items()}
    return Loaded(Crossed(ids, clusters, values, frozenset(fixed)), broken)


class _Layout(NamedTuple):
    """How the lines of an item table are turned into sets of items.

    Attributes:
        keys: set, id and cluster of each line. items: by set, sorted by id.
        order: the lines, set by set, sorted by id. places: by set the first of its lines in this order, and the end.
    """

    keys: pa.Table
    items: Items
    order: Array
    places: Mapping[str, slice]


def _items(results: Path, cell: Cell, before: _Layout | None) -> tuple[_Layout, Sample]:
    """The layout of a cell's items, `before` where it is the same, and its numbers by (set, column)."""
    table = files.arrow_items(results, cell)
    if not table.num_rows:
        raise BenchError(f"{files.items_path(results, cell)} holds no item. Remove it and run the cell again.")
    keys = table.select(["set", "id", "cluster"])
    layout = before if before is not None and keys.equals(before.keys) else _layout(keys)
    numeric = [name for name in table.column_names if name not in keys.column_names]
    numbers = {name: table[name].to_numpy().astype(float)[layout.order] for name in numeric}
    return layout, {(name, c): numbers[c][place] for name, place in layout.places.items() for c in numeric}


def _layout(keys: pa.Table) -> _Layout:
    columns = {name: keys[name].to_pandas().to_numpy() for name in keys.column_names}
    order = np.lexsort((columns["id"].astype(str), columns["set"].astype(str)))
    names, starts = np.unique(columns["set"].astype(str)[order], return_index=True)
    places = {str(name): slice(*ends) for name, ends in zip(names, pairwise([*starts, len(order)]), strict=True)}
    ids, clusters = columns["id"][order], columns["cluster"][order]
    items = {name: (ids[place].tolist(), clusters[place].tolist()) for name, place in places.items()}
    return _Layout(keys, items, order, places)


def _usual(read: Sequence[Items]) -> Items:
    """Of every set the items that most cells have of those that have it: not every cell was asked for every probe."""
    found: dict[str, dict[str, tuple[list[str], list[str]]]] = {}
    counted: Counter[tuple[str, str]] = Counter()
    told: dict[int, str] = {}  # tables of one layout share their lists
    for items in read:
        for name, own in items.items():
            if id(own) not in told:
                told[id(own)] = repr(own[0])
            counted[name, told[id(own)]] += 1
            found.setdefault(name, {}).setdefault(told[id(own)], own)
    return {name: of[max(of, key=lambda said: counted[name, said])] for name, of in found.items()}


def _same(one: Sample, other: Sample) -> bool:
    """Whether all numbers are the same and say anything: two ruined runs may both be NaN or 0 throughout."""
    if one.keys() != other.keys() or not all(np.array_equal(one[key], other[key], equal_nan=True) for key in one):
        return False
    return any(len(np.unique(values[~np.isnan(values)])) > 1 for values in one.values())
