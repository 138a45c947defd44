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
from bench.store import claims, files, leases, remote
from bench.store.record import Record


@contextmanager
def held(folder: Path, what: object) -> Iterator[None]:
    """Hold what has that name in a results directory or a cache.

    Raises:
        Busy: another process does.
    """
    place = folder / claims.FOLDER / digest(str(what))
    with claims.claimed(place) as here:
        if here:
            with leases.leased(place) as afar:
                if afar:
                    yield
                    return
    raise Busy(f"{what}: another run is at it")


def at_home(request: Request) -> Request:
    """The request as this machine has it: where results lie afar, in its own mirror of them."""
    if not request.url:
        return request
    results = remote.mirror(request.url)
    return dataclasses.replace(request, results=results, cache=results / remote.CACHE)


@contextmanager
def in_step(results: Path, under: str = "") -> Iterator[None]:
    """Where results lie afar, bring what is new there in the folder `under` and of masks, and send in the end what was
    made meanwhile."""
    for folder in filter(None, (under, remote.CACHE)):
        remote.pull(results, folder)
    try:
        yield
    finally:
        remote.push(results)


def folder_of(planned: Planned) -> str:
    """Where the records of a cell's task lie in a results directory."""
    return files.record_path(Path(), planned.cell).parent.as_posix()


def prepare_once(request: Request, wanted: Prepared, progress: Progress) -> list[str]:
    """`bench.run.prepare.prepare`, unless another run is at that model."""
    request = at_home(request)
    with held(request.cache, wanted.key), in_step(request.results):
        return prepare(request, wanted, progress)


def run_cell_once(request: Request, planned: Planned, progress: Progress) -> Record:
    """`bench.run.cell.run_cell`, unless another run is at that cell or has made it since this one was planned."""
    request = at_home(request)
    with held(request.results, planned.cell), in_step(request.results, folder_of(planned)):
        state, _ = state_of(request.results, planned.cell, planned.keys, planned.identity)
        if state != planned.state and state in ("done", "failed"):
            return files.read(files.record_path(request.results, planned.cell))
        return run_cell(request, planned, progress)
