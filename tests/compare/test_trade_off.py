"""Matched forgetting on curves drawn by hand."""

from __future__ import annotations

import math

import pytest

from bench.compare.trade_off import AREA, RETAINED, area, compare, matched, retained_at
from bench.store.record import Cell, Record


def run(forget: list[float], retain: list[float], seed: int = 0) -> Record:
    curve = {"trace forget probability": forget, "trace retain probability": retain}
    return Record(Cell("t", "m", "tiny", "embedded", seed), "ok", {}, {}, curve=curve)


def test_the_area_of_a_straight_line() -> None:
    """Retain falls from 1 to 0 as forget does: 1/2. Kept whole on the way: 1. Never moved: 0, it forgot nothing."""
    assert area(run([1.0, 0.0], [1.0, 0.0])) == pytest.approx(0.5)
    assert area(run([0.8, 0.3, 0.0], [1.0, 1.0, 1.0])) == pytest.approx(1.0)
    assert area(run([0.9, 0.9, 0.9], [1.0, 1.0, 1.0])) == 0.0
    assert area(run([0.9], [1.0])) is None and area(run([], [])) is None


def test_stopping_early_earns_only_what_was_reached() -> None:
    """From 1 to 0.6 at full retention: 0.4 of the way."""
    assert area(run([1.0, 0.6], [1.0, 1.0])) == pytest.approx(0.4)


def test_a_level_counts_when_it_is_first_reached() -> None:
    """Down to 0.5 (retain 0.8), back to 0.75, down to 0 (retain 0.2): the way back is no forgetting.

    [1, 0.5] has mean retain 0.9. From 0.75 to 0 retain falls from 0.7 to 0.2; at 0.5 it is 0.7 - 0.5/3, so that
    [0.5, 0] has mean (0.5333 + 0.2) / 2.
    """
    record = run([1.0, 0.5, 0.75, 0.0], [1.0, 0.8, 0.7, 0.2])
    assert area(record) == pytest.approx(0.5 * 0.9 + 0.5 * (0.7 - 0.5 / 3 + 0.2) / 2)
    assert retained_at(record, 0.5) == pytest.approx(0.8)
    assert retained_at(record, 0.25) == pytest.approx(0.7 - 0.5 * 2 / 3)


def test_over_seeds_with_a_t_interval() -> None:
    """Retained 0.6 and 0.8 at 0.5: mean 0.7, standard error 0.1, t(1) = 12.706."""
    records = [run([1.0, 0.5], [1.0, y], s) for s, y in enumerate((0.6, 0.8))]
    found = matched(records, 0.5).retained
    assert (found.value, found.n, found.note) == (pytest.approx(0.7), 2, "")
    assert (found.lo, found.hi) == pytest.approx((0.7 - 1.27062, 0.7 + 1.27062), abs=1e-4)


def test_what_is_not_reached_or_not_traced_says_so() -> None:
    high, low = run([1.0, 0.7], [1.0, 0.9]), run([1.0, 0.2], [1.0, 0.6])
    assert matched([high], 0.5).retained == (None, None, None, 0, "not reached")
    assert matched([high, low], 0.5).retained.note == "reached by 1 of 2 seeds"
    assert matched([low], 0.5).retained[1:4] == (None, None, 1)  # one seed: no interval
    assert matched([run([], [])], 0.5).area.note == "no trace"


def test_methods_are_tested_paired_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3 at the level: t = 0.2 / (0.1 / sqrt 3) = 3.464 at 2 degrees of freedom, p = 0.0742."""
    runs = {
        "a": {s: run([1.0, 0.0], [1.0, y]) for s, y in enumerate((0.6, 0.7, 0.8))},
        "b": {s: run([1.0, 0.0], [1.0, y]) for s, y in enumerate((0.4, 0.3, 0.2))},
        "c": {0: run([1.0, 0.0], [1.0, 0.4])},
    }
    found = compare(runs, [("a", "b"), ("a", "c")], 0.5, 0.05)
    assert [(c.a, c.b, c.metric) for c in found] == [("a", "b", RETAINED), ("a", "b", AREA)]
    assert found[0].difference == pytest.approx(0.2) and found[0].seeds == (0, 1, 2)
    assert found[0].p == pytest.approx(0.07418, abs=1e-5)
    assert found[0].p_holm == pytest.approx(2 * 0.07418, abs=1e-4)
    half = 4.30265 * 0.1 / math.sqrt(3)
    assert (found[0].lo, found[0].hi) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-4)
