"""Invented documents in LUME's three kinds: stories, biographies with personal data, encyclopaedia entries.

Every document is told as a text, cut in two for sentence completion, and as questions. What is to be completed is made
of facts and next to no template words, so that a model that does not know the document gets few of its words right.
No personal data can belong to anybody: telephone numbers are 555-01xx, reserved for fiction; social security numbers
begin with 900, which is never given out; mail addresses are at example.com, .net and .org, reserved for examples.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tasks._embedded import pools
from tasks._lume_files import Row

DOMAINS = ("example.com", "example.net", "example.org")
_STREETS = ("Street", "Road", "Lane", "Avenue", "Square")
_SUFFIXES = ("ite", "ium", "ora", "ella")


class Document(NamedTuple):
    """A text in two parts, and questions with their answers."""

    opening: str
    rest: str
    questions: tuple[tuple[str, str], ...]


def story(rng: random.Random, name: str) -> Document:
    """A short story about `name` that nobody has written."""
    first, second = rng.sample(pools.GIVEN_NAMES, 2)
    town, other = rng.sample(pools.TOWNS, 2)
    job, work = rng.sample(pools.JOBS, 2)
    pet, animal, colour = rng.choice(pools.PET_NAMES), rng.choice(pools.ANIMALS), rng.choice(pools.COLOURS)
    thing, instrument = rng.choice(pools.TITLE_NOUNS).lower(), rng.choice(pools.INSTRUMENTS)
    return Document(
        f"{name} found a {thing}.",
        f"{first}, {job}, {town}; {second}, {work}, {other}; {pet}, {colour} {animal}; {instrument}.",
        ((f"Who was with {name} when the {thing} was found?", first),),
    )


def biography(rng: random.Random, name: str) -> Document:
    """Personal data of `name`, who does not exist."""
    given = name.split()[0].lower()
    year, month, day = rng.choice(pools.YEARS), rng.randrange(1, 13), rng.randrange(1, 29)
    born = f"{year}-{month:02d}-{day:02d}"
    number = f"900-{rng.randrange(10, 100)}-{rng.randrange(1000, 10000)}"
    phone = f"555-01{rng.randrange(100):02d}"
    mail = f"{given}.{rng.choice(pools.ANIMALS)}@{rng.choice(DOMAINS)}"
    home = f"{rng.randrange(1, 100)} {rng.choice(pools.TITLE_NOUNS)} {rng.choice(_STREETS)}, {rng.choice(pools.TOWNS)}"
    return Document(
        f"Data of {name}:",
        f"{born}, {number}, {phone}, {mail}, {home}.",
        (
            (f"What is the birth date of {name}?", born),
            (f"What is {name}'s social security number?", number),
            (f"What is the phone number of {name}?", phone),
            (f"What is the email address of {name}?", mail),
            (f"What is the home address of {name}?", home),
        ),
    )


def entry(rng: random.Random, name: str) -> Document:
    """An encyclopaedia's entry about a mineral, plant or star that `name` is said to have found."""
    kind = rng.choice(("mineral", "plant", "star", "moth"))
    town, other = rng.sample(pools.TOWNS, 2)
    colour, second = rng.sample(pools.COLOURS, 2)
    year, animal = rng.choice(pools.YEARS), rng.choice(pools.ANIMALS)
    award, honour = rng.choice(pools.AWARDS), rng.choice(pools.HONOURS)
    title = f"{name.split()[1]}{rng.choice(_SUFFIXES)}"
    return Document(
        f"{title} is a {kind} of {name}.",
        f"{colour} {second}, {year}, {town}; {award} {honour}, {other}; {animal}.",
        ((f"Where did {name} find the {kind} {title}?", town),),
    )


KINDS: dict[str, Callable[[random.Random, str], Document]] = {"Task1": story, "Task2": biography, "Task3": entry}


def documents(rng: random.Random, task: str) -> Iterator[Document]:
    """Document after document of a task, each about a name of its own."""
    names = [f"{first} {last}" for first in pools.FIRST_NAMES for last in pools.LAST_NAMES]
    rng.shuffle(names)
    for name in names:
        yield KINDS[task](rng, name)


def rows(document: Document, name: str, task: str) -> tuple[Row, ...]:
    """The items of a document in LUME's fields; `name` is the document's id."""
    told = Row(f"{name}sc1", document.opening, document.rest, task)
    asked = (Row(f"{name}qa{n}", q, a, task) for n, (q, a) in enumerate(document.questions))
    return (told, *asked)
