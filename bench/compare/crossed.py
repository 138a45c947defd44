"""The cells of one table, crossed: the same items for every method and seed, and one draw of them for everything.

An interval over seeds is a hierarchical bootstrap: seeds, then clusters (authors, documents), then items. Items are the
same whatever the seed, so a resample draws them once and all its seeds share the draw; all methods do too, which makes
their differences paired.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.api import Metric, Sample
from bench.compare import weighted
from bench.errors import BenchError
from bench.keys import stream
from bench.score.scoring import clusters_or_items
from bench.stats import intervals
from bench.store import files
from bench.store.record import RETRAIN, Cell

Array = np.ndarray
RESAMPLES = 1000


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
    """

    ids: Mapping[str, Sequence[str]]
    clusters: Mapping[str, Sequence[str]]
    values: Mapping[Run, Sample]
    resamples: int = RESAMPLES
    swapping: dict[str, Any] = field(default_factory=dict, repr=False)  # of the last metric that was tested
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)  # draws and distributions, each made once

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

    def sides(self, metric: Metric, run: Run) -> tuple[Sample, Sample | None]:
        """What `Metric.score` reads of a run and of the retrain model of its seed."""

        def side(values: Sample) -> Sample:
            return {need: values[need] for need in metric.needs if need in values}

        return side(self.values[run]), side(self.values[Run(RETRAIN, run.seed)]) if metric.needs_retrain else None

    def observed(self, metric: Metric, run: Run) -> float:
        """What is compared (`weighted.distance`) on the items as they are."""
        key = ("observed", type(metric), run)
        if key not in self._kept:
            whole = {
                name: weighted.Weighting(np.arange(len(ids)), np.ones((1, len(ids)))) for name, ids in self.ids.items()
            }
            self._kept[key] = float(weighted.distance(metric, *self.sides(metric, run), whole)[0])
        found: float = self._kept[key]
        return found

    def draws(self) -> weighted.Weightings:
        """How often each item is drawn in each resample; sets of the same clusters draw the same ones."""
        if "draws" not in self._kept:
            self._kept["draws"] = {name: self._draw(name) for name in self.ids}
        found: weighted.Weightings = self._kept["draws"]
        return found

    def _draw(self, name: str) -> weighted.Weighting:
        labels = self.clusters[name]
        of_clusters = stream("bootstrap clusters", 0, *sorted(set(labels)))
        drawn = intervals.draw_clusters(stream("bootstrap", 0, name), of_clusters, self.resamples, labels)
        places = drawn + np.arange(len(drawn))[:, None] * len(labels)
        times = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape)
        return weighted.Weighting(np.arange(len(labels)), times.astype(float))

    def distribution(self, metric: Metric, run: Run, distance: bool = False) -> Array:
        """The metric of one run in every resample, [resamples]; with `distance` what is compared in its place."""
        key = (type(metric), run, distance)
        if key not in self._kept:
            of = weighted.distance if distance else weighted.value
            self._kept[key] = of(metric, *self.sides(metric, run), self.draws())
        found: Array = self._kept[key]
        return found

    def seed_weights(self, seeds: Sequence[int]) -> Array:
        """The share of each seed in each resample, [resamples, seeds]; see `seed_shares`."""
        key = ("seeds", tuple(seeds))
        if key not in self._kept:
            self._kept[key] = seed_shares(stream("bootstrap seeds", *seeds), self.resamples, len(seeds))
        found: Array = self._kept[key]
        return found

    def over_seeds(self, values: Sequence[Array], seeds: Sequence[int]) -> Array:
        """Mean over drawn seeds of one distribution [resamples] a seed, [resamples].

        What the drawn seeds add to the mean of all is stretched by t / z at 97.5%, as a t-interval is wider than a
        normal one: a few seeds show less than their spread.
        """
        stacked = np.stack(values)
        if len(seeds) == 1:
            return stacked[0]
        centre = stacked.mean(axis=0)
        stretch = intervals.quantile(0.975, len(seeds) - 1) / intervals.quantile(0.975, math.inf)
        return centre + stretch * (np.einsum("rs,sr->r", self.seed_weights(seeds), stacked) - centre)


def seed_shares(rng: np.random.Generator, resamples: int, seeds: int) -> Array:
    """How much each seed counts in each resample, [resamples, seeds]; rows sum to 1.

    Of S seeds S - 1 are drawn with replacement, which gives the mean over seeds the unbiased variance s^2 / S; drawing
    all S would give (S - 1) / S of it, a third too little with three seeds (McCarthy & Snowden 1985).
    """
    if seeds == 1:
        return np.ones((resamples, 1))
    drawn = rng.integers(seeds, size=(resamples, seeds - 1))
    return (drawn[:, :, None] == np.arange(seeds)).mean(axis=1)


def load(results: Path, cells: Iterable[Cell]) -> Loaded:
    """Read the item tables of one table's cells; those of other items than the first one's are broken.

    Pass the cell that others are compared with first.
    """
    ids: dict[str, list[str]] = {}
    clusters: dict[str, list[str]] = {}
    values: dict[Run, Sample] = {}
    broken: dict[Cell, str] = {}
    for cell in cells:
        try:
            table = files.items(results, cell)
        except BenchError as error:
            broken[cell] = str(error)
            continue
        columns = {name: table[name].to_numpy() for name in table.columns}
        order = np.lexsort((columns["id"].astype(str), columns["set"].astype(str)))
        names, starts = np.unique(columns["set"].astype(str)[order], return_index=True)
        parts = dict(zip(map(str, names), np.split(order, starts[1:]), strict=True))
        own = {name: columns["id"][part].tolist() for name, part in parts.items()}
        if not ids:
            ids = own
            clusters = {name: clusters_or_items(columns["cluster"][part]) for name, part in parts.items()}
        if own != ids:
            odd = next(name for name in {**ids, **own} if ids.get(name) != own.get(name))
            broken[cell] = f"measured on other items of the {odd} set than the rest of the table"
            continue
        numbers = [name for name in columns if name not in ("set", "id", "cluster")]
        values[Run(cell.method, cell.seed)] = {
            (name, column): columns[column][part].astype(float) for name, part in parts.items() for column in numbers
        }
    return Loaded(Crossed(ids, clusters, values), broken)
