"""`bench show`: one cell in full."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import RESULTS, options
from bench.cli.results import read_records
from bench.errors import UsageError


@click.command()
@click.argument("cell")
@options(RESULTS)
def show(cell: str, results: Path) -> int:
    """One cell in full. CELL is TASK/METHOD[/MODEL[/DATA[/SEED]]], or part of it that fits only one."""
    from bench.board.show import describe

    records, problems = read_records(results)
    words = cell.split("/")
    fits = [c for c in records if all(w in str(c).split("/") or w == str(c.seed) for w in words)]
    if len(fits) != 1:
        near = fits or list(records)
        listed = "\n  ".join([*map(str, near[:12]), *([f"and {len(near) - 12} more"] if len(near) > 12 else [])])
        raise UsageError(f"'{cell}' fits {len(fits)} cells of {results}. Name one of:\n  {listed}")
    click.echo(describe(records[fits[0]], results))
    return int(bool(problems))
