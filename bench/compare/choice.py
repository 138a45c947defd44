"""Where attackers read a line: at the setting and step that serve them best.

The best of many noisy numbers is too large, so each half of the clusters is read where the other half is known most
beyond retrain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.compare.clustered import Scored, mean_of
from bench.compare.readings import Place, Seen
from bench.compare.speed import Curves

Array = np.ndarray


class Choice(NamedTuple):
    """A line where attackers read it.

    Attributes:
        seeds: those that score anything. scored: which items count in each.
        places: the number of each place that was chosen. where: that at which each item is read [N].
        known: [3, S, P, N] of the method, retrain and target, at all places. before: as they are used [3, S, N].
    """

    seeds: tuple[int, ...]
    scored: Scored
    places: tuple[int, ...]
    where: Array
    known: Array
    before: Array

    @property
    def at(self) -> Array:
        """[3, S, N] what is known of each item at its place."""
        return _read_at(self.known, self.where)

    def curves(self, places: Sequence[Place], usable: Sequence[int]) -> Curves | None:
        """What is known after each usable step, each item's at the setting of its place; None of a single step, or if
        something else was asked at some step."""
        of = {setting: {places[p][1]: p for p in usable if places[p][0] == setting}
              for setting in {places[p][0] for p in np.unique(self.where)}}  # fmt: skip
        steps = tuple(sorted(set.intersection(*(set(by_step) for by_step in of.values()))))
        at = ([of[places[p][0]][step] for p in self.where] for step in steps)
        own, retrain = np.stack([_read_at(self.known[:2], np.array(where)) for where in at], axis=1)
        odd: Array = np.isnan(own - retrain)[:, self.scored.items]
        return None if len(steps) < 2 or odd.any() else Curves(steps, own, retrain)


def choose(of: Seen, among: Sequence[int], fixed_at: float | None, clusters: Array) -> Choice | None:
    """Where a line is read; None where nothing is scored there of all three models.

    Args:
        among: numbers of places, one at least. fixed_at: the step at which the attack says that it is read.
        clusters: the number of each item's [N].
    """
    asked = ~np.isnan(of.known[0]).all(axis=(0, 1))
    known, before = of.known[..., asked], of.before[..., asked]
    _, groups = np.unique(clusters[asked], return_inverse=True)
    able = among if fixed_at is None else _nearest(of.places, among, fixed_at)
    by_cluster = _crosswise(able, groups, known[0] - known[1])
    where = by_cluster[groups]
    unscored: Array = np.isnan(_read_at(known, where)) | np.isnan(before)
    items: Array = ~np.any(unscored, axis=0)  # [S, N]: each seed gives other authors away, and scores the rest
    some: Array = np.any(items, axis=1)
    if not some.any():
        return None
    seeds = tuple(seed for seed, any_ in zip(of.seeds, some, strict=True) if any_)
    chosen = dict.fromkeys(by_cluster[np.unique(groups[items.any(axis=0)])].tolist())
    return Choice(seeds, Scored(groups, items[some]), tuple(chosen), where, known[:, some], before[:, some])


def _nearest(places: Sequence[Place], among: Sequence[int], step: float) -> list[int]:
    """The places at that step, or at the nearest that there is: steps are no choice."""
    nearest = min((places[p][1] for p in among), key=lambda other: abs(other - step))
    return [p for p in among if places[p][1] == nearest]


def _crosswise(among: Sequence[int], groups: Array, gap: Array) -> Array:
    """[K] which place each cluster is read at: that of the largest gap to retrain in the other half of the clusters.

    Args:
        gap: [S, P, N], the method less retrain; NaN where nothing was asked.
    """
    count = int(groups.max()) + 1
    half = np.arange(count) % 2
    found = np.full(count, among[0])
    for side in (0, 1) if len(among) > 1 else ():
        others = half[groups] != side if count > 1 else np.ones(len(groups), dtype=bool)
        means = mean_of(gap[:, among][:, :, others], (0, 2))
        if not np.isnan(means).all():
            found[half == side] = among[int(np.nanargmax(means))]
    return found


def _read_at(known: Array, where: Array) -> Array:
    """[M, S, N] of what is known [M, S, P, N], each item at its place [N]."""
    return known[:, :, where, np.arange(len(where))]
