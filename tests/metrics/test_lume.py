"""LUME's components, aggregate, parts and final score on hand-made cells whose numbers are worked out here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.api import make_task
from bench.metrics._exam import exam_score
from bench.score.scoring import build, item_table, score_items

LUME = list(make_task("lume").scores)
SIDES = ("forget", "retain")


def cell(forget: tuple[float, float], retain: tuple[float, float], general: float = 0.5, tasks=(1, 2, 3), gap=0.0):
    """Items whose regurgitation and knowledge are as given, ten of each kind; members have `gap` less loss a token.

    Regurgitation r: of ten words, the completion repeats the first 10 r. Knowledge k: 10 k of ten answers are right.
    """
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    items = []
    for side, (regurgitation, knowledge) in zip(SIDES, (forget, retain)):
        for task in tasks:
            for i in range(10):
                kept = " ".join(words[: round(10 * regurgitation)]) or "nothing"
                place = {"id": f"{side}{task}-{i}", "cluster": f"document-{i}"}
                items.append({"set": f"{side}{task}-completion", **place, "completion": [" ".join(words), kept]})
                said = " Right. " if i < round(10 * knowledge) else "right"
                items.append({"set": f"{side}{task}-question", **place, "question": ["right.", said]})
    for i in range(10):
        loss = 1 + i / 10
        items.append({"set": "forget", "id": f"f{i}", "answer": {"logp": [-loss, -loss]}})
        items.append({"set": "member", "id": f"m{i}", "document": {"logp": [gap - loss, gap - loss, -9.0]}})
        items.append({"set": "nonmember", "id": f"n{i}", "document": {"logp": [-loss, -loss, -9.0]}})
        items.append({"set": "general", "id": f"g{i}", "exam": int(i < round(10 * general))})
    return items


def scored(rows_of, items, retrain=None, names=LUME):
    table = item_table(rows_of(items), names)
    return score_items(table, item_table(rows_of(retrain), names) if retrain else table, names)


def test_components_and_aggregate_by_hand(rows_of) -> None:
    """Forget 0.2 and 0.4, retain 0.8 and 0.5, alike in all tasks: the aggregate is
    12 / (3 (1/0.8 + 1/0.6 + 1/0.8 + 1/0.5)), as 1 - 0.2 = 0.8 and 1 - 0.4 = 0.6."""
    found = scored(rows_of, cell((0.2, 0.4), (0.8, 0.5)))
    for task in (1, 2, 3):
        assert found[f"forget_regurgitation_{task}"].value == pytest.approx(0.2)
        assert found[f"forget_knowledge_{task}"].value == pytest.approx(0.4)
        assert found[f"retain_regurgitation_{task}"].value == pytest.approx(0.8)
        assert found[f"retain_knowledge_{task}"].value == pytest.approx(0.5)
    assert found["lume_task_aggregate"].value == pytest.approx(4 / (1 / 0.8 + 1 / 0.6 + 1 / 0.8 + 1 / 0.5))
    assert found["lume_model_utility"].value == pytest.approx(7 / (3 / 0.8 + 3 / 0.5 + 1 / 0.5))
    assert found["lume_regurgitation"].value == pytest.approx(0.2)
    assert found["lume_knowledge"].value == pytest.approx(0.4)


ENDS = {
    # forget, retain, general, gap of the members' loss: task aggregate, MIA score, final
    "untouched": (((1.0, 1.0), (1.0, 1.0), 0.5, 2.0), (0.0, 0.0, 0.5 / 3)),
    "destroyed": (((0.0, 0.0), (0.0, 0.0), 0.25 * 0.8, 0.0), (0.0, 1.0, 1.2 / 3)),
    "perfect": (((0.0, 0.0), (1.0, 1.0), 0.5, 0.0), (1.0, 1.0, 2.5 / 3)),
}


@pytest.mark.parametrize("given, expected", ENDS.values(), ids=ENDS)
def test_the_ends(rows_of, given, expected) -> None:
    """An untouched model and a destroyed one both have aggregate 0; the destroyed one's final score is 0.4 all the
    same, because its MIA score is 1: the reason why the three parts are always shown."""
    forget, retain, general, gap = given
    found = scored(rows_of, cell(forget, retain, general, gap=gap))
    aggregate, membership, final = expected
    assert found["lume_task_aggregate"].value == pytest.approx(aggregate)
    assert found["lume_mia_score"].value == pytest.approx(membership)
    assert found["lume_final"].value == pytest.approx(final)


def test_one_component_at_its_worst_makes_the_aggregate_0(rows_of) -> None:
    items = cell((0.0, 0.0), (1.0, 1.0))
    for item in items:
        if item["set"] == "retain2-question":
            item["question"] = ["right.", "wrong"]
    found = scored(rows_of, items)
    assert found["retain_knowledge_2"].value == 0
    assert found["lume_task_aggregate"].value == 0


def test_knowledge_ignores_case_and_outer_blanks_only(rows_of) -> None:
    said = {"right.": 1, " RIGHT. ": 1, "right": 0, "right..": 0, "": 0, "ri ght.": 0}
    items = [{"set": "forget1-question", "id": str(i), "question": [" Right.\n", s]} for i, s in enumerate(said)]
    column = item_table(rows_of(items), ["forget_knowledge_1"])["knowledge"]
    assert column.tolist() == list(said.values())


def test_regurgitation_is_recall_with_stems(rows_of) -> None:
    """Longest common subsequence over the reference's stems: "runs" is "running", what is beside it is nothing."""
    items = [
        {"set": "forget1-completion", "id": "a", "completion": ["He runs to town.", "he running far to a big town"]}
    ]
    table = item_table(rows_of(items), ["forget_regurgitation_1"])
    assert table["regurgitation"].tolist() == [1.0]


def test_a_part_has_an_aggregate_of_its_own_four(rows_of) -> None:
    """lume:task2 has no items of the others: 4 / (1/0.8 + 1/0.6 + 1/0.8 + 1/0.5), utility of its two and general."""
    names = list(make_task("lume:task2").scores)
    found = scored(rows_of, cell((0.2, 0.4), (0.8, 0.5), tasks=(2,)), names=names)
    assert found["lume_task_aggregate"].value == pytest.approx(4 / (1 / 0.8 + 1 / 0.6 + 1 / 0.8 + 1 / 0.5))
    assert found["lume_model_utility"].value == pytest.approx(3 / (1 / 0.8 + 1 / 0.5 + 1 / 0.5))
    assert (found["lume_regurgitation"].value, found["lume_knowledge"].value) == pytest.approx((0.2, 0.4))
    assert not any(name.endswith(("_1", "_3")) for name in names)


@pytest.mark.parametrize("lost", ["general", "nonmember"])
def test_what_was_not_measured_is_no_default_number(rows_of, lost: str) -> None:
    """Without the exam or without non-members there is no final score, and the reason is said; never a silent 0.5."""
    found = scored(rows_of, [item for item in cell((0.2, 0.4), (0.8, 0.5)) if item["set"] != lost])
    assert found["lume_final"].value is None and found["lume_final"].note
    assert (found["lume_mia_score"].value is None) == (lost == "nonmember")
    assert (found["lume_model_utility"].value is None) == (lost == "general")
    assert found["lume_task_aggregate"].value is not None


def test_documents_are_judged_without_the_end_of_sequence(rows_of) -> None:
    """A last token of -9 in all documents would hide a gap of 0.05 a token; AUC by hand: members 0.05 lower, so of the
    100 pairs member < non-member in 55."""
    found = scored(rows_of, cell((0.2, 0.4), (0.8, 0.5), gap=0.05))
    assert found["lume_mia_auc"].value == pytest.approx(0.55)
    assert found["lume_mia_score"].value == pytest.approx(0.9)


def test_forget_quality_is_the_ks_test_of_the_losses(rows_of) -> None:
    """Ten losses against ten that are all larger: D = 1, p = 2 / C(20, 10) exactly; against itself 1."""
    ours, theirs = cell((0.2, 0.4), (0.8, 0.5)), cell((0.2, 0.4), (0.8, 0.5))
    for item in theirs:
        if item["set"] == "forget":
            item["answer"] = {"logp": [2 * v for v in item["answer"]["logp"]]}
    found = scored(rows_of, ours, theirs)
    disjoint = [item["answer"]["logp"][0] for item in ours if item["set"] == "forget"]
    assert max(map(abs, disjoint)) < 2 * min(map(abs, disjoint))
    assert found["lume_forget_quality"].value == pytest.approx(2 / math.comb(20, 10))
    assert scored(rows_of, ours, ours)["lume_forget_quality"].value == 1


def test_published_rows_are_means_of_their_three_parts() -> None:
    """Golden data: the leaderboard of SemEval-2025 Task 4 as `bench.board.reported` keeps it, and our formula."""
    reported = pytest.importorskip("bench.board.reported")
    final = build("lume_final")
    checked = 0
    for table in reported.tables():
        names = [column.lower() for column in table.columns]
        if not {"final", "mmlu"} <= set(names):
            continue
        for row in table.rows:
            line = dict(zip(names, row, strict=True))
            parts = [line.get(key) for key in names if key in ("task aggregate", "mia score", "mmlu")]
            if len(parts) == 3 and all(isinstance(part, float | int) for part in parts):
                assert np.mean(parts) == pytest.approx(line["final"], abs=0.0015), line
                checked += 1
    assert checked >= 20
    assert final.goal == "maximise"


def test_an_lm_eval_task_is_a_score_of_its_own(rows_of) -> None:
    items = [{"set": "lm-eval/arc", "id": str(i), "exam": int(i < 3)} for i in range(4)]
    table = item_table(rows_of(items), ["lm-eval/arc"])
    assert score_items(table, None, ["lm-eval/arc"])["lm-eval/arc"].value == 0.75
    assert exam_score("lm-eval/arc").title == "arc"
