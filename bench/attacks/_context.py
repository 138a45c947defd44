"""Facts told before a question.

Everything goes through the question's template once: a paragraph of facts, each a question with its answer, and then
what is asked. That is one user's turn of a chat model and one `Question:` of a model without turns, and all that a
model has seen which was trained on single questions; turns that it is said to have answered would need a template of
several, which scratch models have none of. Raw texts are told as they are trained on, glued, a line each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.attacks._asked import Asked, by_cluster


class Around(NamedTuple):
    """What else there is to tell before a question.

    Attributes:
        own: the other items of its author, in a random order. others: those of another author.
        twin: what stands in the same place among the other author's, mostly the same kind of fact; None without any.
    """

    own: tuple[Asked, ...]
    others: tuple[Asked, ...]
    twin: Asked | None


def told(facts: Sequence[Asked], asked: Asked) -> Asked:
    """A question after facts."""
    glue, end = ("", "\n") if asked.raw else (" ", " ")
    return asked.asking(end.join([*(f"{fact.prompt}{glue}{fact.answer}" for fact in facts), asked.prompt]))


def around(items: Sequence[Asked], random: np.random.Generator) -> list[Around]:
    """Of each item, its author's other items, and those of the author who comes next in a random round."""
    places = dict(by_cluster(items))
    found: list[Around | None] = [None] * len(items)
    round_ = [list(places)[i] for i in random.permutation(len(places))]
    for cluster, following in zip(round_, [*round_[1:], round_[0]], strict=True):
        elsewhere = [items[i] for i in places[following]] if following != cluster else []
        for at, i in enumerate(places[cluster]):
            own = [items[j] for j in places[cluster] if j != i]
            twin = elsewhere[at % len(elsewhere)] if elsewhere else None
            found[i] = Around(_shuffled(own, random), _shuffled(elsewhere, random), twin)
    return [each for each in found if each is not None]


def _shuffled(facts: Sequence[Asked], random: np.random.Generator) -> tuple[Asked, ...]:
    return tuple(facts[i] for i in random.permutation(len(facts)))
