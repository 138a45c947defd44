"""A metric with each cluster left out in turn: what intervals and tests rest on.

Clusters are authors or documents; sets that hold the same ones (a document's completion and its questions) make one
*stratum* and lose a cluster together. Means, AUCs and KS distances without each cluster are a few sums; a metric of any
other form is computed anew on what is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Sample
from bench.metrics._forms import Attack, Beside, Composite, Mean, RetrainTest
from bench.score.estimates import Estimate
from bench.stats import two_sample
from bench.stats.intervals import units

Array = np.ndarray
_AT_ONCE = 1 << 20  # numbers that a step over several models holds


@dataclass(frozen=True)
class Strata:
    """Which cluster every item belongs to.

    Attributes:
        unit: of each set, the number of each item's cluster within its stratum, int [n].
        of: the stratum of each set. clusters: how many clusters each stratum has.
    """

    unit: Mapping[str, Array]
    of: Mapping[str, str]
    clusters: Mapping[str, int]

    @classmethod
    def build(cls, labels: Mapping[str, Sequence[str]]) -> Strata:
        """From the label of each item's cluster, by set; sets that share a label fall into one stratum."""
        stratum: dict[str, str] = {}
        for name in labels:
            shared = [other for other in stratum if not set(labels[name]).isdisjoint(labels[other])]
            home = stratum[shared[0]] if shared else name
            joined = {stratum[other] for other in shared}
            stratum = {other: home if place in joined else place for other, place in stratum.items()} | {name: home}
        unit: dict[str, Array] = {}
        clusters = {}
        for home in dict.fromkeys(stratum.values()):
            members = [name for name in labels if stratum[name] == home]
            numbers = units([label for name in members for label in labels[name]])
            clusters[home] = int(numbers.max()) + 1 if len(numbers) else 0
            ends = np.cumsum([len(labels[name]) for name in members])[:-1]
            unit.update(zip(members, np.split(numbers, ends), strict=True))
        return cls(unit, stratum, clusters)


@dataclass(frozen=True)
class Stacked:
    """The columns of R models on the same items, all of them at once; leaving out a cluster costs one pass for all.

    Attributes:
        columns: by (set, column), [R, n]; NaN where a model lacks it.
    """

    columns: Mapping[tuple[str, str], Array]
    strata: Strata
    _kept: dict[tuple[object, ...], Array] = field(default_factory=dict, repr=False)

    def whole(self, part: Mean | Attack) -> Array:
        """A mean or an AUC of every model, [R]; metrics share them as parts."""
        if isinstance(part, Attack):
            return self.without(part, "")[:, 0]
        key = (type(part), part.compat)
        if key not in self._kept:
            self._kept[key] = part.score(self.sample(part), None)
        return self._kept[key]

    def without(self, part: Mean | Attack, home: str) -> Array:
        """The same without each cluster of a stratum, [R, K]; of the stratum "", which is none, the whole, [R, 1]."""
        key = (type(part), part.compat, home)
        if key not in self._kept:
            (x, of_x), *others = [(self.columns[need], self.unit(need[0], home)) for need in part.needs]
            count = self.strata.clusters.get(home, 1)
            if isinstance(part, Mean):
                self._kept[key] = _mean(part.value(x), of_x, count)
            else:
                self._kept[key] = _auc(x, of_x, *others[0], count)
        return self._kept[key]

    def unit(self, name: str, home: str) -> Array | None:
        """The cluster of each item of a set, None if the set is of another stratum."""
        return self.strata.unit[name] if self.strata.of[name] == home else None

    def sample(self, metric: Metric, rows: Array | slice = slice(None)) -> Sample:
        """What a metric reads of some of the models, or of all, [r, n]."""
        return {need: self.columns[need][rows] for need in metric.needs if need in self.columns}


def estimate(
    metric: Metric, sample: Sample, retrain: Sample | None, strata: Strata, distance: bool = False
) -> Estimate:
    """A metric on 1-D columns, and without each cluster; with `distance` of a p-value the KS distance behind it."""
    if distance and isinstance(metric, RetrainTest):
        return distances(metric, sample, retrain or {}, strata).estimate
    sides = [side for side in (sample, retrain) if side is not None]
    columns = {n: np.stack([side[n] for side in sides]).astype(float) for n in metric.needs if n in sample}
    return estimates(metric, Stacked(columns, strata), np.array([0]), np.array([1]))[0]


def estimates(metric: Metric, models: Stacked, rows: Array, retrains: Array) -> list[Estimate]:
    """A metric of some of the models, and without each cluster.

    Items that are unscored, in either model of a comparison, count nowhere.

    Args:
        rows: which models, [r]. retrains: what each of them is compared with, [r], if the metric compares.
    """
    sets = list(dict.fromkeys(name for name, column in metric.needs if (name, column) in models.columns))
    own = models.sample(metric, rows)
    value = np.asarray(_value(metric, models, rows, retrains), dtype=float)
    without, sizes = {}, {}
    for home in dict.fromkeys(models.strata.of[name] for name in sets):
        found = _without(metric, models, rows, retrains, home)
        without[home] = np.where(np.isnan(found), value[:, None], found)
        members = [name for name in sets if models.strata.of[name] == home]
        count = models.strata.clusters[home]
        sizes[home] = np.sum([_counted(_scored(name, own), models.strata.unit[name], count) for name in members], 0)
    return [
        Estimate(v, {home: of[i] for home, of in without.items()}, {home: of[i] for home, of in sizes.items()})
        for i, v in enumerate(value.tolist())
    ]


def _scored(name: str, sample: Sample) -> Array:
    """Which items of a set have any number at all: a cluster without one is no cluster of this metric."""
    return np.any([~np.isnan(values) for (of, _), values in sample.items() if of == name], axis=0)


def _counted(flags: Array, unit: Array, count: int) -> Array:
    """How many flags are set in each cluster, [R, K]."""
    every = unit + count * np.arange(len(flags))[:, None]
    return np.bincount(every[flags], minlength=flags.shape[0] * count).reshape(-1, count)


def _summed(values: Array, unit: Array, count: int) -> Array:
    """The sum of each cluster's values, [R, K], added up in the order of the items."""
    every = unit + count * np.arange(len(values))[:, None]
    return np.bincount(every.ravel(), values.ravel(), minlength=len(values) * count).reshape(-1, count)


def _value(metric: Metric, models: Stacked, rows: Array, retrains: Array) -> Array:
    """The metric of each model, [r]."""
    if isinstance(metric, Composite):
        made = metric.made_of(models.columns)
        return metric.combine({type(p): _value(p, models, rows, retrains) for p in made})
    if isinstance(metric, Beside):
        return metric.join(
            *({type(p): _value(p, models, side, side) for p in metric.made_of()} for side in (rows, retrains))
        )
    if isinstance(metric, RetrainTest):
        return np.array([two_sample.ks_pvalue(x, y) for x, y, _ in _pairs(metric, models, rows, retrains)])
    if isinstance(metric, Mean | Attack):
        return models.whole(metric)[rows]
    return metric.score(models.sample(metric, rows), models.sample(metric, retrains) if metric.needs_retrain else None)


def _without(metric: Metric, models: Stacked, rows: Array, retrains: Array, home: str) -> Array:
    """The metric of each model without each cluster of one stratum, [r, K]."""
    if isinstance(metric, Composite):
        made = metric.made_of(models.columns)
        return metric.combine({type(p): _without(p, models, rows, retrains, home) for p in made})
    if isinstance(metric, Beside):
        return metric.join(
            *({type(p): _without(p, models, side, side, home) for p in metric.made_of()} for side in (rows, retrains))
        )
    if isinstance(metric, RetrainTest):
        unit, count = models.strata.unit[metric.needs[0][0]], models.strata.clusters[home]
        return np.stack([_ks_tails(*pair, unit, count) for pair in _pairs(metric, models, rows, retrains)])
    if isinstance(metric, Mean | Attack):
        return models.without(metric, home)[rows]
    return _anew(metric, models, rows, retrains, home)


def _anew(metric: Metric, models: Stacked, rows: Array, retrains: Array, home: str) -> Array:
    """A metric of no form that is known here, computed on what is left without each cluster, [r, K]."""
    own = models.sample(metric, rows)
    retrain = models.sample(metric, retrains) if metric.needs_retrain else None
    found = np.full((len(rows), models.strata.clusters[home]), np.nan)
    for cluster in range(found.shape[1]):
        left = {name: of != cluster for name, _ in own if (of := models.unit(name, home)) is not None}

        def side(values: Sample, left: Mapping[str, Array] = left) -> Sample:
            return {need: np.compress(left[need[0]], of, axis=-1) if need[0] in left else of
                    for need, of in values.items()}  # fmt: skip

        kept = side(own)
        if all(of.shape[-1] for of in kept.values()):
            found[:, cluster] = metric.score(kept, None if retrain is None else side(retrain))
    return found


def _mean(values: Array, unit: Array | None, count: int) -> Array:
    """Means of each row without each cluster, [R, K]."""
    scored = ~np.isnan(values)
    filled = np.where(scored, values, 0.0)
    total, n = filled.sum(axis=-1)[:, None], scored.sum(axis=-1)[:, None]
    if unit is None:
        return np.repeat(total / np.where(n > 0, n, np.nan), count, axis=1)
    left = n - _counted(scored, unit, count)
    return (total - _summed(filled, unit, count)) / np.where(left > 0, left, np.nan)


def _auc(x: Array, of_x: Array | None, y: Array, of_y: Array | None, count: int) -> Array:
    """AUCs of members `x` and others `y` of each row without each cluster, [R, K].

    Pairs won, less those of the members, of the others that are left out; plus those that were taken off twice.
    """
    found = np.empty((len(x), count))
    for rows in _chunks(len(x), x.shape[-1] * y.shape[-1]):
        below = (x[rows, :, None] < y[rows, None]) + 0.5 * (x[rows, :, None] == y[rows, None])  # 0 of a NaN
        kept, rest = ~np.isnan(x[rows]), ~np.isnan(y[rows])
        won = np.repeat(below.sum(axis=(1, 2))[:, None], count, axis=1)
        m, n = (np.repeat(np.sum(scored, axis=1, dtype=float)[:, None], count, axis=1) for scored in (kept, rest))
        if of_x is not None:
            won -= _summed(below.sum(axis=2), of_x, count)
            m -= _counted(kept, of_x, count)
        if of_y is not None:
            won -= _summed(below.sum(axis=1), of_y, count)
            n -= _counted(rest, of_y, count)
        if of_x is not None and of_y is not None:
            at, to = np.nonzero(of_x[:, None] == of_y)
            won += _summed(below[:, at, to], of_y[to], count)
        found[rows] = won / np.where(m * n > 0, m * n, np.nan)
    return found


def _chunks(rows: int, each: int) -> Iterator[slice]:
    """Rows in groups that together have at most `_AT_ONCE` numbers, or are one."""
    size = max(1, _AT_ONCE // max(1, each))
    return (slice(start, start + size) for start in range(0, rows, size))


class Gaps(NamedTuple):
    """Each cluster's share of the difference of two distribution functions, whole numbers [K, T], and its number of
    items, [K]."""

    share: Array
    items: Array

    def without(self) -> Array:
        """The KS distance without each cluster, [K]."""
        left = self.items.sum() - self.items
        apart = self.share.sum(axis=0) - self.share
        return np.asarray(np.abs(apart, out=apart).max(axis=1, initial=0) / np.where(left > 0, left, np.nan))


class Distance(NamedTuple):
    """A KS distance to a retrain model, and what is behind it."""

    estimate: Estimate
    gaps: Gaps


def distances(metric: RetrainTest, sample: Sample, retrain: Sample, strata: Strata) -> Distance:
    """The distance behind a p-value of two models, 1-D columns, and without each cluster."""
    (need,) = metric.needs
    home, counted = strata.of[need[0]], gaps(metric, sample, retrain, strata)
    n, left = float(counted.items.sum()), counted.without()
    value = float(np.abs(counted.share.sum(axis=0)).max()) / n if n else math.nan
    sizes = np.bincount(strata.unit[need[0]][~np.isnan(sample[need])], minlength=strata.clusters[home])
    return Distance(Estimate(value, {home: np.where(np.isnan(left), value, left)}, {home: sizes}), counted)


def gaps(metric: RetrainTest, sample: Sample, retrain: Sample, strata: Strata) -> Gaps:
    """Counts behind a KS distance: column t is (items of this model - items of retrain) with a value up to the t-th."""
    (need,) = metric.needs
    x, y, both = _paired(sample[need], retrain[need])
    return _gaps(x, y, strata.unit[need[0]][both], strata.clusters[strata.of[need[0]]])


def _gaps(x: Array, y: Array, unit: Array, count: int) -> Gaps:
    values, place = np.unique(np.concatenate([x, y]), return_inverse=True)
    signs = np.repeat([1.0, -1.0], len(x))
    signed = np.bincount(np.tile(unit, 2) * len(values) + place, signs, minlength=count * len(values))
    share = signed.reshape(count, len(values)).astype(np.float32)
    return Gaps(np.cumsum(share, axis=1, out=share), np.bincount(unit, minlength=count).astype(float))


def _paired(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """A column in two models, where both are scored, and where that is."""
    both = ~(np.isnan(x) | np.isnan(y))
    return np.asarray(x[both]), np.asarray(y[both]), both


def _pairs(metric: RetrainTest, models: Stacked, rows: Array, retrains: Array) -> Iterator[tuple[Array, Array, Array]]:
    """`_paired` of each model and what it is compared with."""
    column = models.columns[metric.needs[0]]
    return (_paired(column[own], column[other]) for own, other in zip(rows, retrains, strict=True))


def _ks_tails(x: Array, y: Array, both: Array, unit: Array, count: int) -> Array:
    """The p-value of the distance without each cluster, read at the number of items of the whole, [K]."""
    n, far = len(x), _gaps(x, y, unit[both], count).without()
    known = ~np.isnan(far)
    p = np.full(count, np.nan)
    p[known] = two_sample.ks_tail(np.rint(far[known] * n * n), n, n)
    return p
