"""Subjects of random tiny models: eight authors with four questions each, half of them to be forgotten."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bench.api import Pair, Probes, Splits
from bench.attacks._asked import Asked
from bench.attacks._subject import Subject
from bench.keys import stream
from bench.model.models import LM
from tests.measure.conftest import tiny

WHO = ("ada", "bo", "cleo", "dan", "eve", "finn", "gus", "hal")
PLACES = ("lima", "parma", "rome", "oslo", "cairo", "delhi", "paris", "bern")
GENERAL = (Pair("what is the sea?", "water"), Pair("what is snow?", "cold rain"), Pair("who rows?", "a rower"))


def asked(numbers: range) -> tuple[Asked, ...]:
    """Two questions to each author; a false answer tells what is value."""
    return tuple(
        Asked(f"{WHO[n]}-{verb}", WHO[n], f"where did {WHO[n]} {verb}?", f"in {PLACES[(n + m) % 8]}.", ("in zzz.",))
        for n in numbers
        for m, verb in enumerate(("live", "work"))
    )


def pairs(of: tuple[Asked, ...]) -> tuple[Pair, ...]:
    return tuple(Pair(each.prompt, each.answer) for each in of)


@cache
def model(seed: int, kind: str = "llama") -> LM:
    return tiny(kind, seed, 0.3)


def subject(lm: LM | None = None, target: LM | None = None, retrain: LM | None = None, **changed: Any) -> Subject:
    """By default the attacked model is seed 0's, target seed 1's and retrain seed 2's."""
    items, kept = asked(range(4)), asked(range(4, 8))
    data = Splits((), GENERAL, pairs(items), pairs(kept), Probes((), ()), ())
    made: dict[str, Any] = {
        "lm": lm or model(0), "items": items, "kept": kept, "data": data,
        "target": lambda: target or model(1), "retrain": lambda: retrain or model(2),
        "stream": lambda name: stream("a test", name), "progress": lambda *of: None, "lr": 0.01,
    }  # fmt: skip
    return Subject(**{**made, **changed})


def same_weights(one: LM, other: LM) -> bool:
    return all((a == b).all() for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


def assert_same(one: list[Any], other: list[Any]) -> None:
    """Two lists of readings are the same bit for bit."""
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert (a.line, a.setting, a.step) == (b.line, b.setting, b.step)
        np.testing.assert_array_equal(a.known, b.known)
        assert (a.kept is None) == (b.kept is None)
        if a.kept is not None:
            np.testing.assert_array_equal(a.kept, b.kept)
