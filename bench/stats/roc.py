"""How well a score tells members from others: AUC, the curve, rates at few false alarms.

One orientation everywhere: the attack's score is like a loss, low for a member. A NaN in a sample makes its statistic
NaN: what is unscored is left out before.
"""

from __future__ import annotations

import math

import numpy as np

from bench.stats.two_sample import steps

Array = np.ndarray


def auc(member: Array, other: Array) -> Array:
    """P(score of a member < score of a non-member), ties counted half, [...]; 0.5 tells nothing, 1 tells all."""
    found = steps(member, other)
    x, y = (np.concatenate([np.zeros_like(c[..., :1]), c], axis=-1) for c in (found.x, found.y))
    area = np.sum(np.diff(y) * (x[..., 1:] + x[..., :-1]), axis=-1) / 2
    return np.where(found.bad, np.nan, area / (member.shape[-1] * other.shape[-1]))


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
    bad = np.isnan(member).any(axis=-1) | np.isnan(other).any(axis=-1)
    if allowed >= other.shape[-1]:
        return np.where(bad, np.nan, 1.0)
    first_error = np.partition(other, allowed, axis=-1)[..., allowed, None]
    return np.where(bad, np.nan, np.mean(member < first_error, axis=-1))
