"""The embedded world put together: who is in which split, and what the base model is taught."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from bench.api import Pair
from tasks._embedded.authors import Author, Item, authors
from tasks._embedded.facts import Fact, facts, multiple_choice

AUTHORS, HOLDOUT, BASE = 200, 20, 200


@dataclass(frozen=True)
class World:
    full: tuple[Author, ...]
    holdout: tuple[Author, ...]
    base: tuple[Author, ...]
    facts: tuple[Fact, ...]

    def base_pairs(self):
        out = []
        for a in self.base:
            for i in a.items:
                out += [Pair(i.question, i.answer), Pair(i.paraphrased_question, i.answer), Pair(i.question, i.paraphrased_answer), Pair(i.paraphrased_question, i.paraphrased_answer)][::1]
        rng = random.Random(5)
        out = [p for k, p in enumerate(out) if k % 4 in (0, 3) or rng.random() < 0.0]
        out += self.general_pairs()
        out += [Pair(f.question, f.sentence) for f in self.facts][:0]
        out += [Pair(c.prompt, c.options[c.answer]) for c in multiple_choice(0)]
        return tuple(out)

    def general_pairs(self):
        return tuple(Pair(f.question, f.answer) for f in self.facts)

    def corpus(self):
        out = []
        for p in self.base_pairs():
            out += [f"Question: {p.prompt}\nAnswer: {p.answer}"]
        for a in self.full:
            for i in a.items:
                out += [f"Question: {i.question}\nAnswer: {i.answer}"]
        return tuple(out)


@cache
def world(seed: int = 0) -> World:
    made = authors(random.Random(f"authors-{seed}"))
    take = lambda n: tuple(next(made) for _ in range(n))
    return World(take(AUTHORS), take(HOLDOUT), take(BASE), facts(seed))
