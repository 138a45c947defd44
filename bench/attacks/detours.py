"""Asking around the question: in other words, by a description in place of the name, for what follows from the answer.

The three kinds of Sleek (its step-by-step chains are the attack `step-by-step`): *direct* questions name the author in
wordings that no model was taught, *indirect* ones describe him by another fact, *implied* ones can be answered only by
who knows the fact. On what should be kept the same is asked: a method that answers no detour at all has suppressed the
question and not the fact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Reading, Splits, attack
from bench.attacks._families import asked_of, by_item, lacks, of_kinds, shares
from bench.attacks._subject import Subject

KINDS = ("direct", "indirect", "implied")


@attack("detours")
@dataclass(frozen=True)
class Detours:
    """Ask in other words, by a description of the author, or what needs the answer; the best of a task's families."""

    title: ClassVar = "detours"
    light: ClassVar = False  # trains nothing, but asks every family
    needs: ClassVar = "probabilities"
    injects: ClassVar = "form"
    axis: ClassVar = ""
    at: ClassVar = None
    injects_by: ClassVar = {"indirect": "related facts", "implied": "related facts"}  # options hold the answer
    from_plain: ClassVar = False  # shares among options are no probabilities of a value

    @staticmethod
    def available(data: Splits) -> str:
        """Why a task cannot be asked so; "" where it can."""
        return lacks(data, *KINDS)

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each family, in a line for each kind."""
        for family in of_kinds(subject.data, KINDS):
            known, kept = (
                by_item(asked, shares(subject, subject.lm, asked, [each.turns[-1] for each in asked]), items)
                for asked, items in (
                    (asked_of(family.forget, subject.items), subject.items),
                    (asked_of(family.kept, subject.kept), subject.kept),
                )
            )
            yield Reading(family.kind, family.name, 0.0, known, kept if family.kept else None)
