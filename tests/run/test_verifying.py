"""What is said of a cell that was repeated."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.api import Score
from bench.run.verifying import compared, otherwise
from bench.store.record import Cell, Record

CELL = Cell("tofu:forget10", "fo-npo", "tiny", "embedded", 0)
RECORD = Record(
    CELL, "ok", {}, {}, environment={"torch": "2.13.0", "threads": 1, "python": "3.12"},
    scores={"a": Score(0.5, 0.4, 0.6, 20), "b": Score(None, note="undefined")},
)  # fmt: skip


def with_scores(**scores: Score) -> Record:
    return replace(RECORD, scores={**RECORD.scores, **scores})


@pytest.mark.parametrize(
    ("again", "worst", "where"),
    [
        (RECORD, 0.0, "a"),
        (with_scores(a=Score(0.5, 0.4, 0.6 + 1e-9, 20)), 1e-9, "a"),
        (with_scores(a=Score(0.5, None, None, 20)), math.inf, "a"),
        (with_scores(b=Score(0.0)), math.inf, "b"),
        (with_scores(c=Score(1.0)), 0.0, "a"),
        (replace(RECORD, scores={}), math.inf, "a"),
    ],
)
def test_the_largest_difference_of_a_score_or_of_an_end_of_its_interval(again: Record, worst: float, where: str):
    verdict = compared(RECORD, again)
    assert verdict.worst == pytest.approx(worst, rel=1e-3) and verdict.where == where


def test_a_cell_that_ends_otherwise_differs_however_small_its_scores_do():
    verdict = compared(RECORD, replace(RECORD, status="diverged", error="the loss is not finite"))
    assert verdict.worst == math.inf and verdict.why == "ok then, diverged now: the loss is not finite"
    failed = replace(RECORD, status="diverged", scores={})
    assert compared(failed, failed).worst == 0


def test_what_numbers_may_depend_on_is_named():
    again = replace(RECORD, environment={"torch": "2.14.0", "threads": 1, "python": "3.13"})
    assert otherwise(RECORD, again) == {"torch": ("2.13.0", "2.14.0")}
