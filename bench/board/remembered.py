"""Which items a memorisation metric calls remembered, and how many of each author's.

A memorisation metric is a mean of item values that fall as the forget set is erased. How high a value is without having
seen the item is what the retrain model shows: an item counts as remembered by a model where its value is above the 95%
quantile of the retrain model of the same seed, taken over the items of the same set (the smallest of its values that
95% of them do not exceed). So at most 5% of the items of the retrain model itself are, and fewer where values are tied;
of the target as many more as the metric can tell the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.api import Metric, Sample
from bench.board.items import Array, leaves
from bench.compare.analysis import Table
from bench.compare.crossed import Crossed, Run
from bench.metrics._forms import Average, Mean
from bench.score.scoring import find
from bench.store.record import RETRAIN, TARGET

QUANTILE = 0.95


class Threshold(NamedTuple):
    """What a value of one column must exceed for its item to count as remembered."""

    metric: Mean
    above: float  # in units of the metric's item value

    @property
    def set(self) -> str:
        """The set whose items it is for."""
        return self.metric.needs[0][0]

    def remembered(self, sample: Sample) -> Array:
        """Of each item of the set 1.0 or 0.0, NaN where it is not scored, [n]."""
        values = self.metric.value(sample[self.metric.needs[0]])
        return np.where(np.isnan(values), np.nan, values > self.above)

    def flags(self, sample: Sample) -> str:
        """The same as a character an item: 1, 0 or -."""
        found = self.remembered(sample)
        signs = np.where(np.isnan(found), ord("-"), ord("0") + np.nan_to_num(found))
        return signs.astype(np.uint8).tobytes().decode("ascii")


Thresholds = Mapping[str, tuple[Threshold, ...]]
"""Of one seed, by memorisation metric; of a mean over several sets one for each."""


class Shares(NamedTuple):
    """Shares of the items that each metric calls remembered by one method.

    Attributes:
        rows: a line an author and metric with method, metric, author, share, items and seeds; the author "" is all of
            them. Shares are of the author's scored items, then means over seeds.
        silent: metrics without rows, and why.
    """

    rows: list[dict[str, Any]]
    silent: dict[str, str]


def remembered(crossed: Crossed, table: Table, seed: int) -> Thresholds:
    """The thresholds of one seed, by memorisation metric; of a mean over several sets one for each.

    Metrics that are no mean of item values (an attack's AUC) have none, nor has any without a retrain model.
    """
    retrain = crossed.values.get(Run(RETRAIN, seed))
    if retrain is None:
        return {}
    found = {}
    for name in table.memorisation:
        parts = [part for part in _means(find(name), retrain) if part.needs[0] in retrain]
        values = [part.value(retrain[part.needs[0]]) for part in parts]
        made = [
            Threshold(part, float(np.nanquantile(of, QUANTILE, method="inverted_cdf")))
            for part, of in zip(parts, values, strict=True)
            if not np.isnan(of).all()
        ]
        if made:
            found[name] = tuple(made)
    return found


def shares(crossed: Crossed, table: Table, method: str, known: Mapping[int, Thresholds] | None = None) -> Shares:
    """What each memorisation metric calls remembered by a method, by author and overall, over the seeds of its row.

    A metric says nothing where it is no mean of item values, where no retrain model is there, and where it cannot tell:
    where it calls no more items of the target remembered than of the retrain model (a constant column, or one in which
    most values are tied at the top).

    Args:
        known: `remembered` of every seed, where it is at hand.
    """
    row = next((row for row in (*table.rows, *table.variants) if row.method == method), None)
    own = row.seeds if row else crossed.seeds(method)
    thresholds = {seed: remembered(crossed, table, seed) for seed in own} if known is None else known
    marks = {seed: thresholds[seed] for seed in own if thresholds.get(seed) and Run(method, seed) in crossed.values}
    found = Shares([], {})
    for name in table.memorisation:
        seeds = [seed for seed in marks if name in marks[seed]]
        if not seeds:
            found.silent[name] = _why_none(name, crossed)
        elif why := _cannot_tell(name, crossed, {seed: marks[seed][name] for seed in seeds}):
            found.silent[name] = why
        else:
            found.rows.extend(_rows(name, method, crossed, {seed: marks[seed][name] for seed in seeds}))
    return found


def _means(metric: Metric | None, sample: Sample) -> Iterator[Mean]:
    """The means of single columns that a metric is the mean of; none where it is anything else."""
    if isinstance(metric, Mean | Average):
        yield from (part for part in leaves(metric, sample) if isinstance(part, Mean))


def _why_none(name: str, crossed: Crossed) -> str:
    if not isinstance(find(name), Mean | Average):
        return "it is no mean over items"
    if not crossed.seeds(RETRAIN):
        return "there is no retrain model to say what is remembered"
    return "no item is scored"


def _cannot_tell(name: str, crossed: Crossed, marks: Mapping[int, Sequence[Threshold]]) -> str:
    seeds = {seed: of for seed, of in marks.items() if Run(TARGET, seed) in crossed.values}
    if not seeds:
        return ""
    target, retrain = (_overall(crossed, control, seeds) for control in (TARGET, RETRAIN))
    if target > retrain:
        return ""
    return f"it cannot tell: {target:.0%} of the target's items are above what {retrain:.0%} of the retrain model's are"


def _overall(crossed: Crossed, method: str, marks: Mapping[int, Sequence[Threshold]]) -> float:
    by_seed = [_flags(crossed, Run(method, seed), of) for seed, of in marks.items()]
    return float(np.mean([np.nanmean(flags) if not np.isnan(flags).all() else np.nan for flags in by_seed]))


def _flags(crossed: Crossed, run: Run, of: Sequence[Threshold]) -> Array:
    """Of every item of every set of a metric, one set after the other."""
    return np.concatenate([threshold.remembered(crossed.values[run]) for threshold in of])


def _rows(
    name: str, method: str, crossed: Crossed, marks: Mapping[int, Sequence[Threshold]]
) -> Iterator[dict[str, Any]]:
    first = next(iter(marks.values()))
    labels = [label for threshold in first for label in crossed.clusters[threshold.set]]
    authors, unit = np.unique(np.array(labels, dtype=str), return_inverse=True)
    flags = np.stack([_flags(crossed, Run(method, seed), of) for seed, of in marks.items()])
    scored = ~np.isnan(flags)
    line = {"method": method, "metric": name, "seeds": len(marks)}

    def row(author: str, here: Array) -> dict[str, Any]:
        counts = scored[:, here].sum(axis=1)
        if not counts.all():
            return {**line, "author": author, "share": None, "items": int(counts.min())}
        share = np.nansum(flags[:, here], axis=1) / counts
        return {**line, "author": author, "share": round(float(share.mean()), 4), "items": int(counts.min())}

    yield row("", np.arange(len(labels)))
    order = np.split(np.argsort(unit, kind="stable"), np.cumsum(np.bincount(unit))[:-1])
    yield from (row(str(author), here) for author, here in zip(authors, order, strict=True))
