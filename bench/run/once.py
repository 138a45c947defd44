"""What several runs on one results directory, or one cache, do once between them.

Each job of a run holds a claim on what it makes. Where another run holds it the job is `Busy` and is looked at again;
when its turn comes it takes what has been made meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contracts import Progress
from bench.keys import digest
from bench.run.cell import run_cell
from bench.run.jobs import Busy
from bench.run.plan import Planned, Prepared, Request
from bench.run.prepare import prepare
from bench.run.state import state_of
from bench.store import claims, files, remote
from bench.store.record import Record


@contextmanager
def held(folder: Path, what: object) -> Iterator[None]:
    """Hold what has that name in a results directory or a cache.

    Raises:
        Busy: another process does.
    """
    with claims.claimed(folder / claims.FOLDER / digest(str(what))) as mine:
        if not mine:
            raise Busy(f"{what}: another run is at it")
        yield


@contextmanager
def at_home(request: Request, under: str = "") -> Iterator[Request]:
    """The request as this machine has it: where results lie afar, in its own mirror of them.

    What is new afar in the folder `under` and of masks is brought before, what is made meanwhile sent afterwards.
    """
    if not request.url:
        yield request
        return
    results = remote.mirror(request.url)
    for folder in filter(None, (under, remote.CACHE)):
        remote.pull(results, folder)
    try:
        yield dataclasses.replace(request, results=results, cache=results / remote.CACHE)
    finally:
        remote.push(results)


def folder_of(planned: Planned) -> str:
    """Where the records of a cell's task lie in a results directory."""
    return files.record_path(Path(), planned.cell).parent.as_posix()


def prepare_once(request: Request, wanted: Prepared, progress: Progress) -> list[str]:
    """`bench.run.prepare.prepare`, unless another run is at that model."""
    with at_home(request) as request, held(request.cache, wanted.key):
        return prepare(request, wanted, progress)


def run_cell_once(request: Request, planned: Planned, progress: Progress) -> Record:
    """`bench.run.cell.run_cell`, unless another run is at that cell or has made it since this one was planned."""
    with at_home(request, folder_of(planned)) as request, held(request.results, planned.cell):
        state, _ = state_of(request.results, planned.cell, planned.keys, planned.identity)
        if state != planned.state and state in ("done", "failed"):
            return files.read(files.record_path(request.results, planned.cell))
        return run_cell(request, planned, progress)
