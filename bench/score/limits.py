"""The 95% interval of a metric, on the scale where it belongs.

Shares and AUCs on the logit scale; p-values as what they are p-values of, the KS distance; all else as it is. Every
interval lies within the range of its metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bench.api import Metric
from bench.keys import stream
from bench.metrics._forms import RetrainTest
from bench.score.estimates import Estimate, joined_parts, mean, values_of
from bench.score.leave_out import Gaps
from bench.stats import two_sample
from bench.stats.intervals import Interval
from bench.stats.jackknife import FEWEST, between_seeds, free_interval, number, reach, share_interval
from bench.stats.student import quantile

Array = np.ndarray
LEVEL = 0.95
_MULTIPLIERS = 500


def limits(metric: Metric, runs: Sequence[Estimate]) -> Interval | None:
    """Of the mean over runs of different seeds, or of one run; None where the clusters are too few.

    Not for p-values, see `p_limits`. With one run the interval knows of its items only, not of other seeds. Of stacked
    estimates arrays.
    """
    whole = mean(runs)
    if whole.fewest < FEWEST:
        return None
    share = _is_share(whole) & (getattr(metric, "scale", "free") == "share")
    inside = share_interval(whole.value, *whole.pieces(), values_of(runs), LEVEL) if share.any() else None
    if inside is not None and share.all():
        return inside
    lo, hi = free_interval(whole.value, joined_parts(runs), LEVEL)
    lowest, highest = getattr(metric, "bounds", (-np.inf, np.inf))
    lo, hi = np.maximum(lo, lowest), np.minimum(hi, highest)
    if inside is not None:
        lo, hi = np.where(share, inside.lo, lo), np.where(share, inside.hi, hi)
    return Interval(number(lo), number(hi))


def distance_limits(runs: Sequence[Estimate], counted: Sequence[Gaps]) -> Interval | None:
    """Of a KS distance, conservative: it is biased upwards, at 0 most of all.

    The upper limit is the jackknife's. The lower is the distance less the largest deviation of the whole curve of
    differences: |D' - D| <= sup |gap' - gap|, by normal multipliers of clusters (van der Vaart & Wellner 1996, 2.9),
    joined with what seeds add as in `reach`.

    Args:
        runs: distances, a run a seed. counted: of the same runs.
    """
    whole, values = mean(runs), values_of(runs)
    upper = share_interval(whole.value, *whole.pieces(), values, LEVEL)
    if upper is None:
        return None
    k = len(counted[0].items)
    moved = (_drawn(k) @ _deviation(one) for one in counted)
    largest = np.mean([np.maximum(by.max(axis=1), -by.min(axis=1)) for by in moved], axis=0)
    wide = quantile((1 + LEVEL) / 2, k - 1) / quantile((1 + LEVEL) / 2, np.inf)
    far = wide * float(np.quantile(largest, (1 + LEVEL) / 2))
    seeds = reach([between_seeds(values)], 1 - LEVEL) if len(values) > 1 else 0.0
    return Interval(max(0.0, whole.value - math.hypot(far, seeds)), max(upper.hi, whole.value))


@lru_cache(maxsize=8)
def _drawn(k: int) -> Array:
    """Normal multipliers of k clusters, [draws, k]."""
    return stream("multipliers", k).standard_normal((_MULTIPLIERS, k), dtype=np.float32)


def _deviation(of: Gaps) -> Array:
    """Each cluster's part in the curve less the mean of all, [K, T], in shares of the items."""
    k, n = len(of.items), of.items.sum()
    apart = of.items[:, None] * (of.share.sum(axis=0) / n)
    np.subtract(of.share, apart, out=apart)
    apart /= n
    apart *= np.sqrt(k / (k - 1))
    return apart.astype(np.float32)


def p_limits(distance: Interval | None, items: int, value: float) -> Interval | None:
    """Of a p-value: those of its KS distance, read at that number of items; never beside the value itself."""
    if distance is None:
        return None
    steps = np.rint(np.array([distance.hi, distance.lo]) * items * items)
    lo, hi = two_sample.ks_tail(steps, items, items)
    return Interval(min(float(lo), value), max(float(hi), value))


def is_p(metric: Metric) -> bool:
    """Whether a metric is a p-value, whose mean over seeds and whose difference between methods mean nothing."""
    return isinstance(metric, RetrainTest)


def _is_share(estimate: Estimate) -> Array:
    """Whether a number and all that it is without a cluster lie in [0, 1], [...]."""
    everything = [np.asarray(estimate.value)[..., None], *estimate.without.values()]
    return np.all([((values >= 0) & (values <= 1)).all(axis=-1) for values in everything], axis=0)
