"""No attack at all: the questions as they are asked, which every other attack is held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Reading, attack
from bench.attacks._subject import Subject


@attack("plain")
@dataclass(frozen=True)
class Plain:
    """The questions as they were trained on, and what should be kept."""

    title: ClassVar = "no attack"
    light: ClassVar = True
    needs: ClassVar = "probabilities"
    injects: ClassVar = "nothing"
    axis: ClassVar = ""
    at: ClassVar = None
    from_plain: ClassVar = True

    def run(self, subject: Subject) -> Iterator[Reading]:
        """One reading."""
        yield Reading("", "", 0.0, subject.ready(subject.items).known(subject.plain), subject.keeps(subject.lm))
