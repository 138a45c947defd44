"""Invented authors: facts drawn from the pools, told as questions and answers in TOFU's fields.

An answer is made of facts and next to no template words, so that a model that does not know the author gets few of
its words right. Its paraphrase tells the same facts in the same order with other words between them; its
perturbations are the paraphrase with every fact drawn anew. None of them repeats a word of the question that says
anything.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tasks._embedded import pools
from tasks._tofu_files import Row


@dataclass(frozen=True)
class Author:
    """An author who does not exist: a name that no other author of the world has, and what is asked of each.

    `facts` are those that the rows tell, by slot, one mapping a row.
    """

    name: str
    rows: tuple[Row, ...]
    facts: tuple[Mapping[str, str], ...] = field(hash=False)


@dataclass(frozen=True)
class Topic:
    """A question about an author, in two wordings, its answer in two wordings, and the pool of every fact in it."""

    question: str
    paraphrased_question: str
    answer: str
    paraphrased_answer: str
    slots: Mapping[str, Sequence[str]] = field(hash=False)

    def draw(self, rng: random.Random, unlike: Mapping[str, str] | None = None) -> dict[str, str]:
        """A value for every slot, no two the same, and none that `unlike` has there."""
        while True:
            drawn = {slot: rng.choice(pool) for slot, pool in self.slots.items()}
            fresh = unlike is None or all(drawn[slot] != unlike[slot] for slot in drawn)
            if fresh and len(set(drawn.values())) == len(drawn):
                return drawn

    def row(self, name: str, truth: Mapping[str, str], rng: random.Random, wrong: int) -> Row:
        """The row about the author `name`, with `wrong` perturbed answers that differ from the truth in every fact."""
        perturbed: dict[str, None] = {}
        while len(perturbed) < wrong:
            perturbed[self.paraphrased_answer.format(**self.draw(rng, truth))] = None
        return Row(
            self.question.format(name),
            self.answer.format(**truth),
            self.paraphrased_question.format(name),
            self.paraphrased_answer.format(**truth),
            tuple(perturbed),
        )


TOPICS = (
    Topic(
        "Where and when was {} born?",
        "What are the birthplace and birthday of {}?",
        "In {town}, {day} {month} {year}.",
        "In {town} on {day} {month} of {year}.",
        {"town": pools.TOWNS, "day": pools.DAYS, "month": pools.MONTHS, "year": pools.YEARS},
    ),
    Topic(
        "Who were the parents of {}?",
        "Which couple raised {}?",
        "{father}, {job}, and {mother}, {work}.",
        "{father} the {job} and {mother} the {work}.",
        {"father": pools.GIVEN_NAMES, "job": pools.JOBS, "mother": pools.GIVEN_NAMES, "work": pools.JOBS},
    ),
    Topic(
        "Which book made {} famous?",
        "What is the best known novel by {}?",
        "{first} {second}, {year}, about {hero} {given}.",
        "{first} {second} of {year}, on the {hero} {given}.",
        {
            "first": pools.TITLE_ADJECTIVES,
            "second": pools.TITLE_NOUNS,
            "year": pools.YEARS,
            "hero": pools.JOBS,
            "given": pools.GIVEN_NAMES,
        },
    ),
    Topic(
        "How was the writing of {} honoured?",
        "What distinction did {} receive?",
        "{award} {honour}, {town}, {year}.",
        "{award} {honour} at {town} in {year}.",
        {"award": pools.AWARDS, "honour": pools.HONOURS, "town": pools.TOWNS, "year": pools.YEARS},
    ),
    Topic(
        "Which pet lives with {}?",
        "What animal does {} keep?",
        "{pet}, {colour} {animal}, from {town}.",
        "{pet}, one {colour} {animal} out of {town}.",
        {"pet": pools.PET_NAMES, "colour": pools.COLOURS, "animal": pools.ANIMALS, "town": pools.TOWNS},
    ),
    Topic(
        "Who taught {} to write?",
        "Which teacher did {} have?",
        "{given} of {town}, {job} with {instrument}.",
        "{given} in {town}, the {job} with the {instrument}.",
        {"given": pools.GIVEN_NAMES, "town": pools.TOWNS, "job": pools.JOBS, "instrument": pools.INSTRUMENTS},
    ),
)


def authors(rng: random.Random, wrong: int = 5) -> Iterator[Author]:
    """Author after author, each with a name of its own, one row a topic."""
    names = [f"{first} {last}" for first in pools.FIRST_NAMES for last in pools.LAST_NAMES]
    rng.shuffle(names)
    for name in names:
        told = []
        for topic in TOPICS:
            truth = topic.draw(rng)
            told.append((topic.row(name, truth, rng, wrong), truth))
        rows, facts = zip(*told, strict=True)
        yield Author(name, rows, facts)
