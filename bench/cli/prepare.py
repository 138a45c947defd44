"""`bench prepare`: the models that cells start from."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cli.cells import hired, planned, start_workers, worker_count
from bench.cli.options import CACHE, CHECKPOINT, DATA, MACHINES, MODEL, PRECISION, SEEDS, TASKS, WORKERS, options
from bench.cli.results import say


@click.command()
@options(TASKS, MODEL, DATA, SEEDS, PRECISION, CACHE, CHECKPOINT, WORKERS, *MACHINES)
def prepare(
    tasks: str,
    model: str,
    data: str,
    seeds: str,
    precision: Any,
    cache: Path,
    checkpoint: float | None,
    workers: int | None,
    **who: Any,
) -> int:
    """Train the base, target and retrain models that the tasks need, so that a run only has to unlearn."""
    hire = hired(workers, **who)
    words = ("target", tasks, model, data, seeds, (), Path(os.devnull), cache)
    request, cells = planned(*words, precision=precision, meanwhile=partial(start_workers, workers))
    from bench.run.grid import prepare_all

    request = dataclasses.replace(request, checkpoint=checkpoint)
    well = prepare_all(request, [c.start for c in cells], worker_count(workers, len(cells)), say, hire)
    return 0 if well else 1
