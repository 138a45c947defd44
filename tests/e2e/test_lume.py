"""LUME in the embedded world from the outside: what target and retrain model know, and that the exam is held."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lume")]  # one worker: its runs are shared


@pytest.fixture(scope="module")
def records(bench):
    """The two controls on LUME's part of biographies, the hardest of the three to memorise."""
    bench("run", "--methods", "target,retrain", "--tasks", "lume:task2", "--workers", "2")
    folder = bench.folder / "results" / "embedded" / "tiny" / "lume-task2"
    return {name: json.loads((folder / f"{name}.seed0.json").read_text()) for name in ("target", "retrain")}


def value(record, name: str) -> float:
    return record["scores"][name]["value"]


def test_the_target_has_learnt_the_forget_set_and_the_retrain_model_has_not(records):
    for name in ("forget_regurgitation_2", "forget_knowledge_2"):
        assert value(records["target"], name) >= 0.9
        assert value(records["retrain"], name) <= 0.3
    assert (
        value(records["target"], "lume_task_aggregate") < 0.3 < 0.9 < value(records["retrain"], "lume_task_aggregate")
    )


def test_membership_shows_in_the_target_only(records):
    assert value(records["target"], "lume_mia_score") < 0.8 < value(records["retrain"], "lume_mia_score")
    assert value(records["target"], "lume_forget_quality") < 1e-3


def test_the_exam_is_clearly_above_chance(records):
    """145 questions of four options: the interval of what was taught lies above 0.25 by far."""
    score = records["target"]["scores"]["general_knowledge"]
    assert score["n"] == 145 and score["lo"] > 0.5


def test_an_unknown_exam_is_refused_before_any_work(bench):
    run = bench("run", "--methods", "target", "--tasks", "lume", "--lm-eval", "arc_eazy", status=2)
    assert "arc_easy" in run.stderr
