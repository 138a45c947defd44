"""Models that tasks share are made once, and every cell waits for the job that makes its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.run import grid
from bench.run.plan import Request, plan


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
    monkeypatch.setattr(grid, "_run_jobs", lambda jobs, *rest: kept.extend(jobs))
    grid.run(request, shared, 1, False, print)
    names = {job.name for job in kept}
    assert all(job.needs <= names for job in kept)
    assert sum("retrain for" in name for name in names) == 1
