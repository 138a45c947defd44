"""Which cells a table takes: each reason to leave one out, alone, and what looks like a reason and is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from bench.api import Score
from bench.compare.left_out import why
from bench.score.scoring import build
from bench.store.record import ELSEWHERE, Cell, Record
from bench.store.versions import SCORE

MINE = Cell("tofu:forget10", "mine", "tiny", "embedded", 3)
RETRAIN = MINE._replace(method="retrain")
COMPARES, ALONE = "forget_quality", "rouge"  # the first reads the retrain model, the second does not
CURRENT = {f"metric {name}": build(name).version for name in (COMPARES, ALONE)} | {"scoring": SCORE}
FIT = Record(MINE, "ok", {"measure": "m"}, {**CURRENT, "retrain": "r", "probes": "p"}, scores={COMPARES: Score(0.1)})
REFERENCE = Record(RETRAIN, "ok", {"measure": "r"}, {**CURRENT, "probes": "p"}, scores={ALONE: Score(0.5)})


def said(retrain: Record | None = REFERENCE, identity: Mapping[str, Any] = FIT.identity, **other: Any) -> str:
    """Why the cell is left out when its record is changed so."""
    record = dataclasses.replace(FIT, identity=identity, **other)
    beside = {} if retrain is None else {RETRAIN: retrain}
    return why(MINE, {MINE: record, **beside})


def test_a_finished_cell_beside_its_retrain_model_stands() -> None:
    assert said() == ""
    assert why(RETRAIN, {MINE: FIT, RETRAIN: REFERENCE}) == ""


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        ("failed", "\nin between\nout of memory\n", "failed: out of memory"),
        ("diverged", " \n", "diverged: no reason kept"),
    ],
)
def test_an_unfinished_cell_gives_the_last_line_of_its_error(status: Any, error: str, reason: str) -> None:
    assert said(status=status, error=error) == reason


def test_a_cell_without_scores_is_to_be_run_again() -> None:
    assert said(scores={}) == "it has no score at all. Run its cell again"


@pytest.mark.parametrize(
    ("identity", "of"),
    [
        (CURRENT | {f"metric {ALONE}": CURRENT[f"metric {ALONE}"] + 1}, f" of {ALONE}"),
        (CURRENT | {"scoring": SCORE - 1}, ""),
        ({name: of for name, of in CURRENT.items() if name != "scoring"}, ""),
    ],
)
def test_what_was_scored_otherwise_than_today_is_stale(identity: Mapping[str, Any], of: str) -> None:
    reason = f"stale: scored by an older version{of}. Run: python -m bench score"
    assert said(identity={**FIT.identity, "scoring": None} | identity) == reason
    assert why(RETRAIN, {RETRAIN: dataclasses.replace(REFERENCE, identity=identity)}) == reason


@pytest.mark.parametrize(
    "identity",
    [
        {"retrain": "r", "probes": "p", "scoring": SCORE - 1},  # of an old record that tells of no metric
        FIT.identity | {"metric that_is_gone": 7},
        *({**FIT.identity, "retrain": against} for against in (None, "itself", "")),
        {name: of for name, of in FIT.identity.items() if name != "retrain"},
    ],
)
def test_what_is_not_told_or_not_known_here_is_no_reason(identity: Mapping[str, Any]) -> None:
    assert said(identity=identity) == ""


def test_a_cell_measured_against_another_retrain_model_or_on_other_texts_is_stale() -> None:
    changed = dataclasses.replace(REFERENCE, keys={"measure": "s"})
    asked = dataclasses.replace(REFERENCE, identity={**CURRENT, "probes": "q"})
    assert said(changed) == "stale: compared with a retrain model that has changed since"
    assert said(asked) == "stale: measured on other texts than its retrain reference"
    neither = dataclasses.replace(asked, identity=CURRENT)
    assert said(neither, identity={name: of for name, of in FIT.identity.items() if name != "probes"}) == ""


@pytest.mark.parametrize("retrain", [None, dataclasses.replace(REFERENCE, status="failed")])
def test_only_what_was_compared_with_retrain_falls_with_it(retrain: Record | None) -> None:
    assert said(retrain) == "its retrain reference (seed 3) is gone"
    for scores in ({ALONE: Score(0.5)}, {COMPARES: Score(None), ALONE: Score(0.5)}, {"that_is_gone": Score(0.5)}):
        assert said(retrain, scores=scores) == ""
    assert said(retrain, scores={ALONE: Score(0.5), COMPARES: Score(0.5)}) != ""


def test_runs_of_other_people_need_no_retrain_model() -> None:
    there = MINE._replace(data=ELSEWHERE)
    assert why(there, {there: dataclasses.replace(FIT, cell=there)}) == ""
