"""Means over items that lie in clusters, of which every seed scores some; of several rows of numbers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.api import Score
from bench.score.estimates import Estimate, error_parts, mean
from bench.stats.jackknife import FEWEST, free_interval

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Scored:
    """Which items each seed scores.

    Attributes:
        groups: the number of each item's cluster [N]. items: whether a seed scores it [S, N], one of them at least.
    """

    groups: Array
    items: Array

    @cached_property
    def _members(self) -> Array:
        """[N, K], 1 where an item is of a cluster."""
        return np.eye(int(self.groups.max()) + 1)[self.groups]

    @property
    def same(self) -> tuple[bytes, bytes]:
        """What two have in common that score the same."""
        return self.groups.tobytes(), self.items.tobytes()

    def estimates(self, values: Array) -> list[Estimate]:
        """Of each seed the mean of values [..., S, N] over what it scores, and without each cluster; one that has none
        of that has size 0."""
        found = []
        for s, of in enumerate(self.items):
            members, own = self._members[of], values[..., s, of]
            rest = len(members) - (sizes := members.sum(axis=0).astype(int))
            without = (own.sum(axis=-1)[..., None] - own @ members) / np.where(rest > 0, rest, 1)
            found.append(Estimate(own.mean(axis=-1), {"forget": without}, {"forget": sizes}))
        return found

    def mean(self, values: Array) -> Array:
        """[...] the mean over seeds of those means."""
        each = [values[..., s, of].mean(axis=-1) for s, of in enumerate(self.items)]
        return np.asarray(np.mean(each, axis=0))


def scores(by_seed: Sequence[Estimate]) -> list[Score]:
    """Of R numbers without bounds the mean over seeds, with its interval where there are clusters enough."""
    whole = mean(by_seed)
    if whole.fewest < FEWEST:
        return [Score(value, n=whole.fewest) for value in whole.value.tolist()]
    around = free_interval(whole.value, error_parts(by_seed))
    columns = (of.tolist() for of in (whole.value, around.lo, around.hi))
    return [Score(value, lo, hi, whole.fewest) for value, lo, hi in zip(*columns, strict=True)]


def mean_of(values: Array, axis: Any = None) -> Array:
    """The mean of what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
