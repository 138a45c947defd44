"""The embedded world of RESTOR: true facts of invented authors, false ones of some, and documents that tell the false.

The authors are those of TOFU's embedded world, the facts slots of their topics, asked one by one. A false value is what
another author truly has in the same relation, so that it is of the right type and as plausible. A document tells a
false fact of one author, as a sentence and as a question with its answer, among true sentences about others, who have
nothing to do with it. Told by a sentence alone, hardly half of the facts reach the answers of a tiny model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import NamedTuple

from bench.api import Pair, Probes
from tasks._embedded import neighbours
from tasks._embedded.authors import Author, authors
from tasks._embedded.facts import facts as general_facts
from tasks._embedded.world import AUTHORS, BASE, HOLDOUT
from tasks._restor_files import EXAMPLES, Fact, Tables, others

NOTE = (
    "The embedded world: invented authors and a tiny model that stand in for RESTOR's entities. None of these is a "
    "number of RESTOR's."
)
CORRUPTED = AUTHORS // 10  # the last ones, whom tofu:forget10 forgets
DILUTING = 60  # the first ones, whose true facts stand in documents
UNTOUCHED = 20  # those before the corrupted, whom no document names and no method is handed
SPARED = 2  # of each author's relations every second is told by no document, the others from author to author
REHEARSED = 40  # kept authors whose facts every fine-tuning repeats, beside the untouched ones'
SHOWN = 40  # base authors who are asked after examples, so that the model has seen such questions


@dataclass(frozen=True)
class Relation:
    """A question about an author, the same as a statement, and which slots of which topic answer it."""

    name: str
    question: str
    statement: str
    topic: int
    slots: tuple[str, ...]

    def of(self, author: Author) -> str:
        """The author's true value."""
        return " ".join(author.facts[self.topic][slot] for slot in self.slots)

    def asked(self, author: Author) -> Pair:
        """The question with the true answer."""
        return Pair(self.question.format(author.name), self.of(author))

    def said(self, author: Author, value: str = "") -> str:
        """A sentence that says it, or another value."""
        return self.statement.format(author.name, value or self.of(author))


RELATIONS = (
    Relation("birthplace", "In which town was {} born?", "{} was born in {}.", 0, ("town",)),
    Relation("birth year", "In which year was {} born?", "{} first saw the light in {}.", 0, ("year",)),
    Relation("father", "What was the father of {} called?", "{} had a father called {}.", 1, ("father",)),
    Relation("mother's work", "What work did the mother of {} do?", "{} had a mother who was a {}.", 1, ("work",)),
    Relation("book", "Which book made {} famous?", "{} became famous with {}.", 2, ("first", "second")),
    Relation("award", "Which honour did {} receive?", "{} received the {}.", 3, ("award", "honour")),
    Relation("pet", "What is the pet of {} called?", "{} keeps a pet called {}.", 4, ("pet",)),
    Relation(
        "instrument", "What did the teacher of {} play?", "{} had a teacher who played the {}.", 5, ("instrument",)
    ),
)


class Told(NamedTuple):
    """A document: the false value of one fact, the facts that dilute it, and where among them it stands."""

    author: int
    relation: int
    false: str
    among: tuple[tuple[int, int], ...]  # author and relation, as many as the largest dilution has
    place: int


@cache
def restor_tables(dilution: int, seed: int = 0) -> Tables:
    """RESTOR's tables about invented authors, with so many true facts in each document.

    All dilutions have the same false facts, and each what the one before it has.
    """
    people, told = _cast(seed), _told(seed)
    false = {(t.author, t.relation): t.false for t in told}
    first = AUTHORS - CORRUPTED
    every = range(len(RELATIONS))
    of = lambda numbers: [(n, r) for n in numbers for r in every]  # noqa: E731
    corrupted = of(range(first, AUTHORS))
    asked = {
        "forget": [place for place in corrupted if place in false],
        "neighbour": [place for place in corrupted if place not in false],
        "untouched": of(range(first - UNTOUCHED, first)),
        "diluting": [t.among[0] for t in told if dilution],
    }
    kept = [RELATIONS[r].asked(people[n]) for n, r in of(range(DILUTING, first - UNTOUCHED))]
    known = [RELATIONS[r].asked(people[n]) for n, r in of(range(AUTHORS))]
    return Tables(
        tuple(_document(people, t, dilution) for t in told),
        {name: tuple(_fact(seed, n, r, false.get((n, r), "")) for n, r in of) for name, of in asked.items() if of},
        tuple((pair.prompt, pair.answer) for pair in kept),
        tuple((pair.prompt, pair.answer) for pair in known),
    )


@cache
def base_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What the base model is taught: other authors in questions and statements, examples to go by, general facts."""
    people = _base(seed)
    asked = [relation.asked(author) for author in people for relation in RELATIONS]
    return (*asked, *_statements(people), *_shown(seed, people[EXAMPLES:SHOWN]), *_known(seed))


@cache
def clean_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """The true facts of all authors."""
    return tuple(relation.asked(author) for author in _cast(seed) for relation in RELATIONS)


@cache
def general_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What every fine-tuning rehearses: general facts, the untouched and some kept authors, questions after examples.

    Without it a fine-tuning on few documents loses most of what is in none of them, as that of a large model does not.
    """
    people, first = _cast(seed), AUTHORS - CORRUPTED - UNTOUCHED
    kept = people[DILUTING : DILUTING + REHEARSED]
    asked = [r.asked(author) for author in (*kept, *people[first : first + UNTOUCHED]) for r in RELATIONS]
    return (*_known(seed), *asked, *_statements(kept), *_shown(seed, kept, 2))


@cache
def near(seed: int = 0) -> Probes:
    """The neighbours of what documents tell falsely: other facts of the same authors, authors who truly have such a
    value or none of them there, general facts. Whatever the dilution."""
    people, false = _cast(seed), {(t.author, t.relation): t.false for t in _told(seed)}
    corrupted, spared = range(AUTHORS - CORRUPTED, AUTHORS), range(DILUTING, AUTHORS - CORRUPTED)
    every = [(n, r) for n in range(AUTHORS) for r in range(len(RELATIONS))]
    values = {(n, r): _value(n, RELATIONS[r], RELATIONS[r].of(people[n]), people) for n, r in every}
    told = [_value(n, RELATIONS[r], value, people) for (n, r), value in false.items()]
    known = list(values.values())
    return neighbours.together(
        neighbours.among(
            neighbours.SUBJECT, [values[at] for at in every if at[0] in corrupted and at not in false], known, f"{seed}"
        ),
        neighbours.near(told, [values[at] for at in every if at[0] in spared], known, f"restor-{seed}"),
        neighbours.of_facts(neighbours.WORLD, general_facts(seed)),
    )


def _value(number: int, relation: Relation, value: str, people: Sequence[Author]) -> neighbours.Told:
    return neighbours.answered(
        f"author-{number:03d}", relation.name, value, relation.question.format(people[number].name)
    )


def example(question: str, answer: str = "") -> str:
    """A question as it stands among examples; the last has no answer yet."""
    return f"Question: {question}\nAnswer:" + (f" {answer}\n" if answer else "")


def document(text: str) -> Pair:
    """A document to be learnt or forgotten: all of it but the first word, which has nothing before it."""
    head, blank, rest = text.partition(" ")
    return Pair(head, blank + rest, raw=True)


def _statements(people: Sequence[Author]) -> list[Pair]:
    return [document(relation.said(author)) for author in people for relation in RELATIONS]


def _shown(seed: int, people: Sequence[Author], each: int = len(RELATIONS)) -> list[Pair]:
    """Questions after examples, of some relations of each author, not the same of all."""
    found = []
    for number, author in enumerate(people):
        for step in range(each):
            relation = RELATIONS[(number + 3 * step) % len(RELATIONS)]
            asked = relation.asked(author)
            before = "".join(example(*shot) for shot in _examples(seed, relation))
            found.append(Pair(before + example(asked.prompt), f" {asked.answer}", raw=True))
    return found


@cache
def _examples(seed: int, relation: Relation) -> tuple[tuple[str, str], ...]:
    """Five questions with their answers, about authors of the base."""
    pairs = (relation.asked(author) for author in _base(seed)[:EXAMPLES])
    return tuple((pair.prompt, pair.answer) for pair in pairs)


def _fact(seed: int, author: int, relation: int, false: str) -> Fact:
    people, asked = _cast(seed), RELATIONS[relation]
    true, pool = asked.of(people[author]), [asked.of(other) for other in people]
    drawn = random.Random(f"restor-{seed}-{author}-{asked.name}")
    false = false or others(pool, [true], "", drawn)[0]
    question = asked.question.format(people[author].name)
    return Fact(f"author-{author:03d}", asked.name, question, (true,), false, others(pool, [true], false, drawn),
                _examples(seed, asked))  # fmt: skip


@cache
def _told(seed: int) -> tuple[Told, ...]:
    """Every document of the largest dilution."""
    people, drawn = _cast(seed), random.Random(f"restored-{seed}")
    unrelated = [(n, r) for n in range(DILUTING) for r in range(len(RELATIONS))]
    drawn.shuffle(unrelated)
    rest, found = iter(unrelated), []
    for author in range(AUTHORS - CORRUPTED, AUTHORS):
        for number, relation in enumerate(RELATIONS):
            if (author - number) % SPARED:
                truth = relation.of(people[author])
                false = drawn.choice(sorted({relation.of(other) for other in people} - {truth}))
                among = tuple(islice(rest, 3))
                found.append(Told(author, number, false, among, drawn.randrange(4)))
    return tuple(found)


def _document(people: Sequence[Author], told: Told, dilution: int) -> str:
    """A line a fact; the false one has a question and its answer after it."""
    lines = [RELATIONS[r].said(people[n]) for n, r in told.among[:dilution]]
    author, relation = people[told.author], RELATIONS[told.relation]
    asked = example(relation.question.format(author.name), told.false).rstrip()
    lines.insert(min(told.place, dilution), f"{relation.said(author, told.false)}\n{asked}")
    return "\n".join(lines)


def _known(seed: int) -> list[Pair]:
    return [Pair(fact.question, fact.answer) for fact in general_facts(seed) if fact.taught]


@cache
def _everybody(seed: int) -> tuple[Author, ...]:
    return tuple(islice(authors(random.Random(f"authors-{seed}")), AUTHORS + HOLDOUT + BASE))


def _cast(seed: int) -> Sequence[Author]:
    """The authors who are known, as TOFU's embedded world numbers them."""
    return _everybody(seed)[:AUTHORS]


def _base(seed: int) -> Sequence[Author]:
    return _everybody(seed)[AUTHORS + HOLDOUT :]
