"""Metrics of weighted items: one value for each of R weightings of the same items, without drawing them out.

A bootstrap resample weights an item by how often it was drawn; a permutation weights the items of both methods by 0 and
1. Means, AUCs and KS distances of all R weightings are then a few matrix products; a metric of any other form is
computed on the drawn items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.api import Metric, Sample
from bench.metrics._forms import Attack, Composite, Mean, RetrainTest
from bench.stats import two_sample

Array = np.ndarray
_CHUNK = 2_000_000  # drawn items of a temporary


@dataclass(frozen=True)
class Weighting:
    """R weightings of n items that are weighted by the unit that they belong to.

    Attributes:
        unit: the unit of each item, int [n].
        factors: the weight of each unit in each weighting, float [R, U].
        swaps: units are pairs: unit k weighs 1 - factor k and unit U + k weighs factor k. What a permutation test makes
            of two methods' items, without a matrix of twice the size.
    """

    unit: Array
    factors: Array
    swaps: bool = False

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.factors.shape[1] * (2 if self.swaps else 1)

    @property
    def weights(self) -> Array:
        """The weight of each unit in each weighting, [R, units]."""
        return np.concatenate([1 - self.factors, self.factors], axis=1) if self.swaps else self.factors

    def by_unit(self, values: Array) -> Array:
        """Sums [units, ...] over the items of each unit of values [n, ...]."""
        if self._is_own:
            return values
        order, filled, starts = self._order
        sums = np.zeros((self.units, *values.shape[1:]))
        sums[filled] = np.add.reduceat(values[order], starts, axis=0)
        return sums

    @cached_property
    def _is_own(self) -> bool:
        return np.array_equal(self.unit, np.arange(self.units))

    @cached_property
    def _order(self) -> tuple[Array, Array, Array]:
        """Items sorted by unit, the units that have items, and where each of these starts."""
        order = np.argsort(self.unit, kind="stable")
        return order, *np.unique(self.unit[order], return_index=True)

    def apply(self, sums: Array) -> Array:
        """Weighted sums [R, ...] of sums over units [units, ...]."""
        if not self.swaps:
            return self.factors @ sums
        half = self.factors.shape[1]
        one, other = sums[:half], sums[half:]
        change, base = other - one, one.sum(axis=0)
        if not change.any():
            return np.broadcast_to(base, (len(self.factors), *base.shape))
        return base + self.factors @ change

    def total(self, values: Array) -> Array:
        """Weighted sums [R, ...] of values [n, ...]."""
        return self.apply(self.by_unit(np.asarray(values, dtype=float)))

    def rows(self, start: int, stop: int) -> Weighting:
        """Some of the weightings."""
        return Weighting(self.unit, self.factors[start:stop], self.swaps)


Weightings = Mapping[str, Weighting]
"""One weighting of the items of each set; all have the same R."""


def value(metric: Metric, sample: Sample, retrain: Sample | None, weights: Weightings) -> Array:
    """The metric in each weighting, [R]; NaN where it is undefined. `sample` and `retrain` hold 1-D columns.

    An unscored item weighs nothing, and neither does one that is unscored in the other model of a comparison.
    """
    if isinstance(metric, Composite):
        return metric.combine({type(p): value(p, sample, retrain, weights) for p in metric.made_of(sample)})
    if isinstance(metric, Mean):
        need = metric.needs[0]
        values = metric.value(np.asarray(sample[need], dtype=float))
        return _mean(values, weights[need[0]])
    if isinstance(metric, Attack):
        member, other = metric.needs
        return _auc(sample[member], sample[other], weights[member[0]], weights[other[0]])
    if isinstance(metric, RetrainTest):
        distances, n = _distance(metric, sample, retrain or {}, weights)
        known = ~np.isnan(distances)
        p = np.full(distances.shape, np.nan)
        p[known] = two_sample.ks_tail(np.rint(distances[known] * n * n).astype(np.int64), n, n)
        return p
    return _drawn(metric, sample, retrain, weights)


def distance(metric: Metric, sample: Sample, retrain: Sample | None, weights: Weightings) -> Array:
    """What is compared: the KS statistic of a metric that is its p-value, the value of any other, [R]."""
    if isinstance(metric, RetrainTest):
        return _distance(metric, sample, retrain or {}, weights)[0]
    return value(metric, sample, retrain, weights)


def _mean(values: Array, weights: Weighting) -> Array:
    scored = ~np.isnan(values)
    count = weights.total(scored)
    return weights.total(np.where(scored, values, 0.0)) / np.where(count > 0, count, np.nan)


def _auc(member: Array, other: Array, of_member: Weighting, of_other: Weighting) -> Array:
    kept, rest = ~np.isnan(member), ~np.isnan(other)
    below = (member[:, None] < other) + 0.5 * (member[:, None] == other)
    below[~kept], below[:, ~rest] = 0.0, 0.0
    won = of_member.apply(of_other.by_unit(of_member.by_unit(below).T).T)  # [R, units of the other side]
    pairs = of_member.total(kept) * of_other.total(rest)
    return np.einsum("ru,ru->r", won, of_other.weights) / np.where(pairs > 0, pairs, np.nan)


def _distance(metric: RetrainTest, sample: Sample, retrain: Sample, weights: Weightings) -> tuple[Array, int]:
    """KS statistics [R], and how many items are scored in both models; one walk along all values, R at a time."""
    (need,) = metric.needs
    x, y, weight = sample[need], retrain[need], weights[need[0]]
    both = ~(np.isnan(x) | np.isnan(y))
    values = np.concatenate([x[both], y[both]])
    order = np.argsort(values, kind="stable")
    own = order < both.sum()
    last = np.append(np.diff(values[order]) > 0, True)  # of equal values: only there is F_x - F_y known
    factors = np.ascontiguousarray(weight.factors.T, dtype=np.float32)  # counts, which float32 holds
    gap, above, below = np.zeros((3, factors.shape[1]), dtype=np.float32)
    for unit, is_own, is_last in zip(np.tile(weight.unit[both], 2)[order], own, last, strict=True):
        times = factors[unit % len(factors)]
        if weight.swaps and unit < len(factors):
            times = 1 - times
        (np.add if is_own else np.subtract)(gap, times, out=gap)
        if is_last:
            np.maximum(above, gap, out=above)
            np.minimum(below, gap, out=below)
    count = weight.total(both)
    largest = np.maximum(above, -below) / np.where(count > 0, count, np.nan)
    return largest, int(both.sum()) // (2 if weight.swaps else 1)


def _drawn(metric: Metric, sample: Sample, retrain: Sample | None, weights: Weightings) -> Array:
    """Any metric, on the items themselves; each weighting must draw the same number of each set."""
    needs = [need for need in metric.needs if need in sample]
    length = sum(len(sample[need]) for need in needs)
    count = len(next(iter(weights.values())).factors)
    chunk, found = max(1, _CHUNK // max(1, length)), []
    for start in range(0, count, chunk):
        drawn = {name: _items(weights[name].rows(start, start + chunk)) for name in {name for name, _ in needs}}

        def pick(side: Sample, drawn: Mapping[str, Array] = drawn) -> Sample:
            return {(name, column): side[name, column][drawn[name]] for name, column in needs}

        values = metric.score(pick(sample), None if retrain is None else pick(retrain))
        found.append(np.broadcast_to(values, (min(chunk, count - start),)))
    return np.concatenate(found)


def _items(weights: Weighting) -> Array:
    """The items that are drawn in each weighting, [R, n]."""
    times = weights.weights[:, weights.unit].astype(np.int64)
    everything = np.tile(np.arange(times.shape[1]), len(times))
    return np.repeat(everything, times.ravel()).reshape(len(times), -1)
