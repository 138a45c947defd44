"""Passes over a forget set that are counted in items: how many updates, and of which items."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.api import Schedule
from bench.contracts import Context
from bench.train.unlearning import _drawn

SIZES = (12, 24, 60, 120, 240, 600)


def drawn(items: int, schedule: Schedule, retain: int = 50) -> list[dict[str, list[int]]]:
    context = Context(None, [None] * items, [None] * retain, "a task", 3, Path(), lambda *_: None)  # type: ignore
    return [dict(batch) for batch in _drawn(context, schedule, ("forget", "retain"))]


def plainly(items: int, schedule: Schedule, retain: int = 50) -> list[dict[str, list[int]]]:
    """Passes over the whole set, as they were before there was anything to count."""
    random = Context(None, [], [], "a task", 3, Path(), lambda *_: None).stream("batches")  # type: ignore
    order = [
        chunk.tolist()
        for _ in range(schedule.epochs)
        for chunk in np.array_split(random.permutation(items), -(-items // schedule.batch_size))
    ]
    partners = [random.integers(0, retain, len(chunk)).tolist() for chunk in order]
    return [{"forget": f, "retain": r} for f, r in zip(order, partners, strict=True)]


@pytest.mark.parametrize("items", [*SIZES, 1, 3, 5, 121])
def test_uncounted_passes_are_what_they_were(items: int) -> None:
    for schedule in (Schedule(), Schedule(epochs=2, batch_size=7)):
        assert drawn(items, schedule) == plainly(items, schedule)
        assert schedule.steps(items) == len(plainly(items, schedule))


def test_a_pass_of_as_many_items_as_the_set_has_is_a_pass() -> None:
    assert drawn(120, Schedule(epoch_items=120)) == drawn(120, Schedule())


@pytest.mark.parametrize("items", SIZES)
def test_updates_do_not_grow_with_the_set(items: int) -> None:
    schedule = Schedule(epoch_items=120)
    made = drawn(items, schedule)
    assert len(made) == schedule.steps(items) == len(drawn(120, Schedule())) == 150
    assert sum(len(batch["forget"]) for batch in made) == schedule.drawn(items) == 600
    assert all(len(batch["forget"]) == len(batch["retain"]) == 4 for batch in made)


@pytest.mark.parametrize("items", [*SIZES, 7, 130, 1000])
def test_items_are_drawn_uniformly(items: int) -> None:
    """No item comes more than once oftener than another, at any point of the run; all are random places."""
    order = [item for batch in drawn(items, Schedule(epoch_items=120)) for item in batch["forget"]]
    for end in (items, 2 * items, 300, 600):
        counts = Counter(order[:end])
        assert max(counts.values()) - min((counts[n] for n in range(items)), default=0) <= 1
    assert order[: min(items, 600)] != sorted(order[: min(items, 600)])


def test_consecutive_passes_cover_a_larger_set() -> None:
    """Five passes of 120 over 600 items: each item once."""
    made = drawn(600, Schedule(epoch_items=120))
    assert sorted(item for batch in made for item in batch["forget"]) == list(range(600))
