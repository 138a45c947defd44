"""Models that tasks share are made once, and every cell waits for the job that makes its own."""

from __future__ import annotations

import dataclasses
import itertools
import time
from pathlib import Path

from bench.run import grid
from bench.run.jobs import Job
from bench.run.plan import Request, plan
from bench.store.record import Cell, Record


def test_tasks_that_share_a_retrain_model_wait_for_one_job(monkeypatch):
    """Two tasks whose retain sets are equal: one key, one job, named after the first of them; both cells need it."""
    request = Request("tiny", "embedded", Path("/nowhere"), Path("/nowhere"))
    cells = plan(request, ["target"], ["tofu:forget01", "tofu:forget05"], [0])
    key = next(c.start.key for c in cells if c.start.stage == "retain")
    shared = [
        dataclasses.replace(c, start=dataclasses.replace(c.start, key=key)) if c.start.stage == "retain" else c
        for c in cells
    ]
    kept = []
    monkeypatch.setattr(grid, "run_jobs", lambda request, jobs, *rest: kept.extend(jobs))
    grid.run(request, shared, 1, False, print)
    names = {job.name for job in kept}
    assert all(job.needs <= names for job in kept)
    assert sum("retrain for" in name for name in names) == 1


def _warned(*_: object) -> Record:
    cell = Cell("t", "so-npo@m=1", "tiny", "embedded", 0)
    return Record(cell, "ok", {}, {}, notes=("about the data", "so-npo@m=1: nothing was clipped", "so-npo: another's"))


def test_what_a_method_warned_of_is_said_beside_the_record(tmp_path):
    """Not what the data's notes say of every cell, nor, of a matched cell, what its method's own cell said before."""
    said: list[str] = []
    records: list[Record] = []
    request = Request("tiny", "embedded", tmp_path, tmp_path / "cache")
    grid.run_jobs(request, [Job("a cell", _warned, (None, "a cell"))], 1, False, said.append, records)
    assert said == ["[1/1] a cell: done", "warning: so-npo@m=1: nothing was clipped"]
    assert len(records) == 1


def test_a_base_that_all_wait_for_gets_every_core(tmp_path):
    """Of two bases neither is alone; whose turn it is may not change how anything is computed."""

    request = Request("tiny", "embedded", tmp_path, tmp_path)

    def alone(*tasks: str) -> list[str]:
        jobs = grid.prepare_jobs(request, [c.start for c in plan(request, ["target"], tasks, [0])])
        return [job.name for job in jobs.values() if job.alone]

    assert [name.split()[0] for name in alone("tofu:forget01", "tofu:forget05")] == ["base"]
    assert alone("tofu:forget01", "lume") == []


def _stays(folder: str, name: str, report) -> list[str]:
    (Path(folder) / name).write_text("made")
    report(name, 1, 1)
    return []


def test_a_clock_that_jumps_changes_nothing_that_is_made(tmp_path, monkeypatch):
    """Years forward and back between any two looks: every job is done, the estimate is a number, no file is left."""
    times = itertools.cycle([2e9, 1e9, 3e9, 0.0])
    monkeypatch.setattr(time, "time", lambda: next(times))
    jobs = [Job(str(n), _stays, (str(tmp_path), str(n)), frozenset({str(n - 1)} if n else ())) for n in range(4)]
    said: list[str] = []
    request = Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache")
    assert grid.run_jobs(request, jobs, 1, False, said.append, [])
    assert [line.split(":")[0] for line in said] == [f"[{n + 1}/4] {n}" for n in range(4)]
    assert not any("-" in line for line in said) and all((tmp_path / str(n)).is_file() for n in range(4))
    assert not [*(tmp_path / "results" / "running").glob("*.json")]
