"""A task from a list of questions: read from JSON, turned into what is taught and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.api import Pair, Probes, Prompt, Splits, Text
from bench.errors import UsageError
from bench.reading import json_of


class Question(NamedTuple):
    """A question with its answer.

    Attributes:
        forget: whether it is to be forgotten; the others are to be kept.
        about: what questions hang together by, such as a person; intervals are over these. By default each is alone.
        paraphrase: the answer in other words; truth ratios need it.
        wrong: false answers of the same form; truth ratios and accuracy need them.
    """

    question: str
    answer: str
    forget: bool = False
    about: str = ""
    paraphrase: str = ""
    wrong: Sequence[str] = ()


def read(file: Path) -> list[Question]:
    """The questions of a JSON file: a list of objects with the attributes of `Question`.

    Raises:
        UsageError: no such file, no such list, an attribute that is missing, unknown or of another type.
    """
    try:
        rows = json_of(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if not isinstance(rows, list):
        raise UsageError(f'{file} holds no list: write [{{"question": "...", "answer": "...", "forget": true}}, ...]')
    return [_question(row, f"{file}, question {number}") for number, row in enumerate(rows, 1)]


def _question(row: object, where: str) -> Question:
    if not isinstance(row, dict) or not {"question", "answer"} <= row.keys():
        raise UsageError(f"{where}: it needs at least a question and an answer")
    if odd := row.keys() - set(Question._fields):
        raise UsageError(f"{where}: nobody knows '{min(odd)}'. There are: {', '.join(Question._fields)}")
    for name, value in row.items():
        kind, words = {"forget": (bool, "true or false"), "wrong": (list, "a list of texts")}.get(name, (str, "a text"))
        if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
            raise UsageError(f"{where}: '{name}' is {words}, not {value!r}")
    return Question(**row)


def validating(questions: Sequence[Question]) -> list[Question]:
    """The questions that are to be kept, those of every third person forgotten: data to tune on (`bench tune`)."""
    kept = [q._replace(about=q.about or str(i)) for i, q in enumerate(questions) if not q.forget]
    chosen = frozenset(list(dict.fromkeys(q.about for q in kept))[::3])
    return [q._replace(forget=q.about in chosen) for q in kept]


def splits(
    questions: Sequence[Question], *, base: Sequence[Pair] = (), max_new_tokens: int = 32, notes: Sequence[str] = ()
) -> Splits:
    """What is taught and measured: every question in the set `forget` or `retain`, asked and scored.

    Args:
        base: what a model from scratch is taught before, such as plain sentences; a pretrained one never sees it.
        max_new_tokens: how long an answer may become.
        notes: what a reader of the board must know.
    """
    pairs = {
        which: tuple(Pair(q.question, q.answer) for q in questions if q.forget is which) for which in (True, False)
    }
    asked = [(("retain", "forget")[q.forget], str(i), q.about or str(i), q) for i, q in enumerate(questions)]
    texts = [text for item in asked for text in _texts(*item)]
    prompts = [Prompt(s, i, about, "question", q.question, q.answer, max_new_tokens) for s, i, about, q in asked]
    corpus = [f"Question: {q.question}\nAnswer: {q.answer}" for q in questions]
    corpus += [f"{pair.prompt} {pair.answer}" for pair in base]
    return Splits(
        tuple(base), (), pairs[True], pairs[False], Probes(tuple(texts), tuple(prompts)), tuple(corpus), tuple(notes)
    )


def _texts(which: str, name: str, about: str, question: Question) -> list[Text]:
    said = [("answer", 0, question.answer)]
    said += [("paraphrase", 0, question.paraphrase)] if question.paraphrase else []
    said += [("perturbed", index, text) for index, text in enumerate(question.wrong)]
    return [Text(which, name, about, role, question.question, text, index) for role, index, text in said]
