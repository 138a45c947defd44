"""`bench tune`: settings chosen on validation data, with the same number of trials for every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench import registry
from bench.cli.cells import data_source, hired, lies, worker_count, writable
from bench.cli.options import CACHE, DATA, MACHINES, METHODS, MODEL, RESULTS, WORKERS, options
from bench.cli.results import say
from bench.errors import BenchError, UsageError


@click.command()
@options(METHODS)
@click.option("--tasks", default="tofu:forget10", show_default=True, help="Comma list of names and groups.")
@options(MODEL, DATA)
@click.option("--trials", default=12, show_default=True, type=click.IntRange(min=1), help="Settings of each method.")
@click.option("--seed", default=0, show_default=True, help="Of the sequence that settings are drawn from.")
@click.option(
    "--worlds", default=1, show_default=True, type=click.IntRange(min=1),
    help="Embedded worlds that each setting is run on, none of them a test's.",
)  # fmt: skip
@click.option(
    "--precision", default="float32", show_default=True, type=click.Choice(["float32", "mixed", "bfloat16"]),
    help="Of training and measuring, the same for all trials.",
)  # fmt: skip
@options(RESULTS, CACHE, WORKERS, *MACHINES)
@click.option("--dry-run", is_flag=True, help="Say what would be searched, method by method; run nothing.")
def tune(
    methods: str,
    tasks: str,
    model: str,
    data: str,
    trials: int,
    seed: int,
    worlds: int,
    precision: Any,
    results: Path,
    cache: Path,
    workers: int | None,
    dry_run: bool,
    **who: Any,
) -> int:
    """Choose each method's settings on validation data and write them for `run --settings`.

    Trial 1 is the source's default; the others are drawn alike for all methods, and each run counts as four choices of
    when to stop. What is done is kept: the same command goes on, and two processes share a tuning.
    """
    from bench.board.tuning import lines
    from bench.cli.checkpoints import models
    from bench.compare.tuning import tunings
    from bench.run.plan import Request
    from bench.run.space import without
    from bench.study import tune as study
    from bench.study.chosen import write

    on = registry.select("task", tasks)
    named = [word.strip() for word in methods.split(",")]
    chosen = [m for m in registry.select("method", methods) if m in named or without([m])]
    if seed < 0:
        raise UsageError(f"--seed {seed}: write a whole number from 0 on")
    found = models(model, "", (), on)
    if found.retrains:
        raise UsageError(
            f"--model {model} is a target with its retrain model. A tuning teaches models of its own, on validation "
            "data: give what they were fine-tuned from."
        )
    hire, where = hired(workers, **who), lies(results, cache)
    if hire and where["url"]:
        raise UsageError(
            f"--results {where['url']}: the trials of a method are lines of one file, which machines that share no "
            "folder cannot write together. Name a folder that all nodes share, or leave out --executor ray."
        )
    request = Request(found.model, data_source(data), precision=precision, **where)
    tuning = study.Tuning(request, tuple(chosen), tuple(on), trials, seed, worlds)
    planned = study.planned(tuning)
    todo = [tried for tried in planned if study.known(tried) is None]
    say(f"{len(planned) - len(todo)} of {len(planned)} runs are there: {len(chosen)} methods x {trials} settings")
    if dry_run:
        for line in study.spaces(tuning):
            click.echo(line)
        return 0
    writable("--results", results)
    writable("--cache", cache)
    study.run(tuning, worker_count(workers, max(1, len(todo))), say, hire)
    for tuned in tunings(results):
        if tuned.task in on and (tuned.data, tuned.model) == (request.data, request.model_label):
            click.echo("\n".join([*lines(tuned), ""]))
    for file in write(tuning.request):
        where = {"--model": (model, "tiny"), "--data": (data, "embedded"), "--results": (str(results), "results"),
                 "--precision": (precision, "float32"), "--cache": (str(cache), ".cache")}  # fmt: skip
        more = "".join(f" {name} {value}" for name, (value, usual) in where.items() if value != usual)
        say(f"wrote {file}; type: python -m bench run --methods {methods} --tasks {tasks}{more} --settings {file}")
    if left := sum(study.known(tried) is None for tried in planned):
        raise BenchError(f"{left} of {len(planned)} runs could not be made. The same command tries them again.")
    return 0
