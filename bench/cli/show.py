"""`bench show`: one cell in full, or what a model reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from bench import registry
from bench.cli.cells import data_source
from bench.cli.options import CACHE, DATA, MODEL, RESULTS, options
from bench.cli.results import fitting, listed, read_records
from bench.errors import UsageError


@click.command()
@click.argument("cell", required=False)
@click.option("--prompts", "task", metavar="TASK", help="Show what a model reads of TASK, token by token.")
@options(MODEL, DATA)
@click.option(
    "--items", default=1, show_default=True, type=click.IntRange(1), help="With --prompts: so many of every set."
)
@click.option("--json", "as_json", is_flag=True, help="With --prompts: as data.")
@options(RESULTS, CACHE)
def show(
    cell: str | None, task: str | None, model: str, data: str, items: int, as_json: bool, results: Path, cache: Path
) -> int:
    """One cell in full, or the exact tokens that a model is given and those that are scored.

    \b
    show CELL                        TASK/METHOD[/MODEL[/DATA[/SEED]]], or part of it that fits only one
    show --prompts TASK --model M    ids, their texts, what is masked and what is scored; takes no weights
    """
    if (cell is None) == (task is None):
        raise UsageError("show takes a CELL, or --prompts TASK with --model. Name one of them.")
    if task is not None:
        return _prompts(task, model, data, items, as_json, cache)
    if as_json:
        raise UsageError("--json goes with --prompts; a cell's record is JSON already, and `show CELL` names its file.")
    from bench.board.show import describe
    from bench.compare.analysis import attacks_on

    records, problems = read_records(results)
    fits = fitting(records, str(cell), results)
    if len(fits) > 1:
        raise UsageError(f"'{cell}' fits {len(fits)} cells of {results}. {listed(fits)}")
    click.echo(describe(records[fits[0]], results, attacks_on(results, records, fits[0])))
    return int(bool(problems))


def _prompts(words: str, model: str, data: str, items: int, as_json: bool, cache: Path) -> int:
    """What the model reads of a task, without making or loading it."""
    task, *more = registry.select("task", words)
    if more:
        raise UsageError(f"--prompts {words} names {len(more) + 1} tasks. Name one of: {', '.join([task, *more])}")
    source = data_source(data)
    from bench.board import prompts
    from bench.model.recipes import refuse_unknown
    from bench.run.plan import Request, splits
    from bench.run.spoken import encoding, examples

    refuse_unknown(model)
    request = Request(model, source, Path(os.devnull), cache)
    reads = encoding(request, task)
    found = examples(reads, splits(task, source), items)
    if as_json:
        told = {"task": task, "data": request.data, "model": model, **prompts.data(reads.family, found)}
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        click.echo(prompts.describe(f"{task}, data {request.data}, as {model} reads it", reads.family, found))
    return 0
