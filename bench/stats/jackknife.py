"""Standard errors from leaving out one cluster at a time, and what follows from them: intervals, p-values.

An estimate's error has *parts* that are independent of each other: one for each set of clusters (authors, documents),
one for the seeds. Deterministic, and joint over everything that is computed without the same cluster. What the
procedures hold and what they do not is simulated in `docs/statistics.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from scipy.special import betaincinv, expit, logit, stdtr, stdtrit

from bench.stats.intervals import Interval

Array = np.ndarray
FEWEST = 3
"""Clusters below which no interval is given: with two its coverage cannot be had."""
_SMALLEST = 1e-15  # no p-value is computed below this
_END = 1e-9  # a share as near to 0 or 1 counts as at its end


class Part(NamedTuple):
    """A variance of an estimate and its degrees of freedom; of several estimates at once arrays [...]."""

    variance: Any
    df: Any


def jackknife(without: Array, sizes: Array) -> Part:
    """Variance (K - 1)/K sum_k (t_(-k) - mean)^2 of a statistic of K clusters (Efron & Stein 1981).

    Degrees of freedom are K_eff - 1 with Kish's K_eff = (sum n)^2 / sum n^2 of the clusters' sizes, which is K where
    they are equal and less where a few clusters carry the statistic.

    Args:
        without: [..., K], the statistic without each cluster. sizes: [K], items of each cluster.
    """
    k = without.shape[-1]
    if k < 2:
        return Part(number(np.full(without.shape[:-1], math.nan)), 1.0)
    apart = without - without.mean(axis=-1, keepdims=True)
    df = max(1.0, float(np.sum(sizes)) ** 2 / float(np.sum(np.square(sizes))) - 1.0)
    return Part(number((k - 1) / k * np.sum(apart**2, axis=-1)), df)


def between_seeds(values: Sequence[float] | Array) -> Part:
    """Variance s^2 / S of a mean over S seeds [..., S], with S - 1 degrees of freedom; of one seed nothing is known."""
    seeds = np.shape(values)[-1]
    return Part(number(np.var(values, axis=-1, ddof=1) / seeds), seeds - 1.0)


def satterthwaite(parts: Sequence[Part]) -> Part:
    """Variances added, with df = (sum V)^2 / sum(V^2 / df) (Satterthwaite 1946)."""
    total = sum(part.variance for part in parts)
    below = sum(part.variance**2 / part.df for part in parts)
    known = np.greater(below, 0)
    fewest = reduce(np.minimum, [part.df for part in parts])
    return Part(total, number(np.where(known, np.square(total) / np.where(known, below, 1.0), fewest)))


def reach(parts: Sequence[Part], alpha: Any) -> Any:
    """Half-width sqrt(sum_i t_i(1 - alpha/2)^2 V_i): holds the truth with at least 1 - alpha (Banerjee 1961).

    Unlike Satterthwaite's it is a bound at every alpha, so also at the small ones that a correction for many
    comparisons asks for. With one part it is Student's. A number, or an array of the shape of the parts.
    """
    return number(_reach(parts, 1 - alpha / 2))


def _reach(parts: Sequence[Part], quantile: Any) -> Any:
    return np.sqrt(sum(stdtrit(part.df, quantile) ** 2 * part.variance for part in parts))


def p_value(difference: Any, parts: Sequence[Part]) -> Any:
    """The smallest alpha at which `reach` does not exceed |difference|; 1 where the difference is 0.

    Without any variance, which no finite sample shows, a difference counts as certain only to `_SMALLEST`. A number, or
    an array of the shape of the differences.
    """
    far = np.abs(np.asarray(difference, dtype=float))
    if len(parts) == 1:  # Student's t
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.maximum(_SMALLEST, 2 * stdtr(parts[0].df, -far / np.sqrt(parts[0].variance)))
        return number(np.where(far == 0, 1.0, p))
    low, high = np.full(far.shape, math.log(_SMALLEST)), np.zeros(far.shape)
    for _ in range(45):  # bisection of log alpha
        middle = (low + high) / 2
        wide = _reach(parts, np.exp(middle) / 2)  # the lower quantile, whose square is that of the upper
        low, high = np.where(wide > far, middle, low), np.where(wide > far, high, middle)
    return number(np.where(far == 0, 1.0, np.exp(high)))


def tost(difference: Any, parts: Sequence[Part], margin: float) -> Any:
    """p of two one-sided tests that the true difference lies within (-margin, margin) (Schuirmann 1987)."""
    room = np.maximum(0.0, margin - np.abs(difference))
    return number(np.where(room > 0, np.divide(p_value(room, parts), 2), 1.0))


def number(values: Any) -> Any:
    """A number of Python's where an array has no axes, else the array."""
    return values.item() if np.ndim(values) == 0 else values


def free_interval(value: Any, parts: Sequence[Part], level: float = 0.95) -> Interval:
    """[lo, hi] of a number without bounds, or of several [...]."""
    half = reach(parts, 1 - level)
    return Interval(value - half, value + half)


def share_interval(
    value: Any,
    without: Sequence[Array],
    sizes: Sequence[Array],
    seed_values: Sequence[float] | Array = (),
    level: float = 0.95,
) -> Interval | None:
    """[lo, hi] of a share, an AUC, or a mean or function of such, inside [0, 1]; None below `FEWEST` clusters.

    What is jackknifed is the logit (transform first: Efron & Tibshirani 1993, ch. 11), so that the interval is as
    lopsided as the clusters are. Sets of clusters are added by Satterthwaite; seeds add s^2 / S through the slope of
    the logit, by Satterthwaite from three on, by Banerjee with two, whose variance has one degree of freedom.

    Where every cluster is at an end, the other limit is Clopper and Pearson's with clusters as trials; where all but
    one are, the limit for one of K.

    Args:
        value: the mean over seeds, of one share or of several [...]. without: for each set of clusters [..., K], the
            same without each cluster. sizes: items of each of those clusters, [K]. seed_values: one value a seed,
            [..., S]; none or one: these runs only.
    """
    fewest = min((part.shape[-1] for part in without), default=0)
    if fewest < FEWEST:
        return None
    value = np.asarray(value)
    at_zero, at_one = value <= _END, value >= 1 - _END
    seeds, inner = np.shape(seed_values)[-1], np.where(at_zero | at_one, 0.5, value)
    slope = inner * (1 - inner)

    def limits(cluster: Part) -> Interval:
        parts = [cluster]
        if seeds > 1:
            between = between_seeds(seed_values)
            parts.append(Part(between.variance / slope**2, between.df))
            parts = parts if seeds == 2 else [satterthwaite(parts)]
        half = reach(parts, 1 - level)
        return Interval(expit(logit(inner) - half), expit(logit(inner) + half))

    clipped = [np.clip(part, _END, 1 - _END) for part in without]
    lo, hi = limits(satterthwaite([jackknife(logit(part), n) for part, n in zip(clipped, sizes, strict=True)]))
    low, high = (np.any([touched.any(axis=-1) for touched in ends], axis=0)
                 for ends in ([p <= _END for p in without], [p >= 1 - _END for p in without]))  # fmt: skip
    if (low | high).any():
        # a logit is infinite there: the delta method, and the limit for one cluster that is not at the end
        plain = satterthwaite([jackknife(part, n) for part, n in zip(without, sizes, strict=True)])
        delta = limits(Part(plain.variance / slope**2, plain.df))
        one = float(betaincinv(2, fewest - 1, (1 + level) / 2))
        lo = np.where(low | high, np.where(high, np.minimum(delta.lo, 1 - one), delta.lo), lo)
        hi = np.where(low | high, np.where(low, np.maximum(delta.hi, one), delta.hi), hi)
    bound = 1 - (1 - level) ** (1 / fewest)
    lo = np.where(at_zero, 0.0, np.where(at_one, 1 - bound, lo))
    hi = np.where(at_one, 1.0, np.where(at_zero, bound, hi))
    return Interval(number(lo), number(hi))


def joined_interval(function: Callable[[Array], Any], values: Array, limits: Array, correlation: Array) -> Interval:
    """[lo, hi] of a function that rises in each of P shares, from the interval of each.

    MOVER (Zou & Donner 2008; any monotone function: Newcombe 2001): the distances to the function with one share at
    its limit, added as correlated errors are. A share whose limit reaches its end takes that end outside of the root:
    its estimate is biased inwards there, and the root would claim more than any share can.

    Args:
        function: of the shares [P, ...], gives [...]. values: [P] in [0, 1]. limits: [P, 2].
        correlation: [P, P] of the estimates.
    """
    found = []
    for side, end, sign in ((0, 0.0, -1), (1, 1.0, 1)):
        kinked = limits[:, side] == end
        base = np.where(kinked, end, values)
        centre = float(function(base))
        moved = np.abs(function(np.where(np.eye(len(base), dtype=bool), limits[:, side, None], base[:, None])) - centre)
        root = math.sqrt(max(0.0, float(moved @ correlation @ moved)))
        found.append(min(1.0, max(0.0, centre + sign * root)))
    return Interval(*found)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): the family-wise error rate is kept whatever depends on what."""
    ordered = np.argsort(p, kind="stable")
    steps = np.asarray(p, dtype=float)[ordered] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[ordered] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(q) for q in corrected]
