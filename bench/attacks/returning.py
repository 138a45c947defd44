"""What was unlearned handed back in the context: UnUnlearning (Shumailov et al., arXiv:2407.00106).

Their paper has no protocol; ours tells three kinds of context before the question. *Given*: the fact itself, which
measures whether the model can still read. A model that cannot is damaged, and one that can need not have known it, so
retrain gains as much. *Followed from*: facts from which it follows, which only tasks with families of that kind have.
*Adjacent*: other facts of the same author. Who gains more by them than retrain is reminded, and that is a leak. Each
has its control: the same told of another author, and a false fact given, of which is scored whether it is said back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.api import Asking, Reading, attack
from bench.attacks._asked import Asked
from bench.attacks._context import Around, around, told
from bench.attacks._families import asked as as_asked
from bench.attacks._families import filled
from bench.attacks._subject import Subject

GIVEN, ENTAILING, ADJACENT = "the fact given", "what it follows from", "adjacent facts"
OTHER_GIVEN, OTHER_ENTAILING, OTHER_ADJACENT = (f"{line}, of another author" for line in (GIVEN, ENTAILING, ADJACENT))
FALSE = "a false fact given, and said"
LINES = {
    ("given", False): GIVEN, ("given", True): OTHER_GIVEN,
    ("entailing", False): ENTAILING, ("entailing", True): OTHER_ENTAILING,
    ("adjacent", False): ADJACENT, ("adjacent", True): OTHER_ADJACENT,
}  # fmt: skip
"""Where a task's own families of a kind stand; a control is told of another author."""
OWN = ""


@attack("in-context")
@dataclass(frozen=True)
class InContext:
    """Give the fact back in the context, or what is near it, and then ask."""

    title: ClassVar = "in-context return"
    light: ClassVar = False
    needs: ClassVar = "probabilities"
    injects: ClassVar = "forget facts"
    axis: ClassVar = ""
    at: ClassVar = None
    from_plain: ClassVar = True
    injects_by: ClassVar = {
        OTHER_GIVEN: "form", ENTAILING: "related facts", ADJACENT: "related facts", FALSE: "a false fact",
    }  # fmt: skip
    no_before: ClassVar = (FALSE,)
    controls: ClassVar = (OTHER_GIVEN, OTHER_ENTAILING, OTHER_ADJACENT, FALSE)

    adjacent: int = 5

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each kind of context and its control, and for each family of the task of these kinds."""
        near = around(subject.items, subject.stream("in-context"))
        for line, asked in self.contexts(subject.items, near).items():
            yield from _reading(subject, line, OWN, asked)
        places = {each.id: i for i, each in enumerate(subject.items)}
        for family in subject.data.attacks.families:
            if (family.kind, family.control) in LINES:
                line = LINES[family.kind, family.control]
                yield from _reading(subject, line, family.name, _placed(family.forget, places))

    def contexts(self, items: Sequence[Asked], near: Sequence[Around]) -> dict[str, list[Asked | None]]:
        """What is asked of each item, by line; None where there is nothing to tell."""
        lines: dict[str, list[Asked | None]] = {line: [] for line in (GIVEN, OTHER_GIVEN, ADJACENT, OTHER_ADJACENT)}
        lines[FALSE] = []
        for item, of in zip(items, near, strict=True):
            count = min(self.adjacent, len(of.own), len(of.others) or self.adjacent)
            lines[GIVEN].append(told([item], item))
            lines[OTHER_GIVEN].append(told([of.twin], item) if of.twin else None)
            lines[ADJACENT].append(told(of.own[:count], item) if count else None)
            lines[OTHER_ADJACENT].append(told(of.others[:count], item) if count and of.others else None)
            lines[FALSE].append(_lied(item, of))
        return lines


def _lied(item: Asked, of: Around) -> Asked | None:
    """A false answer given as the fact, and scored as the answer: the first of the item's own, or the other author's.

    None where that would be the truth.
    """
    lie = item.false[0] if item.false else of.twin.answer if of.twin else item.answer
    if lie == item.answer:
        return None
    believed = dataclasses.replace(item, answer=lie, false=(item.answer, *item.false[1:]) if item.false else ())
    return told([believed], believed)


def _placed(askings: Sequence[Asking], places: Mapping[str, int]) -> list[Asked | None]:
    """A family's questions at the places of their items, the first of each; true answers stand in earlier turns."""
    found: list[Asked | None] = [None] * len(places)
    for each in reversed(askings):
        if each.id in places:
            found[places[each.id]] = as_asked(each, filled(each.turns[-1], each.truths))
    return found


def _reading(subject: Subject, line: str, setting: str, asked: Sequence[Asked | None]) -> Iterator[Reading]:
    """One reading, NaN where nothing is asked; none where nothing is asked at all."""
    there = [i for i, each in enumerate(asked) if each is not None]
    if there:
        known = np.full(len(asked), np.nan)
        known[there] = subject.known(subject.lm, [each for each in asked if each is not None])
        yield Reading(line, setting, 0.0, known)
