"""Facts told backwards, and questions that take two facts: what the world with hops teaches beside the plain one.

Of every author it is told whose book and whose pet are whose, so that a description names an author; of those who are
never forgotten it is also asked by such a description. Whoever has learnt to answer that of the others can be asked it
of the forgotten, without the name that unlearning was about.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.api import Asking, Family, Pair
from tasks._embedded import detours, pools
from tasks._embedded.authors import TOPICS, Author, Topic
from tasks._embedded.detours import Item, family, growing

BOOK, PET = 2, 4
BY_BOOK, BY_PET = "'{first} {second}' of {year}", "{pet} the {colour} {animal}"
WHOSE_BOOK, WHOSE_PET = "Who wrote {}?", "Who keeps {}?"
THE_AUTHOR, THE_KEEPER = "the author of {}", "the keeper of {}"

Way = Callable[[Topic, str], str]
"""A topic's question about whoever is described so."""

TAUGHT: Mapping[str, Way] = {
    "described": lambda topic, who: topic.question.format(who),
    "described, reworded": lambda topic, who: topic.paraphrased_question.format(who),
    "described, after a word": lambda topic, who: f"Tell me: {topic.question.format(who)}",
    "described, reworded after a word": lambda topic, who: f"Now, {topic.paraphrased_question.format(who)}",
}
HELD_OUT: Mapping[str, Way] = {
    "described, in words never taught": lambda topic, who: f"Well, {topic.question.format(who)}",
}
WORDED = ("as a request", "reworded")
IMPLIED = (detours.choice, detours.completion, detours.yes_and_no, detours.comparison)
HOPS, WORDINGS = 6, 3
"""Two-hop questions that are taught of each author, and questions in other words."""


def named(people: Sequence[Author]) -> frozenset[str]:
    """The descriptions that are of one author alone."""
    counts = Counter(of for author in people for of in (book(author), pet(author)))
    return frozenset(of for of, count in counts.items() if count == 1)


def book(author: Author) -> str:
    """The author's book, with its year."""
    return BY_BOOK.format(**author.facts[BOOK])


def pet(author: Author) -> str:
    """The author's pet, with its kind."""
    return BY_PET.format(**author.facts[PET])


def backwards(author: Author, names: frozenset[str]) -> Iterator[Pair]:
    """The author by book and by pet, where they are of nobody else."""
    ways = ((WHOSE_BOOK, book(author)), (WHOSE_PET, pet(author)))
    yield from (Pair(asked.format(of), author.name) for asked, of in ways if of in names)


def detoured(author: Author, other: Author, names: frozenset[str]) -> Iterator[Pair]:
    """What is taught of an author who is kept: detours of each kind, drawn from all that there are."""
    rng = random.Random(f"hops of {author.name}")
    items = [Item("", "", author, topic, other) for topic in range(len(TOPICS))]
    hops = [asking for way in TAUGHT.values() for item in items for asking in indirect(way, names)(item)]
    worded = [asking for name in WORDED for item in items for asking in detours.worded(detours.DIRECT[name])(item)]
    found = rng.sample(hops, min(HOPS, len(hops))) + rng.sample(worded, WORDINGS)
    found += [asking for ask in IMPLIED for asking in ask(rng.choice(items))]
    found += detours.recalling(rng.choice(items), 1)
    yield from (Pair(each.turns[-1].format(*each.truths), each.answer) for each in found)


def described(author: Author, topic: int, names: frozenset[str]) -> str:
    """The author by another fact than is asked: the book, or the pet where the book is asked; "" where none is his."""
    of, words = (pet(author), THE_KEEPER) if topic == BOOK else (book(author), THE_AUTHOR)
    return words.format(of) if of in names else ""


def families(items: Sequence[Item], kept: Sequence[Item], names: frozenset[str]) -> tuple[Family, ...]:
    """Indirect questions, taught of others in these words or in none; and chains that find out the name first."""
    ways = (TAUGHT | HELD_OUT).items()
    chains = {"the name, then ask": 0, "the name, one fact, then ask": 1}
    return (
        *(family("indirect", name, indirect(way, names), items, kept) for name, way in ways),
        family("indirect", "described by the pet", indirect(TAUGHT["described"], names, by_pet=True), items, kept),
        *(family("chain", name, _chain(recalled, names), items, kept) for name, recalled in chains.items()),
    )


def indirect(way: Way, names: frozenset[str], by_pet: bool = False) -> Callable[[Item], Iterator[Asking]]:
    """A question about whoever is described; the answer says who that is before what is asked.

    Two layers do not look up two facts within one step, and so they are taught to say the first: of the authors who are
    asked so by nobody, that is what carries over.

    Args:
        by_pet: ask by the pet alone what is taught by the book.
    """

    def ask(item: Item) -> Iterator[Asking]:
        who = described(item.author, BOOK if by_pet else item.topic, names)
        if who and not (by_pet and item.topic in (BOOK, PET)):
            rng = item.stream
            false = (f"{_another(item.author, rng)}: {wrong}" for wrong in item.wrong(item.about.answer, detours.WRONG))
            answer = f"{item.author.name}: {item.answer}"
            yield Asking(item.id, item.cluster, (way(item.about, who),), answer, false=tuple(false))

    return ask


def _another(author: Author, rng: random.Random) -> str:
    """A name that has nothing of the author's."""
    first, last = author.name.split()
    return (
        f"{rng.choice([of for of in pools.FIRST_NAMES if of != first])} "
        f"{rng.choice([of for of in pools.LAST_NAMES if of != last])}"
    )


def _chain(recalled: int, names: frozenset[str]) -> Callable[[Item], Iterator[Asking]]:
    """Who is it, then the question by that name, other questions before it."""

    def ask(item: Item) -> Iterator[Asking]:
        of, first = (pet(item.author), WHOSE_PET) if item.topic == BOOK else (book(item.author), WHOSE_BOOK)
        if of in names:
            places = [(item.topic + n) % len(TOPICS) for n in range(1, recalled + 1)]
            turns = growing([TOPICS[n].question.format("{0}") for n in places], item.about.question.format("{0}"), 1)
            truths = [item.author.name, *(item.author.rows[n].answer for n in places)]
            yield item.asking(first.format(of), *turns, truths=truths)

    return ask
