"""Slots: words of the answers to one kind of question at which few values come back over many subjects.

The month of a birth or the colour of a pet is one, told by counting words alone; a title or a name that everybody has
for himself is none. A *kind* of question is its prompt without the words that name its subject.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from bench.api import Pair

FRAME = 1 / 12
"""Share of all prompts from which on a word tells a kind of question and not its subject."""
LEAST, COVERED = 5, 0.8
"""Pairs that a value must have, and share of a slot's pairs that such values must cover."""


class Slot(NamedTuple):
    """A word of the answers to one kind of question: its place among `length` words, and the values it may have."""

    kind: tuple[str, ...]
    length: int
    place: int
    values: tuple[str, ...]


class Slots(NamedTuple):
    """What comes back in some pairs: the words that tell kinds of questions, and the slots of their answers."""

    words: frozenset[str]
    slots: tuple[Slot, ...]

    def found(self, prompt: str, answer: str) -> list[tuple[int, int]]:
        """The slots that a question and its answer have, as (which of `slots`, which of its values)."""
        kind, said = _kind(prompt, self.words), _said(answer)
        return [
            (n, slot.values.index(said[slot.place]))
            for n, slot in enumerate(self.slots)
            if slot.kind == kind and slot.length == len(said) and said[slot.place] in slot.values
        ]


def slots_of(pairs: Sequence[Pair]) -> Slots:
    """The slots of the answers in some pairs, in the order in which their kinds are asked first."""
    prompts = Counter(word for pair in pairs for word in {*pair.prompt.split()})
    words = frozenset(word for word, count in prompts.items() if count >= FRAME * len(pairs))
    answers: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for pair in pairs:
        answers[_kind(pair.prompt, words)].append(_said(pair.answer))
    return Slots(words, tuple(slot for kind, said in answers.items() if kind for slot in _slots(kind, said)))


def _slots(kind: tuple[str, ...], answers: Sequence[list[str]]) -> list[Slot]:
    """Those of answers of the most usual length to one kind of question."""
    (length, _), *_ = Counter(map(len, answers)).most_common(1)
    of_length = [words for words in answers if len(words) == length]
    found = []
    for place in range(length):
        counts = Counter(words[place] for words in of_length)
        values = tuple(sorted(word for word, count in counts.items() if count >= LEAST))
        if len(values) > 1 and sum(counts[word] for word in values) >= COVERED * len(answers):
            found.append(Slot(kind, length, place, values))
    return found


def _kind(prompt: str, words: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in prompt.split() if word in words)


def _said(answer: str) -> list[str]:
    return [word.strip(".,;:!?") for word in answer.split()]
