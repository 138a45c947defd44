"""Plausible trials of a tuning: methods with a plateau or a cliff, one ruinous, one dear, one that does nothing."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.compare.selection import OBJECTIVES, choose
from bench.store import trials
from bench.store.trials import Point, Trial

SHARES = (0.125, 0.25, 0.5, 1.0)
DATA = ("embedded@100", "embedded@101")


class Nature(NamedTuple):
    """How a made method answers to its learning rate, in powers of ten around the source's default."""

    erases: float  # how fast it erases
    breaks: float  # the power from which it loses utility
    steep: float  # how fast it loses it there
    seconds: float = 20.0


METHODS = {
    "fo-graddiff": Nature(1.2, 0.3, 3.0),
    "fo-npo": Nature(0.8, 0.9, 0.7),
    "rmu": Nature(1.0, 0.1, 5.0),
    "so-npo": Nature(1.0, 0.7, 1.0, 70.0),
    "fo-ga": Nature(3.0, -0.5, 4.0),
}


def point(share: float, erased: float, utility: float, steps: int = 40) -> Point:
    """A point of a run with the scores that a tuning looks at."""
    kept = min(max(utility, 0.0), 1.0)
    headline = 2 * erased * kept / (erased + kept) if erased + kept else 0.0
    scores = {"headline": headline, "erased": erased, "kept": kept, "utility share": utility,
              "extraction_strength": 0.7 - 0.6 * erased}  # fmt: skip
    return Point(share, round(share * steps), scores, {"extraction_strength": 0.02}, moved=10 * share * (1 + erased))


def points(nature: Nature, power: float, random: np.random.Generator) -> Iterator[Point]:
    """What a run of a learning rate passes through."""
    for share in SHARES:
        done = nature.erases * 10**power * share
        lost = nature.steep * max(0.0, power - nature.breaks + math.log10(share)) + 0.03 * done
        erased = (1 - math.exp(-done)) * (1 - 0.1 * random.random())
        yield point(share, min(max(erased, 0.0), 1.0), max(0.0, 1.02 - lost + random.normal(0, 0.01)))


def made(method: str, nature: Nature, count: int = 12, data: Sequence[str] = DATA, fresh: int = 2) -> list[Trial]:
    """All trials of a method: settings from one draw for all methods, then fresh runs of its best one."""
    powers = [0.0, *np.random.default_rng(7).uniform(-0.5, 1.0, count - 1)]
    found = []
    for number, power in enumerate(powers, 1):
        chosen = {"lr": float(f"{1e-4 * 10**power:.3g}"), "beta": 0.1}
        for seed, where in enumerate(data):
            random = np.random.default_rng([number, seed, *method.encode()])
            way = tuple(points(nature, power, random))
            diverged = method == "fo-ga" and power > 0.8
            found.append(
                Trial(
                    method, number, chosen, chosen | {"steps": 40}, where, 0, points=way[:2] if diverged else way,
                    status="diverged" if diverged else "ok", updates=40,
                    seconds={"unlearn": nature.seconds * (1 + random.random() / 10), "measure": 10.0},
                )
            )  # fmt: skip
        if method == "rmu" and number == 5:
            found[-len(data) :] = [
                dataclasses.replace(trial, status="failed", error="boom", points=()) for trial in found[-len(data) :]
            ]
    chosen_by = {objective: choose(objective, found) for objective in OBJECTIVES}
    stops = {(c.candidate.number, c.candidate.share) for c in chosen_by.values() if c is not None}
    for number, stop in sorted(stops):
        plain = next(trial.chosen for trial in found if trial.number == number)
        setting = plain if stop == 1 else {**plain, "stop": stop}
        for seed in range(1, 1 + fresh):
            random = np.random.default_rng([number, seed, 99, *method.encode()])
            way = tuple(p for p in points(nature, powers[number - 1], random) if p.share == stop)
            found.append(Trial(method, number, setting, setting, data[0], seed, fresh=True, points=way))
    return found


def write(results: Path, methods: Sequence[str] = tuple(METHODS), count: int = 12, task: str = "tofu:forget10") -> Path:
    """The files of a tuning of these methods on planted validation data; the folder."""
    folder = trials.folder(results, "embedded", "tiny", task)
    for name, utility in (("target", 0.6), ("retrain", 0.594)):
        for where, seed in itertools.product(DATA, (0, 1, 2)):
            spot = Point(1.0, 0, {"model_utility": utility if seed == 0 else 0.1, "extraction_strength": 0.5})
            trials.append(trials.path(folder, name), Trial(name, 0, {}, {}, where, seed, points=(spot,)))
    for method in methods:
        nature = METHODS.get(method, METHODS["fo-npo"])
        for trial in made(method, nature, count):
            trials.append(trials.path(folder, method), trial)
    return folder
