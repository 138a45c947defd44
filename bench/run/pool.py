"""Jobs done in this process, or by several on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from bench.run.display import Display
from bench.run.jobs import Crew, End, Job, Lost, timed
from bench.run.workers import context, usable_cores


@contextmanager
def hired(workers: int, display: Display) -> Iterator[Crew]:
    """Whoever does jobs while the block lasts: with one worker this process itself.

    An exception that leaves the block, a KeyboardInterrupt for one, ends the workers at once.
    """
    if workers == 1:
        yield Here(display)
        return
    pool = Pool(workers, display)
    try:
        yield pool
    except BaseException:
        pool.dismiss()
        raise
    finally:
        pool.close()


class Here:
    """This process does one job after another, and begins when it is asked for the end."""

    size = 1

    def __init__(self, display: Display) -> None:
        self._display = display
        self._begun: list[Job] = []

    def begin(self, job: Job) -> None:
        """See `Crew`."""
        self._begun.append(job)

    def ended(self, patience: float | None) -> Sequence[End]:
        """See `Crew`; however long it takes."""
        job = self._begun.pop(0)
        try:
            return [End(job, *timed(job, self._display.reporter(job.name)))]
        except Exception as error:
            return [End(job, error=error)]


class Pool:
    """So many processes; when one is killed all are replaced, and whatever they were at is lost."""

    def __init__(self, workers: int, display: Display) -> None:
        self.size = workers
        self._started_as = context()
        self._queue = self._started_as.Queue()
        self._running: dict[Future[Any], Job] = {}
        self._pool = self._new()
        self._listener = threading.Thread(target=_listen, args=(self._queue, display), daemon=True)
        self._listener.start()

    def begin(self, job: Job) -> None:
        """See `Crew`."""
        try:
            future = self._pool.submit(_run_in_worker, job)
        except BrokenProcessPool as error:  # one was killed since
            future = Future()
            if self._running:
                future.set_exception(error)
            else:
                self._renew()
                future = self._pool.submit(_run_in_worker, job)
        self._running[future] = job

    def ended(self, patience: float | None) -> Sequence[End]:
        """See `Crew`."""
        done = wait(self._running, patience, FIRST_COMPLETED).done
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            done = wait(self._running).done  # all of them end now
            self._renew()
        return [_end(self._running.pop(future), future) for future in done]

    def dismiss(self) -> None:
        """End the processes without waiting for what they are at."""
        for process in list((getattr(self._pool, "_processes", None) or {}).values()):
            process.terminate()

    def close(self) -> None:
        """Let go of the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._queue.put(None)
        self._listener.join(timeout=5)

    def _new(self) -> ProcessPoolExecutor:
        own = self._queue, max(1, usable_cores() // self.size), dict(os.environ)
        return ProcessPoolExecutor(self.size, self._started_as, _start_worker, own)

    def _renew(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._new()


def _end(job: Job, future: Future[Any]) -> End:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return End(job, error=Lost("a worker process was killed"))
    return End(job, error=error) if error else End(job, *future.result())


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
        return timed(job, lambda what, done, total: _queue.put((job.name, what, done, total)))
    finally:
        torch.set_num_threads(own)


def _listen(queue: Any, display: Display) -> None:
    while (message := queue.get()) is not None:
        name, *report = message
        display.reporter(name)(*report)
