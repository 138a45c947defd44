"""The embedded world in LUME's tables: which documents are forgotten, kept, seen by no model, or taught to the base."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice

from bench.api import Pair, Probes
from tasks._embedded import neighbours
from tasks._embedded.documents import Document, documents, rows
from tasks._embedded.facts import facts, multiple_choice
from tasks._lume_files import TASKS, Row, Tables

NOTE = (
    "The embedded world: invented documents, personal data that can belong to nobody, and a tiny model that stand in "
    "for LUME; general knowledge is asked by an exam of this project in place of MMLU. None of these is a LUME number."
)
FORGET = RETAIN = HOLDOUT = 40  # documents of each task
BASE = 80
NEW = 12  # documents of each task of which attacks tell
REHEARSED = 20  # base documents of each task that every fine-tuning repeats


@cache
def lume_tables(seed: int = 0) -> Tables:
    """Forget and retain rows of all three tasks; members are the forget documents, non-members nobody has seen."""
    parts = {name: tuple(_rows(name, seed)) for name in ("forget", "retain", "holdout")}
    texts = {name: {row.id: row.text for row in part if row.kind == "completion"} for name, part in parts.items()}
    return Tables(parts["forget"], parts["retain"], texts["forget"], texts["holdout"])


@cache
def base_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What the base model is taught: other documents, the general facts, and choices between the answers to these."""
    return (*_pairs(_rows("base", seed)), *general_facts())


@cache
def general_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What every fine-tuning rehearses: the general facts with their choices, and some documents of the base."""
    rehearsed = [row for row in _rows("base", seed) if int(row.document.rsplit("-", 1)[1]) < REHEARSED]
    return (*_pairs(rehearsed), *general_facts())


def unseen(tasks: Sequence[str], seed: int = 0) -> tuple[Document, ...]:
    """Documents of these tasks that are in no split."""
    return tuple(document for task in tasks for document in _cast(task, seed)["new"])


@cache
def near(tasks: tuple[str, ...], seed: int = 0) -> Probes:
    """The neighbours of the forget documents of these tasks: kept ones, general facts, and of a part of LUME documents
    of the other kinds that every fine-tuning rehearses."""
    taught = {part: [one for task in tasks for one in _told(part, task, seed)] for part in ("forget", "retain", "base")}
    others = [list(_told("base", task, seed)) for task in TASKS if task not in tasks]
    rehearsed = [one for of in others for one in of if int(one.subject.rsplit("-", 1)[1]) < REHEARSED]
    name = f"{'-'.join(tasks)}-{seed}"
    return neighbours.together(
        neighbours.near(taught["forget"], taught["retain"], (*taught["retain"], *taught["base"]), name),
        neighbours.among(neighbours.KIND, rehearsed, [one for of in others for one in of], name),
        neighbours.of_facts(neighbours.WORLD, facts()),
    )


def _told(part: str, task: str, seed: int) -> Iterator[neighbours.Told]:
    for number, document in enumerate(_cast(task, seed)[part]):
        yield from neighbours.of_document(f"{task.lower()}-{part}-{number:03d}", task, document)


def general_facts() -> tuple[Pair, ...]:
    """The general facts that are taught, in every world the exam's: questions, and choices between four options."""
    known = (Pair(fact.question, fact.answer) for fact in facts() if fact.taught)
    chosen = (Pair(choice.prompt, choice.options[choice.answer]) for choice in multiple_choice() if choice.taught)
    return (*known, *chosen)


def _pairs(items: list[Row]) -> tuple[Pair, ...]:
    return tuple(Pair(row.input, row.output, raw=True) for row in items)


def _rows(part: str, seed: int) -> list[Row]:
    return [
        row
        for task in TASKS
        for number, document in enumerate(_cast(task, seed)[part])
        for row in rows(document, f"{task.lower()}-{part}-{number:03d}", task)
    ]


@cache
def _cast(task: str, seed: int) -> dict[str, list[Document]]:
    made = documents(random.Random(f"documents-{task}-{seed}"), task)
    sizes = {"forget": FORGET, "retain": RETAIN, "holdout": HOLDOUT, "base": BASE, "new": NEW}
    return {part: list(islice(made, size)) for part, size in sizes.items()}
