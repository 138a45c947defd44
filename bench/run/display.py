"""How far a run is: one bar for the whole, one for each running job, on stderr; without a terminal nothing moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bench.run.jobs import Report
from bench.run.pace import Pace, words


class Display:
    """The bars; threads may share it."""

    def __init__(self, progress: Progress, total: int, pace: Pace) -> None:
        self._progress = progress
        self._pace = pace
        self._overall = progress.add_task("all jobs", total=total, left="")
        self._bars: dict[str, Any] = {}
        self._lock = threading.Lock()

    def reporter(self, name: str) -> Report:
        """What a job tells its progress to."""

        def report(what: str, done: int, total: int) -> None:
            with self._lock:
                if name not in self._bars:
                    self._bars[name] = self._progress.add_task(name, total=total)
                self._progress.update(self._bars[name], description=f"{name}: {what}", completed=done, total=total)

        return report

    def finish(self, name: str) -> None:
        """A job has ended, however."""
        with self._lock:
            self._progress.update(self._overall, advance=1, left=words(self._pace.left()))
            if name in self._bars:
                self._progress.remove_task(self._bars.pop(name))


class _Left(TimeRemainingColumn):
    """What is left of a job by its own steps, of the whole run by its pace: steps of a run are not alike."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["left"]) if "left" in task.fields else super().render(task)


@contextmanager
def displayed(total: int, pace: Pace) -> Iterator[Display]:
    """The bars of so many jobs, there while the block lasts."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Left(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Display(progress, total, pace)
