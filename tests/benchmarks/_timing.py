"""What the sides of a benchmark take, and whether the machine was quiet enough to hold anything against it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

T = TypeVar("T")
BUSY = 0.15
"""Share of the machine's cores that others use from which on no timing is asserted."""
SAMPLE = 0.5  # seconds
_COUNTERS = Path("/proc/stat")


class Spent(NamedTuple):
    """Seconds of one call; those of the processor are of all threads, and of processes that it waited for."""

    wall: float
    cpu: float


class Load(NamedTuple):
    """How busy the machine is with other things, as shares of its cores.

    Attributes:
        average: processes that want to run, over the last minute: what ran before this benchmark is still in it.
        others: what is used while this process sleeps for half a second; the average where the system does not say.
    """

    average: float
    others: float


def spent(call: Callable[[], T]) -> tuple[T, Spent]:
    """What a call returns, and its seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, Spent(time.perf_counter() - wall, time.process_time() - cpu)


def load() -> Load:
    """The load now; takes half a second."""
    average = os.getloadavg()[0] / (os.cpu_count() or 1)
    if not _COUNTERS.is_file():
        return Load(average, average)
    before = _ticks()
    time.sleep(SAMPLE)
    idle, every = (now - then for now, then in zip(_ticks(), before, strict=True))
    return Load(average, 1 - idle / max(1, every))


def _ticks() -> tuple[int, int]:
    """Of all cores since the start of the machine: ticks without work, and all."""
    user, nice, system, idle, waiting, *others = map(int, _COUNTERS.read_text().splitlines()[0].split()[1:9])
    return idle + waiting, user + nice + system + idle + waiting + sum(others)


class Clock:
    """The seconds of the sides of one benchmark, written beside its result, and the load at its start.

    Sides that run on the same number of threads are compared by the processor's seconds, which neighbours disturb less.
    """

    def __init__(self, info: MutableMapping[str, Any], load: Callable[[], Load] = load) -> None:
        self._info, self._load = info, load
        self._sides: dict[str, list[Spent]] = {}
        self._start = load()
        info |= {
            "load average a core at the start": self._start.average,
            "others' cores at the start": self._start.others,
        }

    def time(self, side: str, call: Callable[[], T]) -> T:
        """What a call returns; its seconds are one more round of a side."""
        found, took = spent(call)
        self.add(side, took)
        return found

    def add(self, side: str, took: Spent) -> None:
        """One more round of a side, timed elsewhere."""
        self._sides.setdefault(side, []).append(took)

    def cpu(self, side: str) -> float:
        """The processor's seconds of a side, median over its rounds."""
        return statistics.median(took.cpu for took in self._sides[side])

    def wall(self, side: str) -> float:
        """The seconds that a side took, median over its rounds."""
        return statistics.median(took.wall for took in self._sides[side])

    def record(self) -> None:
        """Write down the seconds of every side."""
        for side in self._sides:
            self._info |= {f"{side}, wall seconds": self.wall(side), f"{side}, CPU seconds": self.cpu(side)}

    def only_if_quiet(self) -> None:
        """Skip the rest of a test, its claims of speed, where others used the machine before or use it now."""
        others = max(self._start.others, self._load().others)
        if others > BUSY:
            self.record()
            pytest.skip(f"others use {others:.0%} of this machine's cores: timings are written down and not judged")
