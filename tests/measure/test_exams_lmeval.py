"""Answers of lm-eval tasks as lines, and as the score `lm-eval/NAME` of a cell; lm-eval itself does not run here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.api import Exam, Ragged, Rows
from bench.measure import exams
from bench.measure.exams import sit
from bench.run.plan import metrics
from bench.score.scoring import item_table, score_items


def choice(number: int, target: int, logps: list[float], norm: float = 0.0) -> dict:
    """A multiple-choice sample as lm-eval logs it: (log-probability, is greedy) of each option."""
    right = float(max(range(len(logps)), key=logps.__getitem__) == target)
    return {
        "doc_id": number, "target": target, "filtered_resps": [(logp, False) for logp in logps],
        "metrics": ["acc_norm", "acc"], "acc": right, "acc_norm": norm,
    }  # fmt: skip


def written(number: int, target: str, answer: str, right: float) -> dict:
    """A sample of a task whose answers are generated."""
    said = {"doc_id": number, "target": target, "filtered_resps": [answer]}
    return {**said, "metrics": ["f1", "exact_match"], "exact_match": right, "f1": 0.5}


SAMPLES = {
    "arc": {"arc": [choice(0, 0, [-1.0, -3.0]), choice(1, 0, [-4.0, -2.0], 1.0), choice(2, 1, [-4.0, -2.0])]},
    "mmlu": {
        "mmlu_law": [choice(0, 2, [-9.0, -8.0, -1.0, -7.0]), choice(1, 3, [-9.0, -2.0, -3.0, -7.0])],
        "mmlu_art": [choice(0, 1, [-9.0, -2.0, -3.0, -7.0])],
    },
    "gsm": {"gsm": [written(0, "18", "18", 1.0), written(1, "7", "no idea", 0.0)]},
}
ASKED = [Exam(f"lm-eval/{name}", name) for name in SAMPLES]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.setattr(exams, "_evaluate", lambda lm, exam: SAMPLES[exam.task])
    table, notes = sit(None, ASKED)  # type: ignore[arg-type]
    assert notes == [] and set(table.role) == {"exam"} and table.finished.all()
    return table.set_index("set")


def test_a_choice_is_a_letter_and_scored_by_acc(answers: pd.DataFrame) -> None:
    """The given option is the most probable one; acc counts though acc_norm comes first; questions are own clusters."""
    arc = answers.loc["lm-eval/arc"]
    assert arc.generation.tolist() == ["A", "B", "B"] and arc.reference.tolist() == ["A", "A", "B"]
    assert arc.score.tolist() == [1.0, 0.0, 1.0]
    assert arc.id.tolist() == arc.cluster.tolist() == ["arc-00000", "arc-00001", "arc-00002"]


def test_questions_of_a_group_hang_together_by_subject(answers: pd.DataFrame) -> None:
    mmlu = answers.loc["lm-eval/mmlu"]
    assert mmlu.id.tolist() == ["mmlu_law-00000", "mmlu_law-00001", "mmlu_art-00000"]
    assert mmlu.cluster.tolist() == ["mmlu_law", "mmlu_law", "mmlu_art"]
    assert mmlu.generation.tolist() == ["C", "B", "B"] and mmlu.reference.tolist() == ["C", "D", "B"]


def test_a_written_answer_is_kept_as_text(answers: pd.DataFrame) -> None:
    gsm = answers.loc["lm-eval/gsm"]
    assert gsm.reference.tolist() == ["18", "7"] and gsm.generation.tolist() == ["18", "no idea"]
    assert gsm.score.tolist() == [1.0, 0.0]


def test_they_end_as_scores_of_the_cell(answers: pd.DataFrame) -> None:
    """Two of three, two of three, one of two; and only what was asked for."""
    names = [name for name in metrics("tofu:forget10", [exam.set for exam in ASKED]) if name.startswith("lm-eval/")]
    assert names == [exam.set for exam in ASKED]
    assert not [name for name in metrics("tofu:forget10") if name.startswith("lm-eval/")]
    texts = pd.DataFrame(columns=["set", "id", "cluster", "role", "index", "continuation"])
    none = Ragged(np.zeros(0, np.float32), np.zeros(1, np.int64))
    table = item_table(Rows(texts, none, none, none, none, answers.reset_index()), names)
    scores = score_items(table, None, names)
    assert {name: scores[name].value for name in names} == pytest.approx(
        {"lm-eval/arc": 2 / 3, "lm-eval/mmlu": 2 / 3, "lm-eval/gsm": 1 / 2}
    )
    arc, *fewer = (scores[name] for name in names)
    assert arc.lo < arc.value < arc.hi
    assert all(score.lo is None for score in fewer), "two subjects, or two questions, have no interval"
