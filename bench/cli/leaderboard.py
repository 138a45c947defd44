"""`bench leaderboard`: the board as a file, as JSON, as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.cli.cells import writable
from bench.cli.options import RESULTS, RULES, options
from bench.cli.results import board_path, complain, read_records, say
from bench.errors import UsageError


@click.command()
@options(RESULTS)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if leaderboard.md is not what results/ says.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON instead of writing the file.")
@click.option("--output", type=click.Path(path_type=Path), help="By default ./leaderboard.md, or in another RESULTS.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page into this folder instead.")
@click.option("--data", default="", help="With --html: a directory or hub; the questions of real data are read there.")
@options(*RULES)
def leaderboard(
    results: Path, check: bool, as_json: bool, output: Path | None, html: Path | None, data: str, **rules: Any
) -> int:
    """Write leaderboard.md from the records in RESULTS, or a page with figures and answers."""
    from bench.board import leaderboard as board
    from bench.compare.analysis import Rules, analyse
    from bench.store import files

    if check and (html or as_json):
        raise UsageError("--check writes and prints nothing: leave out --html and --json")
    records, problems = read_records(results)
    output = output or board_path(results)
    by = Rules(**rules)
    tables = analyse(results, records, by)
    if html is not None:
        from bench.board import report

        writable("--html", html)
        page = report.write(results, records, tables, by, html, data, problems=problems)
        say(f"wrote {page}: {len(tables)} tables, {len(records)} cells. Open it in a browser")
    elif as_json:
        click.echo(json.dumps(board.rows(tables), indent=1))
    elif check:
        now = output.read_text(encoding="utf-8") if output.is_file() else ""
        if now != board.render(tables, by, problems):
            return complain(f"{output} is out of date. Run: python -m bench leaderboard --results {results}", 1)
        say(f"{output} is up to date")
    else:
        with files.atomically(output) as temporary:
            temporary.write_text(board.render(tables, by, problems), encoding="utf-8")
        say(f"wrote {output}: {len(records)} cells")
    return int(bool(problems))
