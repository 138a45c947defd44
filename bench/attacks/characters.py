"""Characters put into the question: whether what was unlearned is the fact, or the sight of its tokens.

A model that recognises the surface of a forget question forgets to forget it when it is spelt otherwise (Lucki et al.,
arXiv:2409.18025; their grid has every n-th place, n up to 15).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Reading, attack
from bench.attacks._subject import Subject


@attack("characters")
@dataclass(frozen=True)
class Characters:
    """Put a character after every n-th one of the question."""

    title: ClassVar = "inserted characters"
    light: ClassVar = False
    needs: ClassVar = "probabilities"
    injects: ClassVar = "nothing"
    axis: ClassVar = ""
    at: ClassVar = None
    from_plain: ClassVar = True

    characters: tuple[str, ...] = ("_", " ")
    every: tuple[int, ...] = (5, 10, 15)

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each character and n."""
        for character in self.characters:
            for n in self.every:
                asked = [each.asking(inserted(each.prompt, character, n)) for each in subject.items]
                yield Reading("", f"{character!r} every {n}", 0.0, subject.known(subject.lm, asked))


def inserted(text: str, character: str, n: int) -> str:
    """A text with a character after each n of its own."""
    return character.join(text[i : i + n] for i in range(0, len(text), n))
