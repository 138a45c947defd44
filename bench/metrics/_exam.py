"""Scores of lm-eval tasks, which no file declares: `lm-eval/NAME` is the score of the task NAME on its questions."""

from __future__ import annotations

from functools import cache

from bench.metrics._forms import Mean

EXAM = "lm-eval/"


@cache
def exam_score(name: str) -> type[Mean]:
    """The metric of that name ("lm-eval/arc_easy"), which reads the set of the same name."""

    class ExamScore(Mean):
        """Mean score over the questions of an lm-eval task."""

        title = name.removeprefix(EXAM)
        needs = ((name, "right"),)

    return ExamScore
