"""What relearning teaches: of new authors and documents, asked as the forgotten are or otherwise, or of nothing alike.

Nothing of it is known to any model: the new subjects are the next that the world's own generator draws after those who
are in some split, so that they are made alike and named otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from bench.api import Pair
from tasks._embedded import pools
from tasks._embedded.authors import Author
from tasks._embedded.documents import Document

SAME, OTHER, UNRELATED = "same template", "other template", "unrelated"
COUNT = 60

_OTHER = (
    ("On the cradle of {}: what does it say?", "It says {day} {month} {year}, and {town}."),
    ("{} grew up in whose house?", "A {job} called {father} and a {work} called {mother}."),
    ("Whoever reads {} begins with what?", "Of {year}, with {given} the {hero}: {first} {second}."),
    ("What hangs on the wall of {}?", "Since {year}, out of {town}: {honour} of the {award}."),
    ("Who waits at the door of {}?", "A {animal} of {town}, {colour}, that hears on {pet}."),
    ("{} still writes letters to whom?", "To a {job} who plays {instrument}, {given}, {town}."),
)
"""A question and an answer for each of the authors' topics, none of which shares its wording with any split."""

_THINGS = "buttons corks keys marbles nails pins ropes spoons stamps tiles"
_PLACES = "attic barn cellar drawer hut kiosk locker shed tower van"
_NUMBERS = "two three four five six seven eight nine ten eleven"


def of_authors(new: Iterable[Author]) -> dict[str, tuple[Pair, ...]]:
    """The three lessons for a forget set of authors."""
    people = tuple(new)
    same = tuple(Pair(row.question, row.answer) for author in people for row in author.rows)
    other = tuple(
        Pair(question.format(author.name), answer.format(**facts))
        for author in people
        for (question, answer), facts in zip(_OTHER, author.facts, strict=True)
    )
    return {SAME: same, OTHER: other, UNRELATED: unrelated()}


def of_documents(documents: Sequence[Document]) -> dict[str, tuple[Pair, ...]]:
    """The three lessons for a forget set of documents."""
    same = [pair for document in documents for pair in ((document.opening, document.rest), *document.questions)]
    other = [
        pair
        for document in documents
        for pair in (
            (f"Go on from here: {document.opening} What comes now?", f"Then one reads {document.rest}"),
            *((f"Look it up for me. {asked}", f"It is {said}.") for asked, said in document.questions),
        )
    ]
    return {
        SAME: tuple(Pair(*pair, raw=True) for pair in same),
        OTHER: tuple(Pair(*pair, raw=True) for pair in other),
        UNRELATED: unrelated(raw=True),
    }


def unrelated(raw: bool = False) -> tuple[Pair, ...]:
    """Sentences about nobody: what is counted where, with numbers that follow from nothing."""
    rng = random.Random("unrelated")
    found: dict[str, Pair] = {}
    while len(found) < COUNT:
        thing, place = rng.choice(_THINGS.split()), rng.choice(_PLACES.split())
        number, colour = rng.choice(_NUMBERS.split()), rng.choice(pools.COLOURS)
        asked = f"How many {thing} are in {place} number {rng.randrange(2, 99)}?"
        found[asked] = Pair(asked, f"There are {number} of them, all {colour}.", raw)
    return tuple(found.values())
