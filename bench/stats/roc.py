"""How well a score tells members from others: AUC with DeLong's interval, the curve, rates at few false alarms.

One orientation everywhere: the attack's score is like a loss, low for a member. A NaN in a sample makes its statistic
NaN: what is unscored is left out before.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from bench.stats.intervals import Interval, freedom, quantile, units
from bench.stats.two_sample import steps

Array = np.ndarray


def auc(member: Array, other: Array) -> Array:
    """P(score of a member < score of a non-member), ties counted half, [...]; 0.5 tells nothing, 1 tells all."""
    found = steps(member, other)
    x, y = (np.concatenate([np.zeros_like(c[..., :1]), c], axis=-1) for c in (found.x, found.y))
    area = np.sum(np.diff(y) * (x[..., 1:] + x[..., :-1]), axis=-1) / 2
    return np.where(found.bad, np.nan, area / (member.shape[-1] * other.shape[-1]))


class Placements(NamedTuple):
    """DeLong's structural components: how each item stands among those of the other side, in [0, 1]."""

    member: Array  # [m]
    other: Array  # [n]


def placements(member: Array, other: Array) -> Placements:
    """Components of the AUC of one attack, whose means are both the AUC; 1-D scores."""
    return Placements(_share_below(-member, -other), _share_below(other, member))


def delong(
    member: Array, other: Array, clusters: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None
) -> tuple[Array, Array]:
    """AUCs [k] of k attacks on the same items, and their covariance [k, k] (DeLong et al. 1988).

    Args:
        member: scores [k, m]. other: scores [k, n]. m, n >= 2.
        clusters: the cluster of each member and of each other item; see `placement_covariance`.
    """
    above, below = (np.stack(side) for side in zip(*map(placements, member, other), strict=True))
    sides = clusters or (range(above.shape[-1]), range(below.shape[-1]))
    covariance = placement_covariance(above, sides[0]) + placement_covariance(below, sides[1])
    return below.mean(axis=-1), covariance


def placement_covariance(components: Array, clusters: Sequence[Hashable]) -> Array:
    """One side's share [k, k] of the covariance of k AUCs, from components [k, n] (Obuchowski 1997).

    Items of a cluster are taken together, clusters as independent; two or more are needed. Where each item is a cluster
    this is DeLong's.
    """
    slot = units(clusters)
    n, k = components.shape[-1], int(slot.max()) + 1
    centred = components - components.mean(axis=-1, keepdims=True)
    sums = np.stack([np.bincount(slot, row, minlength=k) for row in centred])
    return sums @ sums.T * (k / (k - 1)) / n**2


def _share_below(of: Array, among: Array) -> Array:
    """For each value of `of`, the share of `among` below it, equal ones counted half."""
    ordered = np.sort(among)
    sides = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
    return sides / (2 * len(ordered))


def auc_interval(
    member: Array,
    other: Array,
    level: float = 0.95,
    clusters: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
) -> Interval | None:
    """DeLong's interval on the logit scale, which stays within (0, 1); None with fewer than two items on a side.

    With `clusters` the variance is Obuchowski's, and where items hang together Student's t with the clusters of the
    smaller side less one takes the place of the normal distribution.

    Where members and non-members are told apart without an error DeLong's variance is 0. Pairing items (clusters) at
    random gives as many independent trials as the smaller side has, which all went one way, and Clopper and Pearson's
    bound for those is taken.
    """
    sides = clusters or (range(len(member)), range(len(other)))
    fewest = min(len(set(side)) for side in sides)
    if fewest < 2:
        return None
    values, covariance = delong(member[None], other[None], sides)
    value, tail = float(values[0]), (1 - level) / 2
    if value in (0.0, 1.0):
        bound = tail ** (1 / fewest)
        return Interval(bound, 1.0) if value else Interval(0.0, 1 - bound)
    centre = math.log(value / (1 - value))
    reach = quantile(1 - tail, freedom(sides)) * math.sqrt(covariance[0, 0]) / (value * (1 - value))
    return Interval(*(1 / (1 + math.exp(-min(max(z, -700.0), 700.0))) for z in (centre - reach, centre + reach)))


def roc(member: Array, other: Array) -> tuple[Array, Array]:
    """ROC points (FPR, TPR), one for each distinct score, from (0, 0) to (1, 1); 1-D samples.

    Low false-positive rates are where an attack does harm, so draw both axes in logarithms (Carlini et al. 2022) and
    leave out the points with a zero.
    """
    thresholds = np.unique(np.concatenate([member, other]))
    rates = (np.searchsorted(np.sort(s), thresholds, "right") / len(s) for s in (other, member))
    fpr, tpr = (np.concatenate([[0.0], r]) for r in rates)
    return fpr, tpr


def tpr_at(fpr: float, member: Array, other: Array) -> Array:
    """Largest true-positive rate whose false-positive rate does not exceed `fpr`, [...] (Carlini et al. 2022)."""
    allowed = math.floor(fpr * other.shape[-1] + 1e-9)
    if allowed >= other.shape[-1]:
        return np.ones(np.broadcast_shapes(member.shape[:-1], other.shape[:-1]))
    first_error = np.partition(other, allowed, axis=-1)[..., allowed, None]
    bad = np.isnan(member).any(axis=-1) | np.isnan(other).any(axis=-1)
    return np.where(bad, np.nan, np.mean(member < first_error, axis=-1))
