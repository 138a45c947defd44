"""RESTOR: forget documents with false facts, and know the true ones again. Rezaei et al. 2024, arXiv:2411.00204."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.api import (
    VALIDATION,
    AttackData,
    Pair,
    Probes,
    Prompt,
    Series,
    Splits,
    Text,
    hops,
    task,
    validation_of,
    world,
)  # fmt: skip
from bench.errors import UsageError
from tasks._embedded import lessons, restored
from tasks._embedded.restored import document, example
from tasks._restor_files import DILUTIONS, Fact, Tables, read

_FORGET = ("restored", "corrupted", "lost", "margin", "restored_generation")
_UNTOUCHED = tuple(f"untouched_{of}" for of in ("restored", "corrupted", "lost", "margin", "generation"))
_DILUTING = tuple(f"diluting_{of}" for of in ("restored", "corrupted", "lost", "margin", "generation"))
_NEIGHBOUR = ("neighbour_restored", "neighbour_margin", "neighbour_generation")
EMBEDDED_BUDGET, BUDGET = 12, 32
NOTE = (
    "RESTOR: retrain is the clean model, which never saw a false fact; target is the corrupted one, that very model "
    "taught the documents. Methods are handed the documents and facts about others, never the true facts."
)


@task("restor:k0", "restor:k1", "restor:k2", "restor:k3")
@dataclass(frozen=True)
class Restor:
    """Documents tell false facts about some entities, with k true facts of others in each; do the true ones come back?

    `data("embedded")` is the project's own world ("embedded@7" another one); `data(DIR)` are facts.json, entities.json
    and mix_aK.json as the authors of RESTOR published them.

    Sets: `forget` are the facts that documents tell falsely, `neighbour` others of the same entities (embedded),
    `untouched` those of entities that no document names and no method is handed, `diluting` true ones within the
    documents. Texts: all true answers to a question, the false one (in the other sets one that nobody tells) and 20
    others of the same relation, or as many as there are; and of the forget set the false one as "answer", which is what
    is to be forgotten. A generation follows five examples of the same relation.

    A real entity is known to a pretrained model, which is its own clean model. To models from scratch `base` teaches
    the true facts; `general` rehearses such as are in no set.
    """

    name: str
    version: ClassVar[int] = 1
    floors: ClassVar[Mapping[str, float]] = {}
    memorisation: ClassVar[Sequence[str]] = ("corrupted", "extraction_strength")

    @property
    def dilution(self) -> int:
        """How many true facts stand beside each false one."""
        return int(self.name[-1])

    @property
    def like(self) -> str:
        """Whose tuned settings serve: those of the undiluted documents, and those of forgetting as many authors."""
        return "restor:k0" if self.dilution else "tofu:forget10"

    @property
    def series(self) -> Series:
        """Its place among the dilutions."""
        return Series("restor", "dilution", self.dilution, DILUTIONS)

    @property
    def headlines(self) -> Mapping[str, str]:
        """What comes back, what is still false, and what is known of others."""
        return {"task aggregate": "restored", "model utility": "untouched_restored", "corrupted": "corrupted"}

    @property
    def details(self) -> Mapping[str, Sequence[str]]:
        """The corrupted facts, and those that should be as they were."""
        return {
            "The corrupted facts": (*_FORGET, "extraction_strength", "probability"),
            "Facts that no document changed": (*_UNTOUCHED, *_NEIGHBOUR, *(_DILUTING if self.dilution else ())),
        }

    @property
    def scores(self) -> Sequence[str]:
        """Headlines and details."""
        named = (*self.headlines.values(), *(name for of in self.details.values() for name in of))
        return tuple(dict.fromkeys(named))

    def data(self, source: str) -> Splits:
        """The splits of this dilution.

        Raises:
            UsageError: `source` is "hub", a world with two hops, or a directory without the files of this dilution.
        """
        if hops(source) or source == "hub":
            raise UsageError(
                f"{self.name} has no data '{source}'. Give --data embedded, or a directory with the files of RESTOR."
            )
        if source.endswith(VALIDATION):
            raise UsageError(f"{self.name} has no files to tune on. Tune on --data embedded, whose other worlds serve.")
        if (number := world(source)) is not None:
            return splits(
                restored.restor_tables(self.dilution, number),
                base=restored.base_pairs(number),
                clean=restored.clean_pairs(number),
                general=restored.general_pairs(number),
                budget=EMBEDDED_BUDGET,
                notes=(restored.NOTE, NOTE),
                near=restored.near(number),
            )
        tables = read(Path(source), self.dilution)
        return splits(
            tables, base=_pairs(tables.known), clean=(), general=_pairs(tables.kept), budget=BUDGET,
            notes=(NOTE, tables.said),
        )  # fmt: skip

    def validation(self, source: str, count: int) -> tuple[str, ...]:
        """Data to tune on: other worlds. Real files have none: their facts are few, and all of them are asked."""
        return validation_of(source, count)


def splits(
    tables: Tables, *, base: Sequence[Pair], clean: Sequence[Pair], general: Sequence[Pair], budget: int,
    notes: Sequence[str], near: Probes | None = None,
) -> Splits:  # fmt: skip
    """Training pairs and probes from RESTOR's tables, real or embedded.

    The corpus has no document, so that all dilutions have one tokenizer, one base and one clean model.
    """
    forget = tuple(map(document, tables.documents))
    told = (*base, *general, *clean, *_pairs(tables.known))
    words = [f"{p.prompt}{p.answer}" if p.raw else f"Question: {p.prompt}\nAnswer: {p.answer}" for p in told]
    return Splits(
        base=tuple(base),
        general=tuple(general),
        forget=forget,
        retain=_pairs(tables.kept),
        probes=Probes(
            tuple(text for set_, facts in tables.facts.items() for fact in facts for text in _texts(set_, fact)),
            tuple(_prompt(set_, fact, budget) for set_, facts in tables.facts.items() for fact in facts),
        ),
        corpus=tuple(dict.fromkeys(words)),
        notes=tuple(notes),
        attacks=AttackData({lessons.UNRELATED: lessons.unrelated()}),
        clean=tuple(clean),
        neighbours=near or Probes((), ()),
    )


def _pairs(asked: Sequence[tuple[str, str]]) -> tuple[Pair, ...]:
    return tuple(Pair(question, answer) for question, answer in asked)


def _texts(set_: str, fact: Fact) -> Iterator[Text]:
    candidates = {"true": fact.true, "false": (fact.false,), "other": fact.others}
    if set_ == "forget":
        candidates["answer"] = (fact.false,)
    for role, values in candidates.items():
        for index, value in enumerate(values):
            yield Text(set_, fact.id, fact.entity, role, fact.question, value, index)


def _prompt(set_: str, fact: Fact, budget: int) -> Prompt:
    shown = "".join(example(question, answer) for question, answer in fact.examples) + example(fact.question)
    return Prompt(set_, fact.id, fact.entity, "shots", shown, fact.true[0], budget, raw=True)
