"""The board is a pure function of records: controls on top, order and seeds as stated, nothing left out in silence."""

from __future__ import annotations

import pytest

from bench.api import Score
from bench.leaderboard import number, render, rows
from bench.record import Cell, Record


def board(*specs) -> dict[Cell, Record]:
    """Records from (method, seed, task aggregate, forget quality) or (method, seed, status)."""
    made = {}
    for method, seed, *rest in specs:
        cell = Cell("tofu:forget10", method, "tiny", "embedded", seed)
        scores = {}
        if len(rest) == 2:
            aggregate, quality = rest
            scores = {
                "task_aggregate": Score(aggregate, aggregate - 0.1, aggregate + 0.1, 100),
                "forget_quality": Score(quality, quality / 10, min(1.0, quality * 10), 100),
                "mia_auc": Score(None, note="no holdout split"),
            }
        made[cell] = Record(cell, "ok" if scores else rest[0], {}, {}, scores=scores, error="boom")
    return made


def test_controls_stand_on_top_and_the_rest_by_aggregate():
    records = board(("b", 0, 0.2, 0.1), ("retrain", 0, 0.1, 1.0), ("a", 0, 0.7, 0.1), ("target", 0, 0.0, 1e-9))
    assert [row["method"] for row in rows(records)] == ["target", "retrain", "a", "b"]


def test_several_seeds_are_one_row_with_the_widest_interval():
    """Aggregates 0.4 and 0.6 average to 0.5 and cover [0.3, 0.7]; p-values 1e-2 and 1e-4 to their log mean 1e-3."""
    (row,) = rows(board(("a", 0, 0.4, 1e-2), ("a", 1, 0.6, 1e-4)))
    assert row["seeds"] == [0, 1]
    aggregate, quality = row["scores"]["task_aggregate"], row["scores"]["forget_quality"]
    assert (aggregate["value"], aggregate["lo"], aggregate["hi"]) == pytest.approx((0.5, 0.3, 0.7))
    assert quality["value"] == pytest.approx(1e-3)
    assert set(aggregate) >= {"value", "lo", "hi", "n"}


def test_cells_without_scores_are_listed_and_not_averaged():
    records = board(("a", 0, 0.4, 0.1), ("a", 1, "diverged"), ("c", 0, "failed"))
    found = {row["method"]: row for row in rows(records)}
    assert found["a"]["seeds"] == [0]
    assert found["a"]["scores"]["task_aggregate"]["value"] == 0.4
    text = render(records)
    assert "- a: seed 1 diverged: boom" in text
    assert "- c: seed 0 failed: boom" in text
    assert "Unscored, no holdout split: mia_auc." in text


def test_the_world_stands_in_the_heading_and_order_of_records_does_not_count():
    records = board(("b", 0, 0.2, 0.1), ("a", 0, 0.7, 0.1))
    text = render(records)
    assert "no number below is a TOFU or LUME number" in text
    assert render(dict(reversed(records.items()))) == text


def test_numbers_as_printed():
    assert number("mia_auc", Score(0.5, 0.4, 0.61234, 9)._asdict()) == "0.500 [0.400, 0.612]"
    assert number("mia_auc", Score(0.5, n=1)._asdict()) == "0.500 [unknown]"
    assert number("forget_quality", Score(1.234e-21, 1e-29, 2e-17, 300)._asdict()) == "1.2e-21 [1e-29, 2e-17]"
    assert number("mia_auc", Score(None)._asdict()) == "-"
