"""Asking many times and listening: leak@k by sampling, in whatever words the fact comes.

n answers of every item at temperature 1; a sample leaks if it holds the value. `leak` computes the chance of the very
answer without an error of sampling and in seconds, so this is done on request only: it hears other wordings too. What
was not heard may yet be said, so a second line bounds the chance from above: of an item nobody heard in 200 samples it
is 0.015 at most (Clopper & Pearson 1934, at 95%).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.api import Reading, attack
from bench.attacks._asked import Asked
from bench.attacks._sampling import Sampler
from bench.attacks._subject import Subject
from bench.measure.forward import Forward, evaluating
from bench.metrics._rouge import lcs, words
from bench.stats.leak import at_least_once, leak_at, upper_bound

BOUND = "at most, with 95%"


@attack("sampling")
@dataclass(frozen=True)
class Sampling:
    """Ask many times at temperature 1: the chance that one of k answers holds the value, estimated."""

    title: ClassVar = "leak@k, sampled"
    light: ClassVar = False
    asked_only: ClassVar = True
    needs: ClassVar = "questions"
    injects: ClassVar = "nothing"
    axis: ClassVar = "k"
    at: ClassVar = 128.0
    from_plain: ClassVar = False

    samples: int = 200
    longer: float = 1.5  # most tokens of a sample, over those of the true answer

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each k = 1, 2, 4, ..., 128, and a bound of each item's chance."""
        leaks = self.leaks(subject)
        for k in (2**i for i in range(8)):
            if k <= self.samples:
                yield Reading("", "", k, leak_at(k, leaks, self.samples))
        highest = np.log(upper_bound(leaks, self.samples))
        for k in (2**i for i in range(8)):
            yield Reading(BOUND, "", k, at_least_once(highest, k))

    def leaks(self, subject: Subject) -> np.ndarray:
        """[N] how many of the samples of each item hold its value; NaN where they would not fit the model."""
        forward = Forward(subject.lm, subject.precision)
        found = np.full(len(subject.items), np.nan)
        with evaluating(subject.lm):
            sampler = Sampler(forward)
            for i, item in enumerate(subject.items):
                subject.progress("sampling", i, len(subject.items))
                prompt, answer = subject.lm.encode(item.prompt, item.answer, item.raw)
                room = int(self.longer * len(answer)) + 1
                if forward.context is not None and len(prompt) + room > forward.context:
                    continue
                draws = subject.stream(f"samples of {item.id}").random((self.samples, room))
                value = value_words(item)
                answers = [subject.lm.decode(ids) for ids in sampler.draw(prompt, draws)]
                found[i] = sum(holds(value, said) for said in answers) if value else np.nan
        return found


def value_words(item: Asked) -> tuple[str, ...]:
    """The words of an answer, lower-cased and stemmed, that not every false answer has; all where none is left."""
    own, false = words(item.answer), [set(words(other)) for other in item.false]
    told = tuple(word for word in own if not false or not all(word in other for other in false))
    return told or own


def holds(value: tuple[str, ...], said: str) -> bool:
    """Whether a text has all words of a value, in their order."""
    return lcs(value, words(said)) == len(value)
