"""How fast an attack in steps brings answers back: when half of the gap is closed, and the area beside retrain's curve.

Both are read of the curve at the setting that attackers choose, chosen on one half of the authors and read on the
other, and at the steps at which the model keeps enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.api import Score
from bench.compare.clustered import Scored, scores

Array = np.ndarray


class Speed(NamedTuple):
    """How fast answers come back.

    Attributes:
        steps: the first at which half of the gap is back; None where it is not by the `last`.
        retrain: the same of retrain.
        last: the last step that was looked at.
        area: mean height of the method's curve above retrain's, over log(1 + step) as figures have it; 0 is the goal.
    """

    steps: float | None
    retrain: float | None
    last: float
    area: Score


class Curves(NamedTuple):
    """What is known after each of some steps [T], at least two and rising, by the method and by retrain [T, S, N]."""

    steps: tuple[float, ...]
    own: Array
    retrain: Array

    def heights(self) -> Array:
        """[S, N] the mean of the method's above retrain's over log(1 + step), by trapezoids."""
        gaps = np.diff(np.log1p(self.steps))
        weights = np.convolve(gaps, [0.5, 0.5]) / gaps.sum()
        return np.tensordot(weights, self.own - self.retrain, axes=1)


def speeds(curves: Sequence[Curves], gaps: Sequence[tuple[float, float]], scored: Scored) -> list[Speed]:
    """Of pairs of curves, how fast the method's rises.

    Args:
        gaps: of each pair, what retrain and target know before the attack.
    """
    if not curves:
        return []
    areas = scores(scored.estimates(np.stack([of.heights() for of in curves])))
    return [_speed(of, sum(gap) / 2, area, scored) for of, gap, area in zip(curves, gaps, areas, strict=True)]


def _speed(of: Curves, half: float, area: Score, scored: Scored) -> Speed:
    own, retrain = (_first(of.steps, scored.mean(known), half) for known in (of.own, of.retrain))
    return Speed(own, retrain, of.steps[-1], area)


def _first(steps: Sequence[float], known: Array, level: float) -> float | None:
    return next((step for step, value in zip(steps, known, strict=True) if value >= level), None)
