"""Run jobs that need one another, in this process or in several, whatever becomes of one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from bench.errors import BenchError
from bench.run.display import Display, displayed
from bench.run.jobs import Busy, Crew, End, Job, Lost
from bench.run.pace import Pace
from bench.run.pool import hired

AGAIN = 2.0
"""Seconds after which a job that another run is at is looked at again."""
Hire = Callable[[Display], AbstractContextManager[Crew]]
Ended = Callable[[Job, Any, BaseException | None], bool]


def _nothing() -> None:
    """What there is to do once it is done."""


def execute(
    jobs: Sequence[Job],
    workers: int,
    ended: Ended,
    stop_at_failure: bool,
    pace: Pace | None = None,
    meanwhile: Callable[[], None] = _nothing,
    hire: Hire | None = None,
) -> None:
    """Run every job, in the given order where needs allow, by so many workers of this machine, or by whom `hire` gives.

    A job whose process is killed is begun once more, with nothing else beside it; killed again it has failed, with
    `Lost`. One that another run is at (it raises `Busy`) waits until that has ended.

    `ended(job, result, error)` is told of each end and says whether the job counts as done well; with
    `stop_at_failure` nothing more is started after the first that does not. `pace` is told when jobs start and how long
    they took, before `ended` is told of their end. `meanwhile` is called here while workers are at their first
    jobs; without workers, before the first.

    Raises:
        KeyboardInterrupt: passed on after the workers are stopped.
    """
    pace = pace or Pace(jobs, workers)
    with displayed(len(jobs), pace) as display, (hire or partial(hired, workers))(display) as crew:
        pace.workers = crew.size
        _Run(jobs, crew, ended, pace, display).go(stop_at_failure, meanwhile)


class _Run:
    """The jobs of a run, and what has become of each so far."""

    def __init__(self, jobs: Sequence[Job], crew: Crew, ended: Ended, pace: Pace, display: Display) -> None:
        self.waiting, self.running = list(jobs), dict[str, Job]()
        self.good, self.bad = set[str](), set[str]()
        self.suspects = set[str]()  # were at work when a process was killed: each is done alone from then on
        self.later = dict[str, float]()  # when to look again at what another run is at
        self.crew, self.told, self.pace, self.display = crew, ended, pace, display

    def go(self, stop_at_failure: bool, meanwhile: Callable[[], None]) -> None:
        """Until nothing waits and nothing runs."""
        while self.waiting or self.running:
            self._leave_out()
            while len(self.running) < self.crew.size and (job := self._next()):
                self._begin(job)
            meanwhile()
            meanwhile = _nothing
            for end in self._ends():
                if not self._settled(end) and stop_at_failure:
                    self.waiting.clear()

    def _leave_out(self) -> None:
        """What needs something that failed, or that nobody makes, is not started."""
        idle = not self.running and not any(job.needs <= self.good for job in self.waiting)
        while left_out := [job for job in self.waiting if idle or job.needs & self.bad]:
            for job in left_out:
                self.waiting.remove(job)
                self.bad.add(job.name)
                self.pace.ends(job, None)
                lacking = ", ".join(sorted(job.needs - self.good))
                self.told(job, None, BenchError(f"not started: it needs {lacking}, which did not succeed"))

    def _next(self) -> Job | None:
        now = time.monotonic()
        ready = (j for j in self.waiting if j.needs <= self.good and self.later.get(j.name, now) <= now)
        job = next(ready, None)
        alone = job is not None and (job.name in self.suspects or bool(self.suspects & self.running.keys()))
        return None if alone and self.running else job

    def _begin(self, job: Job) -> None:
        self.waiting.remove(job)
        self.later.pop(job.name, None)
        self.pace.starts(job)
        self.running[job.name] = job
        self.crew.begin(job)

    def _ends(self) -> Sequence[End]:
        patience = max(0.0, min(self.later.values()) - time.monotonic()) if self.later else None
        if self.running:
            return self.crew.ended(patience)
        time.sleep(patience or 0.0)
        return ()

    def _settled(self, end: End) -> bool:
        """Note the end of a job; False where it failed, True too where it has to be begun again."""
        job, error = end.job, end.error
        del self.running[job.name]
        if isinstance(error, Busy):
            self.display.reporter(job.name)("another run is at it", 0, 1)
            self.later[job.name] = time.monotonic() + AGAIN
        elif isinstance(error, Lost) and not error.final and job.name not in self.suspects:
            self.suspects.add(job.name)
        else:
            return self._over(end)
        self.pace.pauses(job)
        self.waiting.insert(0, job)
        return True

    def _over(self, end: End) -> bool:
        job, error = end.job, end.error
        if isinstance(error, Lost) and not error.final:
            error = Lost(
                "its process was killed twice, the second time with nothing beside it, most likely for want of memory. "
                "What is finished is kept",
                final=True,
            )
        self.suspects.discard(job.name)
        self.pace.ends(job, end.seconds)
        fine = self.told(job, end.result, error)
        self.display.finish(job.name)
        (self.good if fine else self.bad).add(job.name)
        return fine
