"""How long the rest of a run takes, from how long jobs of each kind took so far."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Protocol

Kind = tuple[str, ...]
"""What a job is, the most telling word first: jobs that share it take about as long as one another."""

OVERDUE = 1 / 8
"""What is still expected of a job that runs longer than others of its kind, as a share of what these took."""


class Timed(Protocol):
    """What is known of a job before it runs."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def needs(self) -> frozenset[str]: ...


class Pace:
    """The clock of a run.

    A job that is to come is expected to take the mean of the jobs that share most of its kind; where not even one with
    the same first word has ended, nobody knows, and nothing is said. The rest of the run is then played through: so
    many workers, in the order of the jobs, each after what it needs.
    """

    def __init__(self, jobs: Iterable[Timed], workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._open = {job.name: job for job in jobs}
        self.workers = workers
        self._clock = clock
        self._started: dict[str, float] = {}
        self._took: dict[Kind, list[float]] = {}

    def starts(self, job: Timed) -> None:
        """A worker begins this job now."""
        self._started[job.name] = self._clock()

    def pauses(self, job: Timed) -> None:
        """The job will be begun anew."""
        self._started.pop(job.name, None)

    def ends(self, job: Timed, seconds: float | None) -> None:
        """The job is over; None is one that failed or was not started, which says nothing of others."""
        self._open.pop(job.name, None)
        self._started.pop(job.name, None)
        if seconds is not None:
            for n in range(1, len(job.kind) + 1):
                self._took.setdefault(job.kind[:n], []).append(seconds)

    def left(self) -> float | None:
        """Seconds until all is done, as far as is known; None where a kind of job is to come that nobody has seen."""
        expected = {}
        for name, job in self._open.items():
            known = self._expected(job.kind)
            if known is None:
                return None
            expected[name] = known
        return self._played(expected)

    def _expected(self, kind: Kind) -> float | None:
        for n in range(len(kind), 0, -1):
            if took := self._took.get(kind[:n]):
                return fmean(took)
        return None

    def _played(self, expected: dict[str, float]) -> float:
        """When the last job ends if each takes what is expected of it."""
        now = self._clock()
        ends = [
            (max(expected[name] - (now - since), OVERDUE * expected[name]), name)
            for name, since in self._started.items()
        ]
        heapq.heapify(ends)
        order = list(self._open)
        unmet = {name: len(self._open[name].needs & self._open.keys()) for name in order}
        wanted_by: dict[str, list[int]] = {}
        for place, name in enumerate(order):
            for need in self._open[name].needs:
                wanted_by.setdefault(need, []).append(place)
        ready = [place for place, name in enumerate(order) if not unmet[name] and name not in self._started]
        at = 0.0
        while ends or ready:
            while ready and len(ends) < self.workers:
                name = order[heapq.heappop(ready)]
                heapq.heappush(ends, (at + expected[name], name))
            at, ended = heapq.heappop(ends)
            for place in wanted_by.get(ended, ()):
                unmet[order[place]] -= 1
                if not unmet[order[place]]:
                    heapq.heappush(ready, place)
        return at


def words(seconds: float | None) -> str:
    """A duration as it is said; "" for one that is not known."""
    if seconds is None:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 100 else f"about {seconds / 60:.0f} min left"
