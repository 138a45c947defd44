"""Matched forgetting on curves drawn by hand, the ones among them by which ruin used to win."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from bench.api import Score
from bench.compare.trade_off import (
    AT_RETRAIN,
    at_retrain,
    compare,
    kept_at,
    matched,
    over_seeds,
    paired,
    retained_at,
    trace,
)
from bench.stats.jackknife import holm
from bench.stats.student import quantile
from bench.store.record import Cell, Record

LEVEL = 0.2


def run(forget: list, retain: list, seed: int = 0, probability: float | None = None) -> Record:
    curve = {"trace forget probability": forget, "trace retain probability": retain}
    scores = {} if probability is None else {"probability": Score(probability)}
    return Record(Cell("t", "m", "tiny", "embedded", seed), "ok", {}, {}, curve=curve, scores=scores)


RETRAIN = run([], [], probability=LEVEL)


def test_kept_at_a_level_by_hand() -> None:
    """A straight line from (1, 1) to (0, 0): at 0.2 it keeps 0.2. Kept whole: 1. Half of a start of 0.8: 1/2."""
    assert kept_at([1.0, 0.0], [1.0, 0.0], LEVEL) == pytest.approx(0.2)
    assert kept_at([1.0, 0.5, 0.0], [0.9, 0.9, 0.9], LEVEL) == pytest.approx(1.0)
    assert kept_at([1.0, 0.2], [0.8, 0.4], LEVEL) == pytest.approx(0.5)
    assert kept_at([1.0, 0.1], [0.5, 0.9], LEVEL) == 1.0  # never above the start
    assert kept_at([1.0, LEVEL, LEVEL], [1.0, 0.5, 0.6], LEVEL) == pytest.approx(0.6)  # while it stays at the level


def test_what_is_not_reached_has_no_number() -> None:
    assert kept_at([1.0, 0.3], [1.0, 1.0], LEVEL) is None
    assert kept_at([], [], LEVEL) is None and kept_at([1.0, 0.1], [0.0, 0.0], LEVEL) is None


def test_ruin_earns_nothing() -> None:
    """A destroyed model keeps nothing at any level; `area` gave it most."""
    assert kept_at([1.0, 1e-9, 0.0], [1.0, 1e-9, 0.0], LEVEL) < LEVEL + 1e-6
    assert kept_at([1.0, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], LEVEL) == 0.0
    spared = kept_at([1.0, 0.5, 0.15], [1.0, 0.9, 0.8], LEVEL)
    assert spared > 0.8


def test_a_dip_and_relearning_all_earns_what_was_kept_in_the_dip() -> None:
    """Down to (0, 0) and all the way back to (1, 1): `area` gave 0.98. On the way back it passes 0.2 with 0.2."""
    assert kept_at([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], LEVEL) == pytest.approx(0.2)
    assert kept_at([1.0, 0.0, 0.98], [1.0, 0.0, 1.0], LEVEL) == pytest.approx(0.2 / 0.98)


way = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8)


@given(way, st.integers(2, 6), st.floats(0.05, 0.9))
def test_denser_traces_change_nothing(points: list[tuple[float, float]], parts: int, level: float) -> None:
    """Points between the points of a trace, on its straight lines: the same number to rounding."""
    forget, retain = (np.array(side) for side in zip((1.0, 1.0), *points, strict=True))
    at = np.linspace(0, len(forget) - 1, (len(forget) - 1) * parts + 1)
    dense = [np.interp(at, np.arange(len(forget)), side).tolist() for side in (forget, retain)]
    one, other = kept_at(forget.tolist(), retain.tolist(), level), kept_at(*dense, level)
    if one is None or other is None:
        assert one == other or abs(forget.min() - level) < 1e-9
    else:
        assert other == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize("points", [5, 10, 40, 200])
def test_the_density_of_a_smooth_way_changes_less_than_a_hundredth(points: int) -> None:
    """Retain falls as forget^0.3 does, sampled where steps are; the truth at 0.2 is 0.2^0.3 = 0.617."""
    steps = np.linspace(0, 5, points) if points > 5 else np.array([0, 0.8, 1.5, 1.9, 4.0])
    forget = np.exp(-steps)
    assert kept_at(forget.tolist(), (forget**0.3).tolist(), LEVEL) == pytest.approx(0.2**0.3, abs=0.01)


@given(way, st.floats(0.05, 0.9), way)
def test_going_on_never_costs(points: list[tuple[float, float]], level: float, more: list[tuple[float, float]]) -> None:
    """What was kept at the level stays on record, whatever follows: path length neither pays nor costs by itself."""
    forget, retain = map(list, zip((1.0, 1.0), *points, strict=True))
    first = kept_at(forget, retain, level)
    onward = kept_at([*forget, *(f for f, _ in more)], [*retain, *(r for _, r in more)], level)
    assert first is None or onward >= first - 1e-12


def test_a_null_in_a_trace_is_no_trace() -> None:
    """What could not be measured is read back as None; the board crashed on it."""
    for sick in (None, float("nan"), float("inf"), "?"):
        record = run([1.0, sick, 0.1], [1.0, 0.5, 0.5])
        assert trace(record) == ([], []) and retained_at(record, 0.5) is None
        assert at_retrain(record, RETRAIN) is None
        assert matched({0: record}, {0: RETRAIN}, 0.5) == (Score(None, note="no trace"),) * 2
    assert trace(run([1.0, 0.5], [1.0])) == ([], [])
    assert trace(Record(RETRAIN.cell, "ok", {}, {})) == ([], [])


def test_without_retrain_there_is_no_level() -> None:
    record = run([1.0, 0.0], [1.0, 0.5])
    assert at_retrain(record, None) is None
    assert at_retrain(record, run([], [])) is None
    assert at_retrain(record, run([], [], probability=0.4)) == pytest.approx(0.7)


def test_retained_at_counts_when_it_is_first_reached() -> None:
    record = run([1.0, 0.5, 0.75, 0.0], [1.0, 0.8, 0.7, 0.2])
    assert retained_at(record, 0.5) == pytest.approx(0.8)
    assert retained_at(record, 0.25) == pytest.approx(0.7 - 0.5 * 2 / 3)
    for started_below in ([0.5, 0.1], [0.1, 0.9]):
        assert retained_at(run(started_below, [1.0, 1.0]), 0.5) is None


def test_over_seeds_with_a_t_interval_within_its_range() -> None:
    """Kept 0.6 and 0.8: mean 0.7, error 0.1, t(1) = 12.7, so all of [0, 1]; three seeds say more; one nothing."""
    records = {s: run([1.0, 0.0], [1.0, y], s) for s, y in enumerate((0.5, 0.75))}
    found = matched(records, dict.fromkeys(range(3), RETRAIN), 0.5).at_retrain
    assert found == (pytest.approx(0.7), 0.0, 1.0, 2, "")
    records[2] = run([1.0, 0.0], [1.0, 0.625], 2)
    three = matched(records, dict.fromkeys(range(3), RETRAIN), 0.5).at_retrain
    half = quantile(0.975, 2) * 0.1 / 3**0.5
    assert (three.lo, three.hi) == pytest.approx((0.7 - half, 0.7 + half), rel=1e-6)
    assert matched({0: records[0]}, {0: RETRAIN}, 0.5).at_retrain[1:4] == (None, None, 1)


def test_a_number_may_be_bounded_below_elsewhere() -> None:
    """0.1 and 0.3: mean 0.2, error 0.1, so the interval is 0.2 +- 1.27."""
    half = quantile(0.975, 1) * 0.1
    assert over_seeds([0.1, 0.3]) == (pytest.approx(0.2), 0.0, 1.0, 2, "")
    assert over_seeds([0.1, 0.3], lowest=-5.0).lo == pytest.approx(0.2 - half, rel=1e-6)
    assert over_seeds([0.1, 0.3], "said", -1.0) == (pytest.approx(0.2), -1.0, 1.0, 2, "said")
    assert over_seeds([0.4]) == Score(0.4, n=1) and over_seeds([], "never") == Score(None, note="never")


def test_what_is_not_reached_or_not_traced_says_so() -> None:
    high, low = run([1.0, 0.7], [1.0, 0.9]), run([1.0, 0.1], [1.0, 0.6])
    retrains = {0: RETRAIN, 1: RETRAIN}
    assert matched({0: high}, retrains, 0.5) == (Score(None, note="not reached"), Score(None, note="not reached"))
    assert matched({0: high, 1: low}, retrains, 0.5).at_retrain.note == "reached by 1 of 2 seeds"
    for started_below in ([0.4, 0.1], [0.5, 0.1], [0.4, 0.7]):
        assert matched({0: run(started_below, [1.0, 1.0])}, retrains, 0.5).retained.note == "starts below"
    assert matched({0: run([0.4, 0.1], [1.0, 1.0]), 1: high}, retrains, 0.5).retained.note == "not reached"
    assert matched({0: run([1.0], [1.0])}, retrains, 0.5).retained.note == "no trace"  # a point is no way
    lacking = {3: run([], []), 0: low, 1: run([1.0], [1.0])}
    assert matched(lacking, retrains, 0.5) == (Score(None, note="no trace in seed 1, 3"),) * 2


def test_methods_are_tested_paired_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3: t = 0.2 / (0.1 / sqrt 3) = 3.464 at 2 degrees of freedom, p = 0.0742; c has one seed
    and d reaches the level in one: neither is compared."""
    runs = {
        "a": {s: run([1.0, 0.2], [1.0, y]) for s, y in enumerate((0.6, 0.7, 0.8))},
        "b": {s: run([1.0, 0.2], [1.0, y]) for s, y in enumerate((0.5, 0.5, 0.5))},
        "c": {0: run([1.0, 0.2], [1.0, 0.4])},
        "d": {0: run([1.0, 0.2], [1.0, 0.4]), 1: run([1.0, 0.9], [1.0, 1.0])},
        "retrain": dict.fromkeys(range(3), RETRAIN),
    }
    (found,) = compare(runs, [("a", "b"), ("a", "c"), ("a", "d")], 0.05)
    assert (found.a, found.b, found.metric, found.seeds) == ("a", "b", AT_RETRAIN, (0, 1, 2))
    assert (found.difference, found.p) == (pytest.approx(0.2), pytest.approx(0.07418, abs=1e-5))
    half = quantile(0.975, 2) * 0.1 / 3**0.5
    assert (found.lo, found.hi) == pytest.approx((0.2 - half, 0.2 + half), rel=1e-6)
    assert compare({"a": runs["a"], "b": runs["b"]}, [("a", "b")], 0.05) == []  # there is no retrain model


def test_pairs_on_one_number_a_seed_are_paired_t_tests_corrected_together() -> None:
    """Whatever seeds they share; c lacks seed 0, and has no number in seed 3."""
    values = {
        "a": {0: 0.5, 1: 0.7, 2: 0.6, 3: 0.8},
        "b": {3: 0.3, 2: 0.25, 1: 0.4, 0: 0.1},
        "c": {1: 0.55, 2: 0.5, 3: None},
        "d": {3: 0.9},
    }
    pairs = [("c", "a"), ("a", "b"), ("a", "d"), ("b", "c")]
    found = paired(values, pairs, "kept", 0.5)
    seeds = {("c", "a"): (1, 2), ("a", "b"): (0, 1, 2, 3), ("b", "c"): (1, 2)}
    assert [(c.a, c.b) for c in found] == list(seeds)
    for c, p_holm in zip(found, holm([c.p for c in found]), strict=True):
        one, other = ([values[m][s] for s in seeds[c.a, c.b]] for m in (c.a, c.b))
        test = ttest_rel(one, other)
        limits = test.confidence_interval()
        assert (c.metric, c.seeds, c.n) == ("kept", seeds[c.a, c.b], len(one)) and "paired by seed" in c.test
        assert (c.difference, c.lo, c.hi) == pytest.approx(
            (np.mean(one) - np.mean(other), limits.low, limits.high), rel=1e-5
        )
        assert (c.p, c.p_holm) == pytest.approx((test.pvalue, p_holm), rel=1e-5)
        within = (ttest_rel(np.add(one, 0.5), other, alternative="greater").pvalue,
                  ttest_rel(np.subtract(one, 0.5), other, alternative="less").pvalue)  # fmt: skip
        assert c.equivalent == pytest.approx(max(within), rel=1e-5)
