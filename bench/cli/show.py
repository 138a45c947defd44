"""`bench show`: one cell in full."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import RESULTS, options
from bench.cli.results import fitting, listed, read_records
from bench.errors import UsageError


@click.command()
@click.argument("cell")
@options(RESULTS)
def show(cell: str, results: Path) -> int:
    """One cell in full. CELL is TASK/METHOD[/MODEL[/DATA[/SEED]]], or part of it that fits only one."""
    from bench.board.show import describe

    records, problems = read_records(results)
    fits = fitting(records, cell, results)
    if len(fits) > 1:
        raise UsageError(f"'{cell}' fits {len(fits)} cells of {results}. {listed(fits)}")
    click.echo(describe(records[fits[0]], results))
    return int(bool(problems))
