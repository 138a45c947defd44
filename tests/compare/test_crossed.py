"""The hierarchical bootstrap: what it reduces to, its error against theory, its coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.compare.crossed import Run, load, seed_shares
from bench.compare.findings import over_seeds
from bench.score.scoring import build, score_items
from bench.stats import intervals
from bench.store.files import save
from bench.store.record import Cell, Record

ROUGE = build("rouge")


def _interval(crossed, method: str) -> intervals.Interval:
    seeds = crossed.seeds(method)
    return intervals.percentile(crossed.over_seeds([crossed.distribution(ROUGE, Run(method, s)) for s in seeds], seeds))


def test_one_seed_is_the_interval_of_the_cell(tmp_path) -> None:
    """To the bit: a table of one seed and the score of its record rest on the same draws."""
    rng = np.random.default_rng(0)
    frame = {"set": "forget", "id": [f"{i:03}" for i in range(60)], "cluster": [f"a{i // 6}" for i in range(60)]}
    items = pd.DataFrame({**frame, "rouge": rng.random(60).astype(np.float32)}).sample(frac=1, random_state=0)
    cell = Cell("t", "m", "tiny", "embedded", 0)
    save(tmp_path, Record(cell, "ok", {}, {}), items)
    crossed = load(tmp_path, [cell]).crossed
    score = score_items(items, None, ["rouge"])["rouge"]
    assert _interval(crossed, "m") == (score.lo, score.hi)
    assert over_seeds(crossed, "rouge", "m", [score]) == score


def test_seeds_that_are_all_the_same_change_nothing(made) -> None:
    """With no variance between seeds the interval is that of one of them."""
    values = np.random.default_rng(0).random(40)
    one, three = made({("m", 0): values}, 10), made({("m", s): values for s in range(3)}, 10)
    assert _interval(three, "m") == pytest.approx(_interval(one, "m"), rel=1e-12)


def test_seed_shares_give_the_mean_its_unbiased_variance() -> None:
    """Of S values with sample variance s^2 the resampled mean has variance s^2 / S; 40,000 draws, within 5%."""
    values = np.array([0.1, 0.4, 0.5, 0.9])
    shares = seed_shares(np.random.default_rng(0), 40_000, 4)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert np.var(shares @ values) == pytest.approx(np.var(values, ddof=1) / 4, rel=0.05)
    assert (seed_shares(np.random.default_rng(0), 5, 1) == 1).all()


def test_the_error_of_a_mean_is_that_of_theory(draw, made) -> None:
    """Variance of a mean over S seeds, K clusters of m items, all crossed but the last:

    seed^2 / S + cluster^2 / K + item^2 / (S K m), with the method's own part of a cluster in the second. The two-stage
    draw counts items once more (Davison & Hinkley 1997, 3.8): m items of a cluster averaged over S seeds add
    item^2 / (S m K). What differs between seeds, the first and one of the last, is stretched by t / z. 60 tables, 10%.
    """
    rng, seeds, clusters, size = np.random.default_rng(1), 6, 30, 4
    found = []
    for _ in range(60):
        y = draw(rng, 1, seeds, clusters, size)[0]
        crossed = made({("m", s): y[s] for s in range(seeds)}, clusters, resamples=400)
        found.append(
            np.var(crossed.over_seeds([crossed.distribution(ROUGE, Run("m", s)) for s in range(seeds)], range(seeds)))
        )
    item, stretch = 0.5**2 / (seeds * clusters * size), intervals.quantile(0.975, seeds - 1) / 1.959964
    expected = stretch**2 * (0.3**2 / seeds + item) + (0.5**2 + 0.25**2) / clusters + item
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


def test_coverage_is_near_its_level(draw, made) -> None:
    """95% intervals of a mean over 8 seeds and 30 clusters hold the truth in 90 to 98% of 200 tables."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        y = draw(rng, 1, 8, 30, 3)[0]
        lo, hi = _interval(made({("m", s): y[s] for s in range(8)}, 30, resamples=300), "m")
        held += lo <= 0 <= hi
    assert 0.90 <= held / 200 <= 0.98


@pytest.mark.parametrize(("seeds", "least"), [(2, 0.87), (3, 0.88), (5, 0.91), (10, 0.93)])
def test_coverage_where_all_variance_is_between_seeds(made, seeds: int, least: float) -> None:
    """The hard case, and a usual one: three runs tell little of their spread. 500 tables each."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(500):
        y = rng.normal(size=seeds)
        lo, hi = _interval(made({("m", s): np.full(8, y[s]) for s in range(seeds)}, 4, resamples=400), "m")
        held += lo <= 0 <= hi
    assert least <= held / 500 <= 0.98


def test_leaving_seeds_out_would_promise_too_much(draw, made) -> None:
    """The interval over items alone, for one seed, misses the truth far more often: that is why seeds are drawn."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(100):
        y = draw(rng, 1, 1, 30, 3)[0]
        lo, hi = _interval(made({("m", 0): y[0]}, 30, resamples=300), "m")
        held += lo <= 0 <= hi
    assert held / 100 < 0.75


def test_sets_of_the_same_clusters_draw_the_same_ones() -> None:
    """The documents of two sets are the same ones, so a resample has them in both or in neither."""
    from bench.compare.crossed import Crossed

    labels = {"a": ["x", "y", "z"], "b": ["x", "x", "y", "y", "z", "z"], "c": ["x", "y", "w"]}
    crossed = Crossed({s: [str(i) for i in range(len(v))] for s, v in labels.items()}, labels, {})
    times = {
        s: np.stack([crossed.draws()[s].factors[:, np.array(labels[s]) == k].sum(axis=1) for k in "xy"]) for s in labels
    }
    assert (2 * times["a"] == times["b"]).all()
    assert ((times["a"] > 0) == (times["c"] > 0)).mean() < 0.75
