"""Other facts of the same author told first: whether being reminded of who it is brings back what was unlearned.

`k` other questions of the forget set with their answers, in a random order that grows, before the question. None of
them is the answer, and the same number of another author's shows what any context does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.api import Reading, attack
from bench.attacks._context import around, told
from bench.attacks._subject import Subject

SAME, OTHER = "the same author", "another author"


@attack("context")
@dataclass(frozen=True)
class Context:
    """Tell other facts of the same author, and then ask."""

    title: ClassVar = "facts in the context"
    light: ClassVar = False
    needs: ClassVar = "probabilities"
    injects: ClassVar = "related facts"
    axis: ClassVar = "facts"
    at: ClassVar = None
    from_plain: ClassVar = True
    controls: ClassVar = (OTHER,)

    facts: tuple[int, ...] = (1, 2, 4)

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each number of facts; items with fewer around them are not scored."""
        near = around(subject.items, subject.stream("context"))
        for k in self.facts:
            for line, before in ((SAME, [of.own for of in near]), (OTHER, [of.others for of in near])):
                lacking = np.array([len(facts) < k for facts in before])
                if not lacking.all():
                    asked = [told(facts[:k], each) for facts, each in zip(before, subject.items, strict=True)]
                    yield Reading(line, "", k, np.where(lacking, np.nan, subject.known(subject.lm, asked)))
