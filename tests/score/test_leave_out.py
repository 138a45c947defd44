"""Weighted items give what drawn items give."""

from __future__ import annotations

import numpy as np
import pytest

from bench.compare import weighted
from bench.score.scoring import build
from bench.stats.two_sample import ks_statistic

NAMES = ["rouge", "probability", "truth_ratio", "model_utility", "task_aggregate", "mia_auc", "mia_score",
         "forget_quality", "privleak", "mia_tpr_5"]  # fmt: skip
SIZES = {"forget": 18, "holdout": 12, "retain": 15, "real_authors": 9, "world_facts": 11}


def _sample(metric, rng) -> dict:
    """Values with ties, in [0, 1]."""
    return {need: np.round(rng.random(SIZES[need[0]]), 2) for need in metric.needs}


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_by_weights_is_the_resample(name: str) -> None:
    rng, metric = np.random.default_rng(0), build(name)
    own, retrain = _sample(metric, rng), _sample(metric, rng) if metric.needs_retrain else None
    drawn = {s: rng.integers(n, size=(40, n)) for s, n in SIZES.items()}
    times = {s: np.stack([np.bincount(row, minlength=SIZES[s]) for row in rows]) for s, rows in drawn.items()}
    weights = {s: weighted.Weighting(np.arange(SIZES[s]), t.astype(float)) for s, t in times.items()}
    pick = lambda side: side and {(s, c): v[drawn[s]] for (s, c), v in side.items()}  # noqa: E731
    expected = metric.score(pick(own), pick(retrain))
    assert weighted.value(metric, own, retrain, weights) == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_swapping_by_weights_is_swapping(name: str) -> None:
    """Clusters of three items; a swapped cluster's items are the other method's, in every column."""
    rng, metric = np.random.default_rng(1), build(name)
    one, other = _sample(metric, rng), _sample(metric, rng)
    retrain = _sample(metric, rng) if metric.needs_retrain else None
    swaps = {s: rng.integers(2, size=(25, -(-n // 3))).astype(float) for s, n in SIZES.items()}
    weights, mixed = {}, {}
    for s, n in SIZES.items():
        unit, clusters = np.arange(n) // 3, swaps[s].shape[1]
        weights[s] = weighted.Weighting(np.concatenate([unit, clusters + unit]), swaps[s], True)
    for s, c in metric.needs:
        mixed[s, c] = np.where(swaps[s][:, np.arange(SIZES[s]) // 3] == 1, other[s, c], one[s, c])
    both = {need: np.concatenate([one[need], other[need]]) for need in one}
    twice = retrain and {need: np.concatenate([v, v]) for need, v in retrain.items()}
    wide = retrain and {need: np.broadcast_to(v, (25, len(v))) for need, v in retrain.items()}
    found = weighted.value(metric, both, twice, weights)
    assert found == pytest.approx(metric.score(mixed, wide), rel=1e-9, nan_ok=True)


def test_what_is_unscored_weighs_nothing() -> None:
    """Means, AUCs and distances with a NaN are those of the other items, whatever its weight."""
    rng = np.random.default_rng(2)
    weights = {s: weighted.Weighting(np.arange(n), np.ones((1, n))) for s, n in {"forget": 6, "holdout": 4}.items()}
    for name in ("rouge", "mia_auc", "forget_quality"):
        metric = build(name)
        own = {need: rng.random(6 if need[0] == "forget" else 4) for need in metric.needs}
        other = {need: rng.random(len(v)) for need, v in own.items()}
        first = metric.needs[0]
        kept = {need: v[1:] if need == first else v for need, v in own.items()}
        rest = {need: v[1:] if need == first else v for need, v in other.items()}
        own[first][0] = np.nan
        (found,) = weighted.value(metric, own, other if metric.needs_retrain else None, weights)
        assert found == pytest.approx(float(metric.score(kept, rest)), rel=1e-9)


def test_a_p_value_is_compared_by_its_distance() -> None:
    rng, metric = np.random.default_rng(3), build("forget_quality")
    (need,) = metric.needs
    x, y = rng.random(18), rng.random(18) + 0.2
    weights = {"forget": weighted.Weighting(np.arange(18), np.ones((1, 18)))}
    (found,) = weighted.distance(metric, {need: x}, {need: y}, weights)
    assert found == pytest.approx(float(ks_statistic(x, y)))
