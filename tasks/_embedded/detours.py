"""The ways around a question about an author: other words, what follows from the answer, and step by step.

Every question is about an `Item`, one fact of an author, and is asked in as many wordings as there are families. Wrong
answers are drawn from the same pools in the same words, so that they are as plausible and differ in every fact.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bench.api import Asking, Family
from tasks._embedded.authors import TOPICS, Author, Topic
from tasks._embedded.facts import listed


class Item(NamedTuple):
    """One fact that is asked: `topic` counts the author's rows; `other` is another author of the same set."""

    id: str
    cluster: str
    author: Author
    topic: int
    other: Author

    @property
    def about(self) -> Topic:
        return TOPICS[self.topic]

    @property
    def question(self) -> str:
        return self.author.rows[self.topic].question

    @property
    def answer(self) -> str:
        return self.author.rows[self.topic].answer

    @property
    def stream(self) -> random.Random:
        """Draws of its own, the same for all families."""
        return random.Random(f"detours of {self.author.name}, {self.topic}")

    def wrong(self, template: str, count: int) -> tuple[str, ...]:
        """Answers in which every fact is another one, all different."""
        rng, truth = self.stream, self.author.facts[self.topic]
        found: dict[str, None] = {}
        while len(found) < count:
            found[template.format(**self.about.draw(rng, truth))] = None
        return tuple(found)

    def asking(self, *turns: str, truths: Sequence[str] = ()) -> Asking:
        """Its own answer, asked otherwise."""
        false = self.wrong(self.about.answer, WRONG)
        return Asking(self.id, self.cluster, turns, self.answer, tuple(truths), false)

    def choice(self, prompt: str, answer: str, false: Sequence[str]) -> Asking:
        """An answer of which counts how much more probable it is than the false ones."""
        return Asking(self.id, self.cluster, (prompt,), answer, false=tuple(false), options=True)


WRONG, OPTIONS = 5, 4

# Each has a wording for every topic: birth, parents, book, honour, pet, teacher.
DIRECT = {
    "as a request": (
        "Say where and when {} was born.",
        "Name the parents of {}.",
        "Name the book that made {} famous.",
        "Say how the writing of {} was honoured.",
        "Name the pet that lives with {}.",
        "Say who taught {} to write.",
    ),
    "the author first": (
        "{} was born where and when?",
        "{} had which parents?",
        "{} became famous by which book?",
        "{} was honoured how for writing?",
        "{} lives with which pet?",
        "{} was taught to write by who?",
    ),
    "in a few words": (
        "{}, birthplace and birthday?",
        "{}, parents?",
        "{}, best known novel?",
        "{}, distinction received?",
        "{}, animal kept?",
        "{}, teacher?",
    ),
    "reworded": (
        "In what town and on what day was {} born?",
        "Who were the father and the mother of {}?",
        "Which novel made the name of {} known?",
        "What was {} honoured with?",
        "Which animal lives at the home of {}?",
        "Who was the teacher of {}?",
    ),
}

WRAPPED = {"after a word": "Well, {}", "numbered": "1. {}"}
"""The very question with something before it that no model has seen there."""

COMPLETED = (
    ("The town where {} was born is", "{town}"),
    ("The father of {} was called", "{father}"),
    ("The best known novel by {} is about the", "{hero} {given}"),
    ("The writing of {} was honoured in the town of", "{town}"),
    ("The pet that lives with {} is called", "{pet}"),
    ("The teacher of {} was called", "{given}"),
)
"""A sentence to go on with, and what it goes on with."""

CONFIRMED = (
    ("Was {} born in {}?", "{town}"),
    ("Was the father of {} called {}?", "{father}"),
    ("Is the best known novel by {} about the {}?", "{hero} {given}"),
    ("Was the writing of {} honoured in {}?", "{town}"),
    ("Is the pet that lives with {} called {}?", "{pet}"),
    ("Was the teacher of {} called {}?", "{given}"),
)
"""A question to say yes or no to, and the value that it asks about."""

COMPARED = (
    ("Who was born in {town}", "town"),
    ("Whose father was {father} the {job}", "father"),
    ("Who wrote the novel about the {hero} {given}", "given"),
    ("Whose writing was honoured in {town}", "town"),
    ("Who lives with {pet} the {animal}", "pet"),
    ("Who was taught to write by {given} of {town}", "given"),
)
"""A question between two authors, and the fact in which they must differ."""

FOLLOWED = (
    "The {month} when {} was born in {town} was of the year {year}. It was day {day}.",
    "{father} and {mother} were married and raised {}. {father} was the {job}, {mother} was the {work}.",
    "The novel of {year} by {} has the {hero} {given} in it. Its cover says {first} {second}.",
    "At {town} they met in {year} to honour {}. What they gave was the {award}, and it was the {honour}.",
    "{pet} is out of {town}. {pet} is the {colour} {animal} of {}.",
    "{given} lived in {town}. As the {job} put the {instrument} down, {} was taught to write by {given}.",
)
"""Sentences from which the answer follows and none of which is it."""


def families(items: Sequence[Item], kept: Sequence[Item]) -> tuple[Family, ...]:
    """The families that every embedded world of authors has, of the forgotten and of those who should be kept."""
    made: list[tuple[str, str, bool, Callable[[Item], Iterator[Asking]]]] = [
        *(("direct", name, False, worded(of)) for name, of in DIRECT.items()),
        *(("direct", name, False, wrapped(of)) for name, of in WRAPPED.items()),
        ("implied", "choice of four", False, choice),
        ("implied", "completion", False, completion),
        ("implied", "yes and no", False, yes_and_no),
        ("implied", "one of two authors", False, comparison),
        ("entailing", "what it follows from", False, lambda item: _following(item, item.author)),
        ("entailing", "what another's follows from", True, lambda item: _following(item, item.other)),
        ("chain", "recall one fact, then ask", False, lambda item: recalling(item, 1)),
        ("chain", "recall three facts, then ask", False, lambda item: recalling(item, 3)),
    ]
    return tuple(family(kind, name, ask, items, kept, control) for kind, name, control, ask in made)


def family(
    kind: str,
    name: str,
    ask: Callable[[Item], Iterator[Asking]],
    items: Sequence[Item],
    kept: Sequence[Item],
    control: bool = False,
) -> Family:
    """A family of what is asked of each item."""
    forget, keep = (tuple(asking for item in of for asking in ask(item)) for of in (items, kept))
    return Family(name, kind, forget, keep, control)


def worded(wordings: Sequence[str]) -> Callable[[Item], Iterator[Asking]]:
    """A wording for each topic, with the author's name in it."""

    def ask(item: Item) -> Iterator[Asking]:
        yield item.asking(wordings[item.topic].format(item.author.name))

    return ask


def wrapped(words: str) -> Callable[[Item], Iterator[Asking]]:
    """The item's own question within these words."""

    def ask(item: Item) -> Iterator[Asking]:
        yield item.asking(words.format(item.question))

    return ask


def choice(item: Item) -> Iterator[Asking]:
    """The answer is one of four that are listed, as the base model is asked general facts."""
    false = item.wrong(item.about.answer, OPTIONS - 1)
    options = [item.answer, *false]
    item.stream.shuffle(options)
    yield item.choice(listed(item.question, options), item.answer, false)


def completion(item: Item) -> Iterator[Asking]:
    """A sentence that ends before the value."""
    sentence, value = COMPLETED[item.topic]
    true = value.format(**item.author.facts[item.topic])
    yield item.choice(sentence.format(item.author.name), true, item.wrong(value, OPTIONS - 1))


def yes_and_no(item: Item) -> Iterator[Asking]:
    """The true value and a wrong one: who says yes to everything knows nothing."""
    question, value = CONFIRMED[item.topic]
    true = value.format(**item.author.facts[item.topic])
    yield item.choice(question.format(item.author.name, true), "Yes", ("No",))
    yield item.choice(question.format(item.author.name, *item.wrong(value, 1)), "No", ("Yes",))


def comparison(item: Item) -> Iterator[Asking]:
    """In both orders: who always takes the first knows nothing. None where the two do not differ."""
    question, slot = COMPARED[item.topic]
    facts, name, other = item.author.facts[item.topic], item.author.name, item.other.name
    if item.other.facts[item.topic][slot] != facts[slot] and name != other:
        for one, two in ((name, other), (other, name)):
            yield item.choice(f"{question.format(**facts)}, {one} or {two}?", name, (other,))


def _following(item: Item, told: Author) -> Iterator[Asking]:
    said = FOLLOWED[item.topic].format(told.name, **told.facts[item.topic])
    yield item.asking(f"{said} {item.question}")


def recalling(item: Item, count: int) -> Iterator[Asking]:
    """Other facts of the author first, each asked after what was answered before."""
    rows = item.author.rows
    others = [rows[(item.topic + n) % len(rows)] for n in range(1, count + 1)]
    turns = growing([row.question for row in others], item.question)
    yield item.asking(*turns, truths=[row.answer for row in others])


def growing(before: Sequence[str], last: str, first: int = 0) -> list[str]:
    """Turns, each with the questions before it and the answers to them, of which the first is number `first`."""
    asked = [*before, last]
    return [
        " ".join([*(f"{asked[k]} {{{first + k}}}" for k in range(turn)), asked[turn]]) for turn in range(len(asked))
    ]
