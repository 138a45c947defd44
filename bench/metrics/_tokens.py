"""Values of a text's tokens to one value a text; NaN is a text without tokens."""

from __future__ import annotations

import numpy as np

from bench.api import Ragged

Array = np.ndarray
MIN_K = 0.4  # share of the least likely tokens that min-k looks at


def _owners(ragged: Ragged) -> Array:
    return np.repeat(np.arange(len(ragged.offsets) - 1), np.diff(ragged.offsets))


def share_of(total: Array, count: Array) -> Array:
    """total / count, NaN where there is nothing to count."""
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def without_last(ragged: Ragged) -> Ragged:
    """The values of each text but the last, which belongs to the end-of-sequence token."""
    starts, ends = ragged.offsets[:-1], ragged.offsets[1:]
    keep = np.ones(len(ragged.flat), dtype=bool)
    keep[ends[ends > starts] - 1] = False
    lengths = np.maximum(ends - starts - 1, 0)
    return Ragged(ragged.flat[keep], np.concatenate([[0], np.cumsum(lengths)]))


def mean_of(ragged: Ragged) -> Array:
    """Mean value of each text in float64, NaN for a text without tokens, [N]."""
    count = np.diff(ragged.offsets)
    return share_of(np.bincount(_owners(ragged), ragged.flat, minlength=len(count)), count)


def lowest_mean(ragged: Ragged, share: float = MIN_K) -> Array:
    """Mean of the lowest `share` of each text's values, floor(share * m) of m but at least one, [N]."""
    owners, count = _owners(ragged), np.diff(ragged.offsets)
    order = np.lexsort((ragged.flat, owners))
    rank = np.arange(len(owners)) - ragged.offsets[owners]
    take = np.maximum(np.floor(share * count + 1e-9), 1)
    kept = rank < take[owners]
    return share_of(np.bincount(owners[kept], ragged.flat[order][kept], minlength=len(count)), np.minimum(take, count))


def matched_suffix(hit: Ragged) -> Array:
    """Share of each text that is its longest suffix without a miss, [N]; NaN for a text without tokens."""
    owners, count = _owners(hit), np.diff(hit.offsets)
    position = np.arange(len(owners)) - hit.offsets[owners]
    start = np.zeros(len(count), dtype=np.int64)
    np.maximum.at(start, owners, np.where(hit.flat, 0, position + 1))
    return share_of(count - start, count)
