"""What should be kept, by how near it is to what is forgotten: one value of a kept subject against nine others.

An item is a text as the target was taught it, and the same with another value in one place. *Shared value*: a forgotten
subject has that value in that place too. *Same template*: none has. The two have equally many items of each place, so
that nothing but the sharing tells them apart, and no wrong value is a forgotten one, so that pushing forgotten values
down, which a method may do, costs the first and leaves the second as it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from bench.api import Probes, Text
from tasks._embedded.authors import TOPICS, Author
from tasks._embedded.documents import Document
from tasks._embedded.facts import Fact, rivals
from tasks._lume_files import Row

WRONG = 9  # wrong answers to an item, the same at all distances: guessing has a tenth
COUNT = 120  # items of a distance, where there are as many
SUBJECT, SHARED, TEMPLATE, KIND, WORLD = (
    "neighbours_same_subject", "neighbours_shared_value", "neighbours_same_template", "neighbours_other_kind",
    "neighbours_world_facts",
)  # fmt: skip
_GAP = "\0"
_PLACES = {
    "Task1": r"(?P<first>\w+), (?P<job>\w+), (?P<town>\w+); (?P<second>\w+), (?P<work>\w+), (?P<other>\w+); "
    r"(?P<pet>\w+), (?P<colour>\w+) (?P<animal>\w+); (?P<instrument>\w+)\.",
    "Task2": r"(?P<year>\d+)-\d\d-\d\d, [\d-]+, 555-01(?P<line>\d\d), \w+\.(?P<animal>\w+)@[\w.]+, "
    r"\d+ (?P<noun>\w+) \w+, (?P<town>\w+)\.",
    "Task3": r"(?P<colour>\w+) (?P<second>\w+), (?P<year>\d+), (?P<town>\w+); (?P<award>\w+) (?P<honour>\w+), "
    r"(?P<other>\w+); (?P<animal>\w+)\.",
}
"""Where a document of each kind says what."""


class Told(NamedTuple):
    """A value that is told of a subject.

    `place` is which value of which text it is, such as "birth year": subjects share a value if they have it in one
    place. `said` is the text with a gap where the value stands.
    """

    subject: str
    place: str
    value: str
    prompt: str
    said: str
    raw: bool = False

    def saying(self, value: str) -> str:
        """The text with a value in the gap."""
        return self.said.replace(_GAP, value)


def answered(subject: str, place: str, value: str, question: str) -> Told:
    """A value that is all of the answer to a question."""
    return Told(subject, place, value, question, _GAP)


def continued(subject: str, place: str, value: str, before: str) -> Told:
    """A value that a document goes on with, to the end of its sentence."""
    return Told(subject, place, value, before, f" {_GAP}.", raw=True)


def of_author(subject: str, author: Author) -> Iterator[Told]:
    """Every value of an author, as the questions about it are answered."""
    for number, (topic, row, facts) in enumerate(zip(TOPICS, author.rows, author.facts, strict=True)):
        for slot, value in facts.items():
            said = topic.answer.format(**{**facts, slot: _GAP})
            yield Told(subject, f"{number}-{slot}", value, row.question, said)


def of_document(subject: str, task: str, document: Document) -> Iterator[Told]:
    """Every value of a document that others can have too, as its beginning is gone on from."""
    found = re.fullmatch(_PLACES[task], document.rest)
    if found is None:
        raise ValueError(f"{document.rest!r} is no text of {task}: mend its pattern")
    for name, value in found.groupdict().items():
        said = document.rest[: found.start(name)] + _GAP + document.rest[found.end(name) :]
        yield Told(subject, f"{task.lower()}-{name}", value, document.opening, said, raw=True)


def near(forgotten: Iterable[Told], kept: Sequence[Told], known: Iterable[Told], name: str) -> Probes:
    """The neighbours within the domain: those that share a value, and those that share none in that place.

    Args:
        known: what wrong values are drawn from; places without `WRONG` and one that nothing forgotten has are left out.
        name: of the random stream.
    """
    rng = random.Random(f"neighbours-{name}")
    taken, free = _values(forgotten), _values(known)
    columns: dict[str, list[list[Told]]] = {SHARED: [], TEMPLATE: []}
    wrong: dict[str, list[str]] = {}
    for place, of_place in _by_place(kept).items():
        wrong[place] = sorted(free.get(place, set()) - taken.get(place, set()))
        if len(wrong[place]) <= WRONG or place not in taken:
            continue
        rng.shuffle(of_place)
        shares = [told for told in of_place if told.value in taken[place]]
        others = [told for told in of_place if told.value not in taken[place]]
        count = min(len(shares), len(others))
        columns[SHARED].append(shares[:count])
        columns[TEMPLATE].append(others[:count])
    items = (_item(set_, told, wrong[told.place], rng) for set_, of in columns.items() for told in _in_turn(of))
    return Probes(tuple(text for item in items for text in item), ())


def among(set_: str, told: Iterable[Told], known: Iterable[Told], name: str) -> Probes:
    """Neighbours at one distance, whatever is forgotten: some values of all places.

    Args:
        known, name: as in `near`.
    """
    rng, values = random.Random(f"neighbours-{name}"), _values(known)
    places = [of for place, of in _by_place(told).items() if len(values.get(place, ())) > WRONG]
    for of_place in places:
        rng.shuffle(of_place)
    chosen = _in_turn(places)
    return Probes(tuple(text for one in chosen for text in _item(set_, one, sorted(values[one.place]), rng)), ())


def of_rows(rows: Iterable[Row]) -> Iterator[Told]:
    """The answers of real rows; those of one task and number ask for the same kind of thing, as a date of birth."""
    for row in rows:
        if row.kind == "question":
            yield Told(row.document, f"{row.task.lower()}-{row.id[-3:]}", row.output, row.input, _GAP, raw=True)


def of_facts(set_: str, facts: Iterable[Fact]) -> Probes:
    """General facts that were taught; those of families with too few answers are left out."""
    rng = random.Random(f"neighbours-{set_}")
    told = [
        Told(f"{fact.set}-{n:03d}", "answer", fact.answer, fact.question, _GAP)
        for n, fact in enumerate(facts) if fact.taught and len(rivals(fact)) >= WRONG
    ]  # fmt: skip
    chosen = sorted(rng.sample(told, min(COUNT, len(told))))
    wrong = {fact.question: rivals(fact) for fact in facts}
    return Probes(tuple(text for one in chosen for text in _item(set_, one, wrong[one.prompt], rng)), ())


def together(*parts: Probes) -> Probes:
    """The texts of several, one after the other."""
    return Probes(tuple(text for part in parts for text in part.texts), ())


def _item(set_: str, told: Told, values: Sequence[str], rng: random.Random) -> tuple[Text, ...]:
    """The true text and `WRONG` others, whose values stand nowhere else in it."""
    said = set(re.findall(r"\w+", told.said))
    wrong = rng.sample([value for value in values if value != told.value and value not in said], WRONG)
    where = set_, f"{told.subject}-{told.place}", f"near-{told.subject}"
    return (
        Text(*where, "answer", told.prompt, told.saying(told.value), raw=told.raw),
        *(Text(*where, "perturbed", told.prompt, told.saying(v), n, told.raw) for n, v in enumerate(wrong)),
    )


def _by_place(told: Iterable[Told]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = {}
    for one in told:
        found.setdefault(one.place, []).append(one)
    return found


def _values(told: Iterable[Told]) -> Mapping[str, set[str]]:
    return {place: {one.value for one in of} for place, of in _by_place(told).items()}


def _in_turn(columns: Iterable[Sequence[Told]]) -> list[Told]:
    """The first of each column, then the second of each: `COUNT` at most, as many of each place as there can be."""
    return [one for row in zip_longest(*columns) for one in row if one is not None][:COUNT]
