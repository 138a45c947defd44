"""A metric with each cluster left out in turn: what intervals and tests rest on.

Clusters are authors or documents; sets that hold the same ones (a document's completion and its questions) make one
*stratum* and lose a cluster together. Means, AUCs and KS distances without each cluster are a few sums; a metric of any
other form is computed anew on what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Sample
from bench.metrics._forms import Attack, Beside, Composite, Mean, RetrainTest
from bench.stats import two_sample
from bench.stats.intervals import units
from bench.stats.jackknife import Part, between_seeds, jackknife, satterthwaite

Array = np.ndarray


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


class Estimate(NamedTuple):
    """A number, the same without each cluster of each stratum that it rests on [K], and these clusters' items [K]."""

    value: float
    without: Mapping[str, Array]
    sizes: Mapping[str, Array]

    def pieces(self) -> tuple[list[Array], list[Array]]:
        """Values without each cluster and sizes, by stratum, of the clusters that have items."""
        kept = {name: self.sizes[name] > 0 for name in self.without}
        return [self.without[n][k] for n, k in kept.items()], [self.sizes[n][k] for n, k in kept.items()]

    def cluster_part(self) -> Part:
        """Variance between clusters, all strata together."""
        return satterthwaite([jackknife(*piece) for piece in zip(*self.pieces(), strict=True)])

    @property
    def fewest(self) -> int:
        """Clusters of the smallest stratum."""
        return min((int((n > 0).sum()) for n in self.sizes.values()), default=0)


def combine(function: Callable[..., Array], *estimates: Estimate) -> Estimate:
    """A function of estimates, computed jointly: all lose the same cluster. `function` maps arrays [...] to [...]."""
    strata = list(dict.fromkeys(name for estimate in estimates for name in estimate.without))

    def of(name: str) -> Array:
        parts = [e.without.get(name) for e in estimates]
        length = next(len(part) for part in parts if part is not None)
        full = [np.full(length, e.value) if part is None else part for e, part in zip(estimates, parts, strict=True)]
        return np.asarray(function(*full), dtype=float)

    sizes = {name: np.max([e.sizes[name] for e in estimates if name in e.sizes], axis=0) for name in strata}
    value = float(function(*(np.asarray(e.value, dtype=float) for e in estimates)))
    return Estimate(value, {name: of(name) for name in strata}, sizes)


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over seeds."""
    return combine(lambda *values: np.mean(values, axis=0), *estimates)


def error_parts(by_seed: Sequence[Estimate]) -> list[Part]:
    """The parts of the error of a mean over seeds: between clusters, and of several seeds between these."""
    part = mean(by_seed).cluster_part()
    return [part, between_seeds([e.value for e in by_seed])] if len(by_seed) > 1 else [part]


def joined_parts(by_seed: Sequence[Estimate]) -> list[Part]:
    """The same as one part, by Satterthwaite, from three seeds on, as in `share_interval`."""
    parts = error_parts(by_seed)
    return [satterthwaite(parts)] if len(by_seed) > 2 else parts


def estimate(
    metric: Metric, sample: Sample, retrain: Sample | None, strata: Strata, distance: bool = False
) -> Estimate:
    """A metric on 1-D columns, and without each cluster.

    Items that are unscored, in either model of a comparison, count nowhere. With `distance` a metric that is a p-value
    gives the KS distance behind it.
    """
    needs = [need for need in metric.needs if need in sample]
    sets = list(dict.fromkeys(name for name, _ in needs))
    value = float(_value(metric, sample, retrain, distance))
    without, sizes = {}, {}
    for home in dict.fromkeys(strata.of[name] for name in sets):
        count = strata.clusters[home]
        left = {name: strata.unit[name] if strata.of[name] == home else None for name in sets}
        found = _without(metric, sample, retrain, left, count, distance)
        without[home] = np.where(np.isnan(found), value, found)
        members = [name for name in sets if strata.of[name] == home]
        sizes[home] = np.sum(
            [np.bincount(strata.unit[name][_scored(name, sample)], minlength=count) for name in members], axis=0
        )
    return Estimate(value, without, sizes)


def _scored(name: str, sample: Sample) -> Array:
    """Which items of a set have any number at all: a cluster without one is no cluster of this metric."""
    return np.any([~np.isnan(values) for (of, _), values in sample.items() if of == name], axis=0)


def _value(metric: Metric, sample: Sample, retrain: Sample | None, distance: bool) -> Array:
    if isinstance(metric, Composite):
        return metric.combine({type(p): _value(p, sample, retrain, distance) for p in metric.made_of(sample)})
    if isinstance(metric, Beside):
        sides = (sample, retrain or {})
        return metric.join(*({type(p): _value(p, side, None, distance) for p in metric.made_of()} for side in sides))
    if isinstance(metric, RetrainTest) and distance:
        x, y, _ = _paired(metric, sample, retrain or {})
        return two_sample.ks_statistic(x, y)
    if isinstance(metric, RetrainTest):
        x, y, _ = _paired(metric, sample, retrain or {})
        return two_sample.ks_pvalue(x, y)
    if isinstance(metric, Attack):
        member, other = (sample[need][~np.isnan(sample[need])] for need in metric.needs)
        return metric.score(dict(zip(metric.needs, (member, other), strict=True)), None)
    return metric.score(sample, retrain)


def _without(
    metric: Metric, sample: Sample, retrain: Sample | None, unit: Mapping[str, Array | None], count: int, distance: bool
) -> Array:
    """The metric without each cluster of one stratum, [K]; `unit` is None for sets of other strata."""
    if isinstance(metric, Composite):
        made = metric.made_of(sample)
        return metric.combine({type(p): _without(p, sample, retrain, unit, count, distance) for p in made})
    if isinstance(metric, Beside):
        both = (sample, retrain or {})
        return metric.join(
            *({type(p): _without(p, side, None, unit, count, distance) for p in metric.made_of()} for side in both)
        )
    if isinstance(metric, Mean):
        return _mean(metric.value(np.asarray(sample[metric.needs[0]], dtype=float)), unit[metric.needs[0][0]], count)
    if isinstance(metric, Attack):
        member, other = metric.needs
        return _auc(sample[member], sample[other], unit[member[0]], unit[other[0]], count)
    if isinstance(metric, RetrainTest):
        return _ks(metric, sample, retrain or {}, unit[metric.needs[0][0]], count, distance)
    found = np.full(count, np.nan)
    for cluster in range(count):
        keep = {name: slice(None) if of is None else of != cluster for name, of in unit.items()}

        def side(values: Sample, keep: Mapping[str, Array | slice] = keep) -> Sample:
            return {need: values[need][keep[need[0]]] for need in metric.needs if need in values}

        left = side(sample)
        if all(len(values) for values in left.values()):
            found[cluster] = metric.score(left, None if retrain is None else side(retrain))
    return found


def _mean(values: Array, unit: Array | None, count: int) -> Array:
    scored = ~np.isnan(values)
    filled = np.where(scored, values, 0.0)
    if unit is None:
        return np.full(count, filled.sum() / scored.sum() if scored.any() else np.nan)
    total, n = np.bincount(unit, filled, minlength=count), np.bincount(unit, scored, minlength=count)
    left = scored.sum() - n
    return (filled.sum() - total) / np.where(left > 0, left, np.nan)


def _auc(member: Array, other: Array, of_member: Array | None, of_other: Array | None, count: int) -> Array:
    """Pairs won, less those of the members, of the others that are left out; plus those that were taken off twice."""
    kept, rest = ~np.isnan(member), ~np.isnan(other)
    below = (member[:, None] < other) + 0.5 * (member[:, None] == other)
    below[~kept], below[:, ~rest] = 0.0, 0.0
    won, m, n = np.full(count, below.sum()), np.full(count, float(kept.sum())), np.full(count, float(rest.sum()))
    if of_member is not None:
        won -= np.bincount(of_member, below.sum(axis=1), minlength=count)
        m -= np.bincount(of_member, kept, minlength=count)
    if of_other is not None:
        won -= np.bincount(of_other, below.sum(axis=0), minlength=count)
        n -= np.bincount(of_other, rest, minlength=count)
    if of_member is not None and of_other is not None:
        same = of_member[:, None] == of_other
        won += np.bincount(np.broadcast_to(of_other, below.shape)[same], below[same], minlength=count)
    return won / np.where(m * n > 0, m * n, np.nan)


class Gaps(NamedTuple):
    """Each cluster's share of the difference of two distribution functions, [K, T], and its number of items, [K]."""

    share: Array
    items: Array


def gaps(metric: RetrainTest, sample: Sample, retrain: Sample, strata: Strata) -> Gaps:
    """Counts behind a KS distance: column t is (items of this model - items of retrain) with a value up to the t-th."""
    x, y, both = _paired(metric, sample, retrain)
    name = metric.needs[0][0]
    return _gaps(x, y, strata.unit[name][both], strata.clusters[strata.of[name]])


def _gaps(x: Array, y: Array, unit: Array, count: int) -> Gaps:
    values = np.unique(np.concatenate([x, y]))
    signed = np.zeros((count, len(values)))
    np.add.at(signed, (unit, np.searchsorted(values, x)), 1.0)
    np.add.at(signed, (unit, np.searchsorted(values, y)), -1.0)
    return Gaps(np.cumsum(signed, axis=1), np.bincount(unit, minlength=count).astype(float))


def _paired(metric: RetrainTest, sample: Sample, retrain: Sample) -> tuple[Array, Array, Array]:
    """The column in both models, where both are scored, and where that is."""
    (need,) = metric.needs
    both = ~(np.isnan(sample[need]) | np.isnan(retrain[need]))
    return np.asarray(sample[need][both]), np.asarray(retrain[need][both]), both


def _ks(metric: RetrainTest, sample: Sample, retrain: Sample, unit: Array | None, count: int, distance: bool) -> Array:
    """KS distances without each cluster; of a p-value, that of the distance at the number of items of the whole."""
    x, y, both = _paired(metric, sample, retrain)
    if unit is None or not len(x):
        return np.full(count, np.nan)
    of = _gaps(x, y, unit[both], count)
    left = of.items.sum() - of.items
    far = np.abs(of.share.sum(axis=0) - of.share).max(axis=1) / np.where(left > 0, left, np.nan)
    if distance:
        return far
    n, known = len(x), ~np.isnan(far)
    p = np.full(count, np.nan)
    p[known] = two_sample.ks_tail(np.rint(far[known] * n * n).astype(np.int64), n, n)
    return p
