"""What a run is made of: calls that need one another, and what may become of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from bench.errors import BenchError
from bench.run.pace import Kind

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """A call that may start once all jobs in `needs` have ended well.

    `run(*arguments, report)` must be importable by name and its arguments picklable; a job whose need failed is not
    started and counts as failed for that reason. One that all others wait for, `alone`, gets every core.
    """

    name: str
    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    needs: frozenset[str] = frozenset()
    kind: Kind = ("job",)
    alone: bool = False


class Busy(BenchError):
    """Another run is at this very job: it is looked at again later."""


class Lost(BenchError):
    """The process that was at a job is gone. Unless it is `final`, another job that was at work may be the reason."""

    def __init__(self, said: str, final: bool = False) -> None:
        super().__init__(said)
        self.final = final


class End(NamedTuple):
    """How a job ended: what it returned and the seconds that took, or what it raised."""

    job: Job
    result: Any = None
    seconds: float | None = None
    error: BaseException | None = None


class Crew(Protocol):
    """Whoever does jobs: this process, several, several machines."""

    size: int
    """How many jobs at once."""

    def begin(self, job: Job) -> None:
        """Have a job done; asked for at most `size` times more than `ended` has told of."""

    def ended(self, patience: float | None) -> Sequence[End]:
        """The jobs that have ended since; waits for one, at most so many seconds."""


def timed(job: Job, report: Report) -> tuple[Any, float]:
    """What a job returns, and the seconds that it took, without those of starting its process."""
    started = time.monotonic()
    return job.run(*job.arguments, report), time.monotonic() - started
