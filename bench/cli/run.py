"""`bench run`: unlearn, measure, score."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cli.cells import (
    attack,
    hired,
    planned,
    run_open,
    said_ends,
    say_how_it_goes,
    say_how_long,
    say_of_settings,
    say_what_is_attacked,
    say_what_is_done,
    start_workers,
    workers_for,
)
from bench.cli.options import (
    CACHE,
    CHECKPOINT,
    DATA,
    LIMIT,
    MACHINES,
    METHODS,
    MODEL,
    PRECISION,
    RESULTS,
    RETRAIN,
    SEEDS,
    SET,
    SETTINGS,
    TARGET,
    TASKS,
    WORKERS,
    options,
)
from bench.cli.results import say, write_leaderboard
from bench.errors import UsageError

FEW = 12
"""Cells of which nobody asks how long they will take."""


@click.command()
@options(
    METHODS,
    TASKS,
    MODEL,
    TARGET,
    RETRAIN,
    DATA,
    SEEDS,
    SETTINGS,
    SET,
    PRECISION,
    RESULTS,
    CACHE,
    CHECKPOINT,
    LIMIT,
    WORKERS,
)
@click.option(
    "--probes", default="",
    help="More to measure: reference, gradient-norm (attacks), abstention, neighbours, and what `bench list probes` "
    "has.",
)  # fmt: skip
@click.option("--attacks", default="", help="light, all, or names (bench list attacks): is it really gone?")
@click.option("--lm-eval", "lm_eval", default="", help="Comma list of lm-eval tasks whose scores are added.")
@click.option("--trace", default=20, show_default=True, type=click.IntRange(0), help="Points of a run's trade-off.")
@click.option(
    "--match", type=click.Choice(["utility"]),
    help="Beside each method a cell METHOD@matched: every score of the model on the straight way from target to its "
    "model that forgets as much as retrain.",
)  # fmt: skip
@click.option("--track", default="", help="Send training curves to tensorboard, wandb, ..., kept in RESULTS/tracking.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what is done, to do, stale (and why) and failed, and what it takes; run nothing.",
)
@click.option(
    "--simulate", default="", metavar="nodes=N,gpus=N,memory=GB,speed=X",
    help="With --dry-run: how long the run takes such machines, each place X times as fast as this one.",
)  # fmt: skip
@options(*MACHINES)
@click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails.")
def run(
    methods: str,
    tasks: str,
    model: str,
    target: str,
    retrain: tuple[str, ...],
    data: str,
    seeds: str,
    settings: str,
    assignments: tuple[str, ...],
    precision: Any,
    results: Path,
    cache: Path,
    checkpoint: float | None,
    limit: float,
    workers: int | None,
    probes: str,
    attacks: str,
    lm_eval: str,
    trace: int,
    match: str | None,
    track: str,
    dry_run: bool,
    simulate: str,
    fail_fast: bool,
    **who: Any,
) -> int:
    """Unlearn, measure and score every cell that is not done, then rewrite the leaderboard of RESULTS."""
    from bench.run.settled import code_now, settle, settled

    if track:
        from bench.train.tracking import check

        check(track)
    machines = _machines(simulate, dry_run)
    hire = hired(workers, **who)
    chosen = _attacks(attacks)
    say("reading the data and the methods ...")
    words: dict[str, Any] = {
        "methods": methods,
        "tasks": tasks,
        "model": model,
        "data": data,
        "seeds": seeds,
        "assignments": assignments,
        "probes": probes,
        "lm_eval": lm_eval,
        "match": match == "utility",
        "settings": settings,
        "precision": precision,
        "target": target,
        "retrain": retrain,
    }
    asked = partial(planned, results=results, cache=cache, **words)
    code = code_now()
    known = None if attacks else settled(results, words, code)
    request: Any = None
    cells: Sequence[Any] = known or ()
    if not known:
        request, cells = asked() if dry_run else asked(meanwhile=partial(start_workers, workers))
        _refuse_target_as_retrain(request)
        say_of_settings(request, cells)
        request = dataclasses.replace(request, trace=trace, track=track, checkpoint=checkpoint, limit=limit)
        if chosen:
            from bench.run.attacking import refuse as refuse_attacks

            refuse_attacks(request, dict.fromkeys(c.cell.task for c in cells), chosen)
    open_cells = [c for c in cells if c.state != "done"]
    if dry_run:
        say_what_is_done(request, cells, workers)
        if machines:
            say_how_it_goes(request, cells, machines)
    counts = {state: sum(c.state == state for c in cells) for state in ("done", "to do", "stale", "failed")}
    say(", ".join(f"{n} {state}" for state, n in counts.items() if n) + f" of {len(cells)} cells")
    if dry_run:
        if chosen:
            say_what_is_attacked(request, cells, chosen)
        if open_cells:
            from bench.run.refusal import refuse

            refuse(request, cells, workers_for(cells, workers))
        return 0
    if open_cells:
        everything = "all" in map(str.strip, methods.split(","))
        many = everything or len(open_cells) > FEW or any("," in text for text in assignments)
        hint = "--methods mission is the ten of the showcase" if everything else ""
        said = partial(say_how_long, request, cells, workers, hint) if many else _nothing
        run_open(request, cells, workers, fail_fast, meanwhile=said, hire=hire)
        cells = asked()[1]
    else:
        say("nothing to do: every cell is done and up to date")
    if not known:
        settle(results, words, code, cells)
    bad = said_ends(cells)
    if chosen:
        bad |= not attack(request, cells, chosen, workers, fail_fast, hire)
    return max(write_leaderboard(results, [c.cell for c in cells]), int(bad))


def _machines(words: str, dry_run: bool) -> Any:
    """The machines that a run is played through on; None where nobody asks."""
    if not words:
        return None
    if not dry_run:
        raise UsageError("--simulate runs nothing: add --dry-run.")
    from bench.run.simulate import cluster

    return cluster(words)


def _attacks(words: str) -> list[str]:
    if not words:
        return []
    from bench.run.attacking import select

    return select(words)


def _nothing() -> None:
    """Of a few cells nobody asks how long they will take."""


def _refuse_target_as_retrain(request: Any) -> None:
    if request.model in request.retrains.values():
        raise UsageError(f"--retrain {request.model}: that is the target. Give a model that never saw the forget set.")
