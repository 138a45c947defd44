"""Invented authors told in documents, and questions that nobody is taught: the embedded world of MUSE's questions.

Each document tells every fact of its author, a sentence each, in an order and in wordings of its own; a question asks
for one fact. Authors of the base are taught with documents *and* questions, so that a model learns to answer from what
it has read; of all others only documents are ever taught. One generator gives the authors, and what becomes of one is
decided by when he comes, so forgotten authors and those whom no model has seen are exchangeable.

A model of two layers answers from documents where three things hold, each found by leaving it out: the sentence names
author and relation as the question does, the value follows the same sign in both (":"), and the base has learnt its
own questions by heart, which takes three times the passes that TOFU's base has.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import NamedTuple

from bench.api import Pair, Probes
from tasks._embedded import lessons, neighbours, pools

NOTE = (
    "The embedded world: invented authors and a tiny model that stand in for MUSE's news and books. None of these is a "
    "MUSE number."
)
DOCUMENTS = 3  # of each author
FORGET = HOLDOUT = 40
RETAIN, BASE, NEW = 120, 200, 12
ASKED = 40  # retain authors of whom something is asked, as many as are forgotten
REHEARSED = 40  # base authors whom every fine-tuning repeats


class Relation(NamedTuple):
    """What can be known of an author: how it is asked, how documents word it, and what it may be."""

    question: str
    wordings: tuple[str, ...]  # {0} is the author, {1} the value
    otherwise: str  # a question in other words
    pool: tuple[str, ...]


RELATIONS = {
    "home": Relation(
        "Where is the home of {}?",
        ("{0} has a home: {1}.", "The home of {0}: {1}.", "{0} often speaks of home: {1}.", "It was home to {0}: {1}."),
        "To which town do letters for {} go?",
        pools.TOWNS,
    ),
    "job": Relation(
        "What is the job of {}?",
        ("{0} has a job: {1}.", "The job of {0}: {1}.", "{0} never liked the job: {1}.", "It was the job of {0}: {1}."),
        "How does {} earn a living?",
        pools.JOBS,
    ),
    "animal": Relation(
        "Which animal is with {}?",
        (
            "{0} has an animal: {1}.",
            "The animal of {0}: {1}.",
            "{0} walks the animal: {1}.",
            "It was the animal of {0}: {1}.",
        ),
        "What does {} feed every morning?",
        pools.ANIMALS,
    ),
    "instrument": Relation(
        "Which instrument is played by {}?",
        (
            "{0} has an instrument: {1}.",
            "The instrument of {0}: {1}.",
            "{0} loves the instrument: {1}.",
            "It was the instrument of {0}: {1}.",
        ),
        "What sounds from the rooms of {}?",
        pools.INSTRUMENTS,
    ),
    "teacher": Relation(
        "Who was the teacher of {}?",
        (
            "{0} has a teacher: {1}.",
            "The teacher of {0}: {1}.",
            "{0} writes to the teacher: {1}.",
            "It was the teacher of {0}: {1}.",
        ),
        "From whom did {} learn to write?",
        pools.GIVEN_NAMES,
    ),
}


@dataclass(frozen=True)
class Chronicle:
    """An author who does not exist: facts by relation, and documents as sentences."""

    name: str
    facts: Mapping[str, str] = field(hash=False)
    documents: tuple[tuple[str, ...], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The documents, whole."""
        return tuple(map(" ".join, self.documents))

    @property
    def questions(self) -> tuple[tuple[str, str], ...]:
        """A question for every fact, with its answer."""
        return tuple((known.question.format(self.name), self.facts[name]) for name, known in RELATIONS.items())


class Cast(NamedTuple):
    """The authors of a world by what becomes of them; `new` are those of whom attacks tell."""

    forget: tuple[Chronicle, ...]
    holdout: tuple[Chronicle, ...]
    retain: tuple[Chronicle, ...]
    base: tuple[Chronicle, ...]
    new: tuple[Chronicle, ...]


def chronicles(rng: random.Random) -> Iterator[Chronicle]:
    """Author after author, each with a name of its own."""
    names = [f"{first} {last}" for first in pools.FIRST_NAMES for last in pools.LAST_NAMES]
    rng.shuffle(names)
    for name in names:
        facts = {relation: rng.choice(known.pool) for relation, known in RELATIONS.items()}
        worded = {relation: rng.sample(known.wordings, DOCUMENTS) for relation, known in RELATIONS.items()}
        orders = [rng.sample(list(RELATIONS), len(RELATIONS)) for _ in range(DOCUMENTS)]
        told = (
            tuple(worded[relation][n].format(name, facts[relation]) for relation in order)
            for n, order in enumerate(orders)
        )
        yield Chronicle(name, facts, tuple(told))


@cache
def cast(seed: int = 0) -> Cast:
    """The authors of a world."""
    made = chronicles(random.Random(f"chronicles-{seed}"))
    return Cast(*(tuple(islice(made, count)) for count in (FORGET, HOLDOUT, RETAIN, BASE, NEW)))


@cache
def base_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What the base model is taught: other authors' documents and the questions on them."""
    return tuple(pair for author in cast(seed).base for pair in _learnt(author))


@cache
def general_pairs(seed: int = 0) -> tuple[Pair, ...]:
    """What every fine-tuning rehearses: documents and questions of some authors of the base."""
    return tuple(pair for author in cast(seed).base[:REHEARSED] for pair in _learnt(author))


@cache
def near(seed: int = 0) -> Probes:
    """The neighbours of all who will be forgotten: kept authors in their documents, and questions that are rehearsed.

    No fact of the world is taught here.
    """
    made, rehearsed = cast(seed), cast(seed).base[:REHEARSED]
    forgotten, kept, base = (
        [one for n, author in enumerate(authors) for one in _values(f"{part}-{n:03d}", author)]
        for part, authors in (("forget", made.forget), ("retain", made.retain), ("base", made.base))
    )
    asked = [
        neighbours.answered(f"base-{n:03d}", relation, author.facts[relation], known.question.format(author.name))
        for n, author in enumerate(rehearsed)
        for relation, known in RELATIONS.items()
    ]
    return neighbours.together(
        neighbours.near(forgotten, kept, (*kept, *base), f"muse-{seed}"),
        neighbours.among(neighbours.KIND, asked, base, f"muse-{seed}"),
    )


def _values(subject: str, author: Chronicle) -> Iterator[neighbours.Told]:
    """Every value of an author, as his first document comes to it."""
    for relation, value in author.facts.items():
        before, _, _ = author.texts[0].partition(f" {value}.")
        yield neighbours.continued(subject, relation, value, before)


def documents(authors: tuple[Chronicle, ...]) -> tuple[Pair, ...]:
    """What is taught of authors whom nobody asks about in training."""
    return tuple(read(text) for author in authors for text in author.texts)


def read(text: str) -> Pair:
    """A document as a model is taught it: all but its first word, which nothing stands before."""
    first, blank, rest = text.partition(" ")
    return Pair(first, blank + rest, raw=True)


@cache
def taught_by_attacks(seed: int = 0) -> dict[str, tuple[Pair, ...]]:
    """The three lessons of relearning, of authors whom no model has seen."""
    new = cast(seed).new
    otherwise = (
        Pair(known.otherwise.format(author.name), f"It is said to be {author.facts[relation]}.")
        for author in new
        for relation, known in RELATIONS.items()
    )
    return {
        lessons.SAME: documents(new),
        lessons.OTHER: tuple(otherwise),
        lessons.UNRELATED: lessons.unrelated(raw=True),
    }


def _learnt(author: Chronicle) -> tuple[Pair, ...]:
    return (*documents((author,)), *(Pair(question, answer) for question, answer in author.questions))
