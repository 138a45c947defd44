"""Settings are compared where they have forgotten equally much, not where they happened to stop."""

from __future__ import annotations

import math

import pytest

from bench.api import Score
from bench.compare.trade_off import retained_at
from bench.run.compose import compose
from bench.store.record import Cell, Record
from bench.study.ablate import BASE, RANDOM, compare, methods, report
from bench.study.study import over_seeds


def run(method: str, seed: int, forget: list[float], retain: list[float]) -> Record:
    curve = {"trace forget probability": forget, "trace retain probability": retain}
    scores = {name: Score(0.5, 0.4, 0.6, 10) for name in ("model_utility", "task_aggregate")}
    cell = Cell("tofu:forget10", method, "tiny", "embedded", seed)
    return Record(cell, "ok", {}, {}, scores=scores, curve=curve, cost={"weights_moved": 7})


def test_retained_is_interpolated_at_the_first_crossing():
    """Between (0.8, 0.9) and (0.4, 0.7) forget 0.5 lies three quarters of the way: 0.9 - 0.75 * 0.2 = 0.75."""
    record = run("a", 0, [1.0, 0.8, 0.4, 0.9, 0.1], [1.0, 0.9, 0.7, 0.9, 0.1])
    assert retained_at(record, 0.5) == pytest.approx(0.75)
    assert retained_at(record, 0.05) is None
    assert retained_at(record, 1.0) is None


def test_stopping_early_does_not_win():
    """Two runs on one and the same curve, one of them stopped half-way: equal at every level that both reach."""
    long = run("a", 0, [1.0, 0.8, 0.6, 0.4, 0.2], [1.0, 0.95, 0.9, 0.8, 0.5])
    short = run("b", 0, [1.0, 0.8, 0.6], [1.0, 0.95, 0.9])
    assert retained_at(long, 0.7) == pytest.approx(retained_at(short, 0.7))
    assert retained_at(short, 0.5) is None


def test_intervals_over_seeds():
    """0.1, 0.2, 0.3: mean 0.2, s = 0.1, t(0.975, 2) = 4.3027, half-width 0.43027 / sqrt(3), cut at 0, where a share
    ends. One seed leaves it unknown."""
    estimate = over_seeds([0.1, 0.2, 0.3])
    assert estimate.mean == pytest.approx(0.2) and estimate.lo == 0
    assert estimate.hi - estimate.mean == pytest.approx(0.4302653 / math.sqrt(3), rel=1e-5)
    assert over_seeds([1.0])[1:] == (None, None, 1)
    assert str(over_seeds([])) == "not reached"


def test_comparisons_are_paired_by_seed():
    records = {}
    for seed, shift in enumerate((0.0, 0.2, 0.4)):
        records["a", seed] = run("a", seed, [1.0, 0.0], [1.0, 0.4 - shift])
        records["b", seed] = run("b", seed, [1.0, 0.0], [1.0, 0.2 - shift])
    difference = compare(records, "a", "b", 0.5)
    assert difference.mean == pytest.approx(0.1)
    assert difference.hi - difference.lo == pytest.approx(0, abs=1e-9)


def test_random_neurons_stand_in_every_table_and_every_setting_can_be_made():
    made = {(name, 0): run(name, 0, [1.0, 0.2], [1.0, 0.8]) for name in methods()}
    tables = report(made, 0.5).split("### ")[1:]
    assert len(tables) == 6
    assert all("neurons=random" in table for table in tables if not table.startswith("t, at"))
    assert {BASE, RANDOM} <= set(methods())
    for name in methods():
        assert compose(name, "tiny").method.name == name
