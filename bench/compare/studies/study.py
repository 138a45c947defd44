"""What a study is: the cells of a series of tasks, and the figures, curves and matrices that they give together.

A task says of itself where it stands in which series (`bench.api.Series`). Each kind of study is a file beside this one
with a function `study(material) -> Study`; `found.py` calls the one that a series asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from bench.api import make_task
from bench.score.estimates import Estimate, combine, error_parts, mean, values_of
from bench.stats.jackknife import FEWEST, Part, between_seeds, free_interval, holm, p_value
from bench.store.record import CONTROLS, TARGET, Cell, Record

Array = np.ndarray
Goal = Literal["zero", "high", "low", ""]
TINY = 1e-9
"""Differences below it are rounding."""


class Figure(NamedTuple):
    """A number over seeds with its 95% interval; `p` tests it against 0, corrected for all that its study tests."""

    value: float | None
    lo: float | None = None
    hi: float | None = None
    n: int = 0  # clusters of the smallest stratum, or seeds where it rests on nothing else
    p: float | None = None
    note: str = ""


class Column(NamedTuple):
    """A figure of every method: what it is called, what it says, and where it should be."""

    title: str
    doc: str
    goal: Goal = "zero"
    signed: bool = True  # a difference, said with its sign


@dataclass(frozen=True)
class Curves:
    """A line a method over the steps of a series."""

    title: str
    y: str
    lines: Mapping[str, tuple[tuple[float, Figure], ...]]
    log: bool = False  # whether steps are told apart by their ratio


@dataclass(frozen=True)
class Grid:
    """A matrix a method; None is a place without a number."""

    title: str
    down: str  # what a line is
    across: str  # what a column is
    values: Mapping[str, tuple[tuple[float | None, ...], ...]]


@dataclass(frozen=True)
class Study:
    """What a series of tasks shows of every method that has a cell in each."""

    name: str
    data: str
    model: str
    title: str  # what it asks, in words
    axis: str
    seeds: tuple[int, ...]
    columns: tuple[Column, ...]
    rows: Mapping[str, Mapping[str, Figure]]  # method -> title of a column -> figure
    curves: tuple[Curves, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """The cells that a study may rest on: those of its own series, and all others of the same data and model.

    Attributes:
        tasks: step -> the task that stands there.
        records: of every cell of the data and the model that can stand in a table.
        read: the item table of a cell.
        cells: of the data and the model, those that cannot stand in a table too.
    """

    name: str
    data: str
    model: str
    axis: str
    tasks: Mapping[float, str]
    records: Mapping[Cell, Record]
    read: Callable[[Cell], pd.DataFrame] = field(repr=False)
    cells: tuple[Cell, ...] = ()

    def cell(self, method: str, task: str, seed: int) -> Cell:
        """Of a task of this data and model."""
        return Cell(task, method, self.model, self.data, seed)

    def seeds_of(self, method: str) -> tuple[int, ...]:
        """The seeds that a method, target and retrain have on every task, each cell from the one that it follows."""
        return tuple(
            seed
            for seed in sorted({cell.seed for cell in self.records if cell.method == method})
            if all(self.cell(m, t, seed) in self.records for m in (method, *CONTROLS) for t in self.tasks.values())
            and (method in CONTROLS or all(self._follows(method, t, seed) for t in self.tasks.values()))
        )

    def utility(self, method: str, task: str, seed: int) -> float:
        """The model utility of a cell; NaN where it has none."""
        name = make_task(task).headlines.get("model utility", "")
        score = self.records[self.cell(method, task, seed)].scores.get(name)
        return np.nan if score is None or score.value is None else score.value

    def lacking(self, used: Mapping[str, Iterable[int]]) -> tuple[str, ...]:
        """Which methods and seeds have cells of the series and count nowhere: what diverged, or was not run again.

        Args:
            used: the seeds of each method that count.
        """
        on = set(self.tasks.values())
        had: dict[str, set[int]] = {}
        for cell in sorted(self.cells or self.records):
            if cell.task in on and cell.method not in CONTROLS and "@" not in cell.method:
                had.setdefault(cell.method, set()).add(cell.seed)
        left = {method: sorted(seeds - set(used.get(method, ()))) for method, seeds in had.items()}
        return tuple(
            f"{method}, seed {', '.join(map(str, seeds))}: in no figure, for not every step has a cell that follows "
            "from the one before it (not run, failed, diverged, or run anew with other settings)."
            for method, seeds in left.items()
            if seeds
        )

    def _follows(self, method: str, task: str, seed: int) -> bool:
        """Whether a cell starts from the model that the step before it left as it is now."""
        before = self.records.get(self.cell(method, getattr(make_task(task), "after", ""), seed))
        started = self.records[self.cell(method, task, seed)].identity.get("start")
        return before is None or started == before.keys.get("train")

    @property
    def methods(self) -> list[str]:
        """Target, then every method with a seed that counts; of retrain there is nothing to say beside itself."""
        on = set(self.tasks.values())
        known = dict.fromkeys(cell.method for cell in self.records if cell.task in on and "@" not in cell.method)
        found = sorted(m for m in known if m not in CONTROLS and self.seeds_of(m))
        return [TARGET, *found] if self.seeds_of(TARGET) else found


def item_mean(values: pd.Series, clusters: pd.Series, stratum: str) -> Estimate:
    """The mean of items, and without each cluster: what intervals are made of. Items that are NaN are left out.

    Args:
        values, clusters: by item id.
        stratum: what the clusters are called; figures that share clusters share the name.
    """
    names, groups = np.unique(clusters.to_numpy(dtype=str), return_inverse=True)
    x = values.to_numpy(dtype=float)
    scored = ~np.isnan(x)
    sizes = np.bincount(groups[scored], minlength=len(names))
    sums = np.bincount(groups[scored], weights=x[scored], minlength=len(names))
    total, count = float(sums.sum()), int(sizes.sum())
    left = count - sizes
    without = np.where(left > 0, (total - sums) / np.where(left > 0, left, 1), np.nan)
    return Estimate(total / count if count else np.nan, {stratum: without}, {stratum: sizes})


def constant(value: float) -> Estimate:
    """A number that rests on no cluster that is known: its error is what differs between seeds."""
    return Estimate(value, {}, {})


def over_seeds(by_seed: Sequence[Estimate], tested: bool = True) -> Figure:
    """The mean over seeds, with an interval from clusters and seeds together.

    Without clusters it rests on the seeds alone; then one seed has no interval, and neither has what cannot be had
    without some cluster, or is the same everywhere, which a sign test tells from 0. `tested` asks for p, not yet
    corrected.
    """
    value, n, parts = _parts(by_seed)
    if value is None:
        return Figure(None, note="no item is scored")
    if not parts:
        return Figure(value, n=n)
    if not any(part.variance > TINY**2 for part in parts):
        return Figure(value, n=n, p=_sign_test(value, n) if tested else None)
    around = free_interval(value, parts)
    return Figure(value, float(around.lo), float(around.hi), n, float(p_value(value, parts)) if tested else None)


def _parts(by_seed: Sequence[Estimate]) -> tuple[float | None, int, list[Part]]:
    """A mean over seeds, what it rests on (clusters of the smallest stratum, or seeds), and the parts of its error."""
    value = mean(by_seed)
    if not np.isfinite(value.value):
        return None, 0, []
    if value.without:
        n, parts = value.fewest, error_parts(by_seed) if value.fewest >= FEWEST else []
    else:
        n, parts = len(by_seed), [between_seeds(values_of(by_seed))] if len(by_seed) > 1 else []
    known = all(np.isfinite(part.variance) for part in parts)
    return float(value.value), n, parts if known else []


def _sign_test(value: float, n: int) -> float:
    """p of n clusters, or seeds, that are all on one side of 0; what does not vary leaves no other test."""
    return min(1.0, 2 * 0.5**n) if abs(value) > TINY else 1.0


def corrected(rows: Mapping[str, Mapping[str, Figure]]) -> dict[str, dict[str, Figure]]:
    """The same with p corrected after Holm, over all methods and figures that are tested; controls are no tests."""
    tested = [(m, t) for m, of in rows.items() if m not in CONTROLS for t, f in of.items() if f.p is not None]
    adjusted = dict(zip(tested, holm([float(rows[m][t].p or 0.0) for m, t in tested]), strict=True)) if tested else {}
    return {m: {t: f._replace(p=adjusted.get((m, t))) for t, f in of.items()} for m, of in rows.items()}


def curve(points: Iterable[tuple[float, Sequence[Estimate]]]) -> tuple[tuple[float, Figure], ...]:
    """A line of figures, none of them tested; where nothing varies both ends of the interval are the number."""
    return tuple((at, _point(of)) for at, of in points)


def _point(by_seed: Sequence[Estimate]) -> Figure:
    figure = over_seeds(by_seed, tested=False)
    flat = figure.value is not None and figure.lo is None and bool(_parts(by_seed)[2])
    return figure._replace(lo=figure.value, hi=figure.value) if flat else figure


def weighted(estimates: Sequence[Estimate], weights: Sequence[float] | Array) -> Estimate:
    """A weighted sum, jackknifed jointly."""
    return combine(lambda *x: sum(w * v for w, v in zip(weights, x, strict=True)), *estimates)


def slope(at: Sequence[float] | Array) -> Array:
    """The weights [K] whose sum with K numbers is the slope of their least-squares line over `at`."""
    away = np.asarray(at, dtype=float) - np.mean(at)
    return np.asarray(away / max(float(away @ away), 1e-12))
