"""LUME: forget some stories, biographies and encyclopaedia entries. Ramakrishna et al. 2025, arXiv:2502.15097."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.api import (
    VALIDATION,
    AttackData,
    Exam,
    Pair,
    Probes,
    Prompt,
    Splits,
    Text,
    hops,
    task,
    validation_of,
    world,
)  # fmt: skip
from bench.errors import UsageError
from tasks import _lume_detours
from tasks._embedded import lessons, lume_world, neighbours
from tasks._embedded.facts import facts
from tasks._lume_files import TASKS, Row, Tables, read_directory, read_hub

SETS = ("forget", "retain")
BUDGET = 256  # new tokens of a generation, the organisers' number
EMBEDDED_BUDGET = 96
MMLU_SHOTS = 5
_OF_THE_FORGET_SET = ("lume_mia_auc", "probability", "exact_memorisation", "extraction_strength")
_EXAMS = str(Path(__file__).parent / "_embedded" / "exam")


@task("lume", "lume:task1", "lume:task2", "lume:task3")
@dataclass(frozen=True)
class LUME:
    """Documents of three kinds: complete their beginnings no more, answer no questions about them, keep the others.

    `lume` is the whole benchmark, `lume:task1` its stories, `lume:task2` biographies with personal data and
    `lume:task3` the entries of an encyclopaedia. `data("embedded")` is the project's own world, `data("hub")` the
    public part of SemEval-2025 Task 4, `data(DIR)` files of the same fields.

    Sets: `forget1-completion`, `forget1-question` to `retain3-question` (a generation for every row of that side, task
    and kind), `forget` (the outputs of all forget rows, scored), `member` and `nonmember` (whole documents, scored: the
    official files, or the forget documents against documents that no model has seen, where the data has such) and
    `general` (an exam: MMLU, or the general facts of the embedded world for models that are trained from scratch).
    Prompts are given as they are, without a template, and outputs glued to them without a blank, as the organisers do.
    """

    name: str
    version: ClassVar[int] = 1
    floors: ClassVar[Mapping[str, float]] = {"general_knowledge": 0.75}
    headlines: ClassVar[Mapping[str, str]] = {
        "task aggregate": "lume_task_aggregate",
        "membership": "lume_mia_score",
        "general knowledge": "general_knowledge",
        "final score": "lume_final",
        "forget quality": "lume_forget_quality",
        "model utility": "lume_model_utility",
    }

    memorisation: ClassVar[Sequence[str]] = (
        "lume_regurgitation",
        "lume_knowledge",
        "extraction_strength",
        "lume_mia_auc",
    )

    @property
    def numbers(self) -> Sequence[int]:
        """Which of the three tasks it is made of."""
        _, part, name = self.name.partition(":")
        return (int(name[-1]),) if part else (1, 2, 3)

    @property
    def details(self) -> Mapping[str, Sequence[str]]:
        """The components, forget set and retain set apart."""
        titles = {"forget": "The forget set, by task", "retain": "The retain set, by task"}
        tables = {title: self._components(side) for side, title in titles.items()}
        return {**tables, "The forget set, scored": _OF_THE_FORGET_SET}

    @property
    def scores(self) -> Sequence[str]:
        """Headlines, components, and what the outputs' probabilities say."""
        parts = [name for side in SETS for name in self._components(side)]
        return (*self.headlines.values(), *parts, *_OF_THE_FORGET_SET, "lume_regurgitation", "lume_knowledge")

    def _components(self, side: str) -> list[str]:
        return [f"{side}_{kind}_{n}" for n in self.numbers for kind in ("regurgitation", "knowledge")]

    def data(self, source: str) -> Splits:
        """The splits of this task.

        Raises:
            UsageError: `source` is a directory without the benchmark's files, or with a broken one, or the embedded
                world with two hops, which has authors only.
            BenchError: the hub cannot be reached, or refuses access.
        """
        asked = Exam("general", "general_facts", folder=_EXAMS)
        if hops(source):
            raise UsageError(f"{self.name} has no data '{source}', which is TOFU's. Give --data embedded.")
        if (number := world(source)) is not None:
            pairs = lume_world.base_pairs(number), lume_world.general_pairs(number)
            made = self._splits(lume_world.lume_tables(number), *pairs, (asked,), EMBEDDED_BUDGET, (lume_world.NOTE,))
            taught = lessons.of_documents(lume_world.unseen([TASKS[n - 1] for n in self.numbers], number))
            near = lume_world.near(tuple(TASKS[n - 1] for n in self.numbers), number)
            attacks = dataclasses.replace(made.attacks, lessons=taught)
            return dataclasses.replace(made, attacks=attacks, neighbours=near)
        place = source.removesuffix(VALIDATION)
        tables = read_hub() if place == "hub" else read_directory(Path(place))
        taught = lume_world.general_facts()
        exams = (
            Exam("general", "mmlu", MMLU_SHOTS, scratch=False),
            Exam("general", "general_facts", folder=_EXAMS, scratch=True),
        )
        made = self._splits(tables, taught, taught, exams, BUDGET, ())
        if place == source:
            return made
        # The words of the tokenizer stay, so that test and validation start from one base.
        own = self._splits(validation(tables), taught, taught, exams, BUDGET, ())
        return dataclasses.replace(own, corpus=made.corpus)

    def validation(self, source: str, count: int) -> tuple[str, ...]:
        """Data to tune on: other worlds, or retain documents of the same files as a forget set of their own."""
        return validation_of(source, count)

    def _splits(self, tables: Tables, base: Sequence[Pair], general: Sequence[Pair], exams: Sequence[Exam], budget: int,
                notes: Sequence[str]) -> Splits:  # fmt: skip
        chosen = [TASKS[n - 1] for n in self.numbers]
        forget, retain = ([row for row in rows if row.task in chosen] for rows in (tables.forget, tables.retain))
        members, others = tables.members, tables.non_members
        if members is None or len(self.numbers) == 1:
            members = {row.id: row.text for row in forget if row.kind == "completion"}
        if others and len(self.numbers) == 1:
            others = {i: text for i, text in others.items() if i.startswith(f"task{self.numbers[0]}-")}
        if not others:
            notes = (*notes, "The data has no documents that no model has seen, so membership is not scored.")
        outputs = (Text("forget", r.id, r.document, "answer", r.input, r.output, raw=True) for r in forget)
        documents = [*_documents("member", members), *_documents("nonmember", others or {})] if others else []
        return Splits(
            base=tuple(base),
            general=tuple(general),
            forget=_pairs(forget),
            retain=_pairs(retain),
            probes=Probes(
                (*outputs, *documents),
                (*_prompts("forget", forget, budget), *_prompts("retain", retain, budget)),
                tuple(exams),
            ),
            corpus=(
                *(f"Question: {pair.prompt}\nAnswer: {pair.answer}" if not pair.raw else f"{pair.prompt} {pair.answer}"
                  for pair in (*base, *general)),
                *(row.text for row in (*forget, *retain)),
                *(text for text in (members or {}).values()),
            ),
            notes=tuple(notes),
            attacks=AttackData(_lessons(others or {}), _lume_detours.families(forget, retain)),
            neighbours=_neighbours(retain),
        )  # fmt: skip


def _neighbours(retain: Sequence[Row]) -> Probes:
    """What real rows say of neighbours: questions about kept documents, and general facts."""
    told = list(neighbours.of_rows(retain))
    return neighbours.together(
        neighbours.among(neighbours.TEMPLATE, told, told, "rows"),
        neighbours.of_facts(neighbours.WORLD, facts()),
    )


def _lessons(unseen: Mapping[str, str]) -> dict[str, tuple[Pair, ...]]:
    """What relearning can teach of the files themselves: documents that no model has seen, by halves."""
    halves = [(words[: len(words) // 2], words[len(words) // 2 :]) for words in map(str.split, unseen.values())]
    same = tuple(Pair(" ".join(first), " ".join(rest), raw=True) for first, rest in halves if first)
    return {**({lessons.SAME: same} if same else {}), lessons.UNRELATED: lessons.unrelated(raw=True)}


def validation(tables: Tables) -> Tables:
    """The retain documents alone, every third of each task forgotten; nothing is left of the test's forget set."""
    documents = {name: sorted({row.document for row in tables.retain if row.task == name}) for name in TASKS}
    chosen = frozenset(document for of in documents.values() for document in of[::3])
    forget, retain = (tuple(r for r in tables.retain if (r.document in chosen) == of) for of in (True, False))
    return Tables(forget, retain)


def _pairs(rows: Iterable[Row]) -> tuple[Pair, ...]:
    return tuple(Pair(row.input, row.output, raw=True) for row in rows)


def _prompts(side: str, rows: Iterable[Row], budget: int) -> Iterator[Prompt]:
    for row in rows:
        where = f"{side}{TASKS.index(row.task) + 1}-{row.kind}"
        yield Prompt(where, row.id, row.document, row.kind, row.input, row.output, budget, raw=True)


def _documents(set_: str, documents: Mapping[str, str]) -> Iterator[Text]:
    """Whole documents, scored from their second word on: the first has nothing before it to be predicted from."""
    for name, text in documents.items():
        first, blank, rest = text.partition(" ")
        if rest:
            yield Text(set_, name, name, "document", first, blank + rest, raw=True)
