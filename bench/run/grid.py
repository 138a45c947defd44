"""A whole run: from planned cells to jobs, and what is said about them."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.model.recipes import SCRATCH
from bench.run.cached import trim
from bench.run.executors import Hire, execute
from bench.run.jobs import Job, Lost
from bench.run.pace import Kind, Pace, words
from bench.run.plan import Planned, Prepared, Request, model_folder, origin, splits
from bench.store import files, live, remote
from bench.store.live import Live
from bench.store.record import RETRAIN, Record

Say = Callable[[str], None]
OFTEN = 20
"""Ends of jobs between two looks at how large the cache is."""


def run(
    request: Request,
    cells: Sequence[Planned],
    workers: int,
    fail_fast: bool,
    say: Say,
    meanwhile: Callable[[], None] = lambda: None,
    hire: Hire | None = None,
) -> list[Record]:
    """Make every cell that is not done, models first; each end is said in one line,
    and what a method warned of behind it.

    Args:
        meanwhile: called as soon as workers have something to do.
        hire: who does the jobs, where that is not this machine alone.

    Returns:
        The records that were made.
    """
    check_texts(request, models_of(cells))
    jobs = jobs_of(request, cells)
    records: list[Record] = []
    run_jobs(request, jobs, workers, fail_fast, say, records, meanwhile, hire)
    return records


def jobs_of(request: Request, cells: Sequence[Planned]) -> list[Job]:
    """What there is to do for the cells that are not done, each after what it needs: models first."""
    from bench.run.once import run_cell_once

    todo = [c for c in cells if c.state != "done"]
    reference = {(c.cell.task, c.cell.seed): c for c in cells if c.cell.method == RETRAIN}
    making = prepare_jobs(request, models_of(cells))
    jobs = list(making.values())
    missing = {c.cell for c in todo}
    measuring: dict[str, str] = {}
    for planned in todo:
        retrain = reference.get((planned.cell.task, planned.cell.seed))
        needs = {making[planned.start.key].name}
        if retrain and "reference" in planned.probes:
            needs.add(making[retrain.start.key].name)
        if retrain and planned.cell.method != RETRAIN and retrain.cell in missing:
            needs.add(str(retrain.cell))
        # One checkpoint under several seeds is measured once.
        first = measuring.setdefault(planned.keys["measure"], str(planned.cell))
        needs |= {first} - {str(planned.cell)}
        rests_on = [of for of in (planned.finished, planned.before) if of]
        while rests_on:
            of = rests_on.pop()
            needs |= {str(of.cell)} if of.cell in missing else set()
            rests_on += [of.before] if of.before else []
        kind = _cell_kind(request, planned)
        jobs.append(Job(str(planned.cell), run_cell_once, (request, planned), frozenset(needs), kind))
    return jobs


def models_of(cells: Sequence[Planned]) -> list[Prepared]:
    """The models that cells which are not done start from, or are measured beside."""
    reference = {(c.cell.task, c.cell.seed): c for c in cells if c.cell.method == RETRAIN}
    todo = [c for c in cells if c.state != "done"]
    beside = [reference[c.cell.task, c.cell.seed].start for c in todo if "reference" in c.probes]
    return [*(c.start for c in todo), *beside]


def check_texts(request: Request, wanted: Sequence[Prepared]) -> None:
    """See that there is room for the models that are not made here, and that they can take every text of the tasks for
    which they have not been used; and that what stands for target and retrain reads them alike.

    Raises:
        Unfit: target and retrain are not one model, or have not one tokenizer.
        BenchError: the weights take more memory than is free, or the first text that is too long or whose prompt is
            empty; nothing has been trained yet.
    """
    new = [m for m in wanted if not model_folder(request, m.key).is_dir()]
    new = [m for m in new if m.given or request.model not in SCRATCH]
    if not new:
        return
    from bench.measure.lengths import check, context
    from bench.model.checkpoint import check_memory
    from bench.model.encoding import Encoding
    from bench.model.models import device, load_config, load_tokenizer
    from bench.model.precision import dtype
    from bench.run.judging import refuse_unlike

    for task in dict.fromkeys(m.task for m in new if m.stage in ("full", "retain") and m.given):
        refuse_unlike(request.model, request.retrains[task], request, task)
    for model in dict.fromkeys(m.given or request.model for m in new):
        check_memory(model, device(), dtype(request.precision))
    for model, task, learns in dict.fromkeys((m.given or request.model, m.task, m.stage != "given") for m in new):
        data = splits(task, request.source)
        pairs = data.full if learns else ()
        check(Encoding(load_tokenizer(model)), context(load_config(model)), pairs, data.probes)


def prepare_jobs(request: Request, wanted: Sequence[Prepared]) -> dict[str, Job]:
    """The jobs that make these models by content key, what they are taught from first; those in the cache end at once.

    Tasks that share a model share its job, whichever task it is named after.
    """
    from bench.run.once import prepare_once

    jobs: dict[str, Job] = {}

    def add(model: Prepared) -> None:
        needs = frozenset[str]()
        taught_from = origin(request, model.stage, model.task, model.seed)
        if taught_from and (taught_from.stage != "base" or request.model in SCRATCH):
            add(taught_from)
            needs = frozenset({jobs[taught_from.key].name})
        jobs.setdefault(model.key, Job(model.name, prepare_once, (request, model), needs, _model_kind(request, model)))

    for each in wanted:
        add(each)
    bases = [key for key, job in jobs.items() if job.kind[0] == "taught" and job.kind[-1] == "base"]
    if len(bases) == 1:  # whatever else there is to do waits for it
        jobs[bases[0]] = dataclasses.replace(jobs[bases[0]], alone=True)
    return jobs


def _model_kind(request: Request, model: Prepared) -> Kind:
    """What making a model takes; a model that is kept takes nothing."""
    benchmark = model.task.partition(":")[0]
    how = "given" if model.given else "taught"
    return ("kept",) if model_folder(request, model.key).is_dir() else (how, benchmark, model.stage)


def _cell_kind(request: Request, planned: Planned) -> Kind:
    """What making a cell takes: scoring alone, measuring as well, or unlearning before that."""
    cell, keys = planned.cell, planned.keys
    if files.rows_path(request.results, keys["measure"]).is_file():
        return "scored", cell.task
    if planned.composed.method.control or model_folder(request, keys["train"]).is_dir():
        return "measured", cell.task
    if planned.finished:
        return "matched", cell.task
    return "unlearned", cell.task, cell.method.partition("@")[0]


def prepare_all(request: Request, wanted: Sequence[Prepared], workers: int, say: Say, hire: Hire | None = None) -> bool:
    """Make these models; True if all are there."""
    check_texts(request, wanted)
    return run_jobs(request, list(prepare_jobs(request, wanted).values()), workers, False, say, [], hire=hire)


def run_jobs(
    request: Request,
    jobs: Sequence[Job],
    workers: int,
    fail_fast: bool,
    say: Say,
    records: list[Record],
    meanwhile: Callable[[], None] = lambda: None,
    hire: Hire | None = None,
) -> bool:
    from bench.run.cell import give_up
    from bench.run.judging import Unfit

    remote.knock(request.results)
    pace, results, at_work = Pace(jobs, workers), request.results, _rested_on(jobs)
    count, well, full = 0, True, ""

    def ended(job: Job, result: Any, error: BaseException | None) -> bool:
        nonlocal count, well, full
        if isinstance(error, Unfit):
            raise error  # of what the rest would rest on, in one line
        count += 1
        if isinstance(error, Lost) and isinstance(planned := job.arguments[1], Planned):
            result, error = give_up(job.arguments[0], planned, str(error)), None
        fine, said = _outcome(job, result, error)
        well &= fine
        if isinstance(result, Record):
            records.append(result)
        seconds = pace.left() if count < len(jobs) else None
        shown("jobs", count, len(jobs))
        shown.tell(left=seconds, told=time.time())
        left = words(seconds)
        say("; ".join(filter(None, [f"[{count}/{len(jobs)}] {said}", left])))
        warnings = _warnings(result)
        if (
            not full
            and (count % OFTEN == 0 or count == len(jobs))
            and (full := trim(request.cache, request.limit, at_work))
        ):
            warnings = [*warnings, full]
        for warning in warnings:
            say(f"warning: {warning}")
        return fine

    shown = Live(results, f"run {os.getpid()}", {"run": True})
    shown("jobs", 0, len(jobs))
    with shown:
        try:
            execute(jobs, workers, ended, fail_fast, pace, meanwhile, hire)
        finally:
            for job in jobs:
                live.forget(results, job.name)
    remote.pull(results)
    return well


def _rested_on(jobs: Sequence[Job]) -> set[str]:
    """Keys of unlearned models that later jobs go on from."""
    planned = [job.arguments[1] for job in jobs if isinstance(job.arguments[1], Planned)]
    return {of.keys["train"] for each in planned for of in (each.before, each.finished) if of}


def _warnings(result: Any) -> list[str]:
    """What a model that was prepared, or a cell's method, warned of; a matched cell does not repeat its method's."""
    if isinstance(result, list):
        return result
    own = isinstance(result, Record) and f"{result.cell.method}: "
    return [note for note in result.notes if note.startswith(own)] if own else []


def _outcome(job: Job, result: Any, error: BaseException | None) -> tuple[bool, str]:
    label = str(job.arguments[1].cell if isinstance(job.arguments[1], Planned) else job.arguments[1])
    if error is not None:
        return False, f"{label}: failed: {error}"
    if isinstance(result, Record) and result.status != "ok":
        return result.status != "failed", f"{label}: {result.status}: {result.error.strip().splitlines()[-1]}"
    return True, f"{label}: done"
