"""Run jobs that need one another, in this process or in several; show how far they are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
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

from bench.errors import BenchError
from bench.run.pace import Kind, Pace, words
from bench.run.workers import context, usable_cores

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


def _nothing() -> None:
    """What there is to do once it is done."""


def execute(
    jobs: Sequence[Job],
    workers: int,
    ended: Callable[[Job, Any, BaseException | None], bool],
    stop_at_failure: bool,
    pace: Pace | None = None,
    meanwhile: Callable[[], None] = _nothing,
) -> None:
    """Run every job, in the given order where needs allow.

    `ended(job, result, error)` is told of each end and says whether the job counts as done well; with
    `stop_at_failure` nothing more is started after the first that does not. `pace` is told when jobs start and how long
    they took, before `ended` is told of their end. `meanwhile` is called here while workers are at their first
    jobs; without workers, before the first.

    Raises:
        KeyboardInterrupt: passed on after the workers are stopped.
        BenchError: a worker process was killed (out of memory, usually).
    """
    pace = pace or Pace(jobs, workers)
    with _display(len(jobs), pace) as display:
        if workers == 1:
            meanwhile()
            _execute_here(jobs, ended, stop_at_failure, display, pace)
        else:
            _execute_there(jobs, workers, ended, stop_at_failure, display, pace, meanwhile)


def _execute_here(
    jobs: Sequence[Job], ended: Callable[..., bool], stop_at_failure: bool, display: Display, pace: Pace
) -> None:
    good: set[str] = set()
    for job in jobs:
        if not job.needs <= good:
            pace.ends(job, None)
            ended(job, None, _unmet(job, good))
            continue
        pace.starts(job)
        try:
            (result, seconds), error = _timed(job, display.reporter(job.name)), None
        except Exception as caught:
            result, seconds, error = None, None, caught
        pace.ends(job, seconds)
        fine = ended(job, result, error)
        display.finish(job.name)
        if fine:
            good.add(job.name)
        elif stop_at_failure:
            return


def _execute_there(
    jobs: Sequence[Job],
    workers: int,
    ended: Callable[..., bool],
    stop_at_failure: bool,
    display: Display,
    pace: Pace,
    meanwhile: Callable[[], None],
) -> None:
    started_as = context()
    queue = started_as.Queue()
    own = queue, max(1, usable_cores() // workers), dict(os.environ)
    pool = ProcessPoolExecutor(workers, started_as, _start_worker, own)
    listener = threading.Thread(target=_listen, args=(queue, display), daemon=True)
    listener.start()
    waiting, running, good, bad = list(jobs), dict[Future[Any], Job](), set[str](), set[str]()
    try:
        while waiting or running:
            for job in [j for j in waiting if j.needs & bad]:
                waiting.remove(job)
                bad.add(job.name)
                pace.ends(job, None)
                ended(job, None, _unmet(job, good))
            while len(running) < workers and (ready := next((j for j in waiting if j.needs <= good), None)):
                waiting.remove(ready)
                pace.starts(ready)
                running[pool.submit(_run_in_worker, ready)] = ready
            meanwhile()
            meanwhile = _nothing
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, error = running.pop(future), future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise BenchError(
                        f"a worker process was killed while it worked on '{job.name}', most likely for want of memory. "
                        "What is finished is kept; go on with fewer --workers."
                    )
                result, seconds = (None, None) if error else future.result()
                pace.ends(job, seconds)
                fine = ended(job, result, error)
                display.finish(job.name)
                (good if fine else bad).add(job.name)
                if not fine and stop_at_failure:
                    waiting.clear()
    except BaseException:
        for process in list(getattr(pool, "_processes", {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        queue.put(None)
        listener.join(timeout=5)


def _unmet(job: Job, good: set[str]) -> BenchError:
    return BenchError(f"not started: it needs {', '.join(sorted(job.needs - good))}, which did not succeed")


_queue: Any = None


def _start_worker(queue: Any, threads: int, environment: Mapping[str, str]) -> None:
    global _queue
    _queue = queue
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)  # the server that it was forked from may be older
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)


PATIENCE = 10.0
"""Seconds that a job has to let go once its run was killed."""


def _end_with_parent() -> None:
    """A worker whose run was killed would work on for nobody and then wait for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # as if it had been stopped itself
        time.sleep(PATIENCE)
        os._exit(1)


def _run_in_worker(job: Job) -> tuple[Any, float]:
    import torch

    own = torch.get_num_threads()
    torch.set_num_threads(usable_cores() if job.alone else own)
    try:
        return _timed(job, lambda what, done, total: _queue.put((job.name, what, done, total)))
    finally:
        torch.set_num_threads(own)


def _timed(job: Job, report: Report) -> tuple[Any, float]:
    """What a job returns, and the seconds that it took, without those of starting its process."""
    started = time.monotonic()
    return job.run(*job.arguments, report), time.monotonic() - started


def _listen(queue: Any, display: Display) -> None:
    while (message := queue.get()) is not None:
        name, *report = message
        display.reporter(name)(*report)


class Display:
    """One bar for the whole run and one for each running job, on stderr; without a terminal, nothing moves."""

    def __init__(self, progress: Progress, total: int, pace: Pace) -> None:
        self._progress = progress
        self._pace = pace
        self._overall = progress.add_task("all jobs", total=total, left="")
        self._bars: dict[str, Any] = {}
        self._lock = threading.Lock()

    def reporter(self, name: str) -> Report:
        def report(what: str, done: int, total: int) -> None:
            with self._lock:
                if name not in self._bars:
                    self._bars[name] = self._progress.add_task(name, total=total)
                self._progress.update(self._bars[name], description=f"{name}: {what}", completed=done, total=total)

        return report

    def finish(self, name: str) -> None:
        with self._lock:
            self._progress.update(self._overall, advance=1, left=words(self._pace.left()))
            if name in self._bars:
                self._progress.remove_task(self._bars.pop(name))


class _Left(TimeRemainingColumn):
    """What is left of a job by its own steps, of the whole run by its pace: steps of a run are not alike."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["left"]) if "left" in task.fields else super().render(task)


@contextmanager
def _display(total: int, pace: Pace) -> Iterator[Display]:
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
