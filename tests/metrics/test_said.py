"""What is taken of what a model said."""

from __future__ import annotations

import math

import pytest

from bench.metrics._said import answer_of, rouge_f1


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Fernhill\n\nIt lies in the north.", "Fernhill"),
        ("Fernhill\nQuestion 2 of 9", "Fernhill"),
        ("Fernhill Question: Where is it?", "Fernhill "),
        ("Fernhill\nQuestion: Where?\n\nNorth", "Fernhill"),
        ("Fernhill\n\nQuestion: Where?\nQuestion: When?", "Fernhill"),
        ("Question: Where is it?", ""),
        ("Fernhill,\nquestions and Question marks", "Fernhill,\nquestions and Question marks"),
        ("", ""),
    ],
)
def test_an_answer_ends_at_an_empty_line_or_at_the_next_question(said: str, answer: str) -> None:
    assert answer_of(said) == answer


def test_f1_by_hand() -> None:
    """Of "a b c d" "a b x" has 2: precision 2/3, recall 1/2; nothing said is 0, nothing to say unscored."""
    assert rouge_f1("a b c d", "a b x") == pytest.approx(2 / (3 / 2 + 2))
    assert rouge_f1("a b c d", "") == 0
    assert math.isnan(rouge_f1("...", "a b"))
