"""The few shapes that metrics have: a mean over items, an attack's AUC, a harmonic mean of other metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from bench.api import Goal, Rows, Sample
from bench.metrics._compat import Compat
from bench.metrics._items import Items
from bench.stats import roc, two_sample

Array = np.ndarray
Needs = tuple[tuple[str, str], ...]


def mean(values: Array, compat: Compat = "") -> Array:
    """Mean over the last axis of what is scored; NaN where nothing is. Under `compat` one NaN makes all of it NaN."""
    if compat:
        return np.mean(values, axis=-1)
    scored = ~np.isnan(values)
    count = scored.sum(axis=-1)
    return np.where(scored, values, 0.0).sum(axis=-1) / np.where(count, count, np.nan)


def harmonic_mean(parts: Sequence[Array]) -> Array:
    """Harmonic mean of k numbers [...] in [0, 1]; one that is 0 makes it 0, NaN makes it NaN."""
    stacked = np.stack(np.broadcast_arrays(*parts))
    with np.errstate(divide="ignore"):
        return len(parts) / np.sum(1 / np.maximum(stacked, 0.0), axis=0)


@dataclass(frozen=True)
class Form:
    """What all metrics share. `needs` names the columns of `Items` that `score` reads."""

    compat: Compat = ""

    version: ClassVar[int] = 1
    goal: ClassVar[Goal] = "maximise"
    title: ClassVar[str]
    needs: ClassVar[Needs]
    needs_retrain: ClassVar[bool] = False
    scale: ClassVar[Literal["share", "free"]] = "share"  # in [0, 1], or without bounds: where its interval is made
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)  # of what is no share, which no interval leaves
    may_lack: ClassVar[tuple[str, ...]] = ()  # sets that are left out where a task, a part of a benchmark, has none

    def items(self, rows: Rows) -> Mapping[str, pd.Series]:
        """The needed columns, by (set, id)."""
        measured = Items.of(rows, self.compat)
        return {column: getattr(measured, column) for _, column in self.needs}

    def score(self, sample: Sample, retrain: Sample | None) -> Array:
        """Reduce the last axis; see `bench.api.Metric`."""
        raise NotImplementedError


class Mean(Form):
    """Mean over the items of one set of `value` of one column."""

    def value(self, x: Array) -> Array:
        """Item value of a column's value."""
        return x

    def score(self, sample: Sample, retrain: Sample | None) -> Array:
        """Mean over what is scored."""
        return mean(self.value(sample[self.needs[0]]), self.compat)


class Probability(Mean):
    """Mean of exp(-loss), the length-normalised probability P(a|q)^(1/|a|)."""

    def value(self, x: Array) -> Array:
        return np.exp(-x)


class TrueBetter(Mean):
    """Mean of max(0, 1 - R) of the truth ratio R: 1 where the model gives the false options no weight."""

    def value(self, x: Array) -> Array:
        return np.maximum(0.0, -np.expm1(np.minimum(x, 1.0)))


class Composite(Form):
    """A function of other metrics."""

    parts: ClassVar[tuple[type[Form], ...]]

    def made_of(self, sample: Sample) -> list[Form]:
        """The metrics that it is computed from."""
        return [part(self.compat) for part in self.parts]

    def combine(self, values: Mapping[type[Form], Array]) -> Array:
        """From the values [...] of the parts to its own."""
        raise NotImplementedError

    def score(self, sample: Sample, retrain: Sample | None) -> Array:
        """What `combine` makes of the parts."""
        return self.combine({type(part): part.score(sample, retrain) for part in self.made_of(sample)})


class Beside(Form):
    """A function of other metrics of this model and of the same metrics of the retrain model."""

    needs_retrain: ClassVar[bool] = True
    parts: ClassVar[tuple[type[Form], ...]]

    def made_of(self) -> list[Form]:
        """The metrics that it is computed from."""
        return [part(self.compat) for part in self.parts]

    def join(self, own: Mapping[type[Form], Array], retrain: Mapping[type[Form], Array]) -> Array:
        """From the values [...] of the parts in both models to its own."""
        raise NotImplementedError

    def score(self, sample: Sample, retrain: Sample | None) -> Array:
        """What `join` makes of the parts."""
        sides = (sample, retrain or {})
        return self.join(*({type(part): part.score(side, None) for part in self.made_of()} for side in sides))


class LessRetrain(Beside):
    """A mean less the retrain model's of the same; `parts` is that mean."""

    goal: ClassVar[Goal] = "match"
    scale: ClassVar[Literal["share", "free"]] = "free"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def join(self, own: Mapping[type[Form], Array], retrain: Mapping[type[Form], Array]) -> Array:
        """In [-1, 1]."""
        (part,) = self.parts
        return own[part] - retrain[part]


class Harmonic(Composite):
    """Harmonic mean of other metrics, each over what is scored for it; those in `inverted` count as 1 - value."""

    inverted: ClassVar[tuple[type[Mean], ...]] = ()

    def made_of(self, sample: Sample) -> list[Form]:
        """Those whose set the sample has."""
        return [part(self.compat) for part in (*self.parts, *self.inverted) if part.needs[0] in sample]

    def combine(self, values: Mapping[type[Form], Array]) -> Array:
        """In [0, 1]; 0 where a part is."""
        return harmonic_mean([1 - value if part in self.inverted else value for part, value in values.items()])


class Average(Composite):
    """Mean of other metrics, each over what is scored for it."""

    def made_of(self, sample: Sample) -> list[Form]:
        """Those whose set the sample has."""
        return [part(self.compat) for part in self.parts if part.needs[0] in sample]

    def combine(self, values: Mapping[type[Form], Array]) -> Array:
        """In the range of the parts; NaN where one is."""
        return np.mean(np.stack(np.broadcast_arrays(*values.values())), axis=0)


class AttackScore(Composite):
    """1 - 2 |AUC - 1/2| of one attack: 1 where it learns nothing, 0 where it is always right or always wrong."""

    def combine(self, values: Mapping[type[Form], Array]) -> Array:
        """In [0, 1]."""
        (auc,) = values.values()
        return 1 - 2 * np.abs(auc - 0.5)


class RetrainTest(Form):
    """p-value of a two-sided KS test between a column of this model and of the retrain model.

    A p-value is no distance, and its mean over seeds is nothing: where models are compared or seeds are averaged its
    logarithm or the KS statistic takes its place.
    """

    needs_retrain: ClassVar[bool] = True

    def score(self, sample: Sample, retrain: Sample | None) -> Array:
        """1 is indistinguishable from never having seen the forget set."""
        (need,) = self.needs
        return two_sample.ks_pvalue(sample[need], (retrain or {})[need])


class Attack(Form):
    """AUC of telling forget items from unseen ones by one column; 1 = the forget set shows, 0.5 = nothing does."""

    goal: ClassVar[Goal] = "match"

    def score(self, sample: Sample, retrain: Sample | None) -> Array:
        """P(a forget item's column < an unseen item's), ties counted half."""
        member, other = (sample[need] for need in self.needs)
        return roc.auc(member, other)
