"""`bench leaderboard`: the board as a file, as JSON, as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bench.cli.cells import writable
from bench.cli.options import RESULTS, RULES, options
from bench.cli.results import board_path, complain, read_records, say, show_studies, show_tables, shown_progress
from bench.errors import UsageError


@click.command()
@options(RESULTS)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if leaderboard.md is not what results/ says.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON instead of writing the file.")
@click.option("--output", type=click.Path(path_type=Path), help="By default ./leaderboard.md, or in another RESULTS.")
@click.option(
    "--html", type=click.Path(path_type=Path), help="Write the report, pages for a browser, into this folder instead."
)
@click.option(
    "--figure", type=click.Path(path_type=Path), help="Draw the trade-off of the real data into this SVG too."
)
@click.option("--data", default="", help="With --html: a directory or hub; the questions of real data are read there.")
@options(*RULES)
def leaderboard(
    results: Path,
    check: bool,
    as_json: bool,
    output: Path | None,
    html: Path | None,
    figure: Path | None,
    data: str,
    **rules: Any,
) -> int:
    """Write leaderboard.md from the records in RESULTS, or the report: pages with figures and answers."""
    from bench.board import leaderboard as board
    from bench.compare.analysis import Rules, analyse
    from bench.compare.studies.found import studies
    from bench.store import files

    if check and (html or as_json):
        raise UsageError("--check writes and prints nothing: leave out --html and --json")
    if figure is not None and (html or as_json):
        raise UsageError("--figure goes with the board: leave out --html and --json, whose page has figures of its own")
    records, problems = read_records(results)
    output = output or board_path(results)
    by = Rules(**rules)
    tables = analyse(results, records, by)
    found = studies(results, records)
    if html is not None:
        from bench.board import report

        writable("--html", html)
        with shown_progress("report") as progress:
            built = report.write(results, records, tables, by, html, data, problems, progress, found)
        changed = f"{built.written} files written" + (f", {built.removed} removed" if built.removed else "")
        say(f"wrote {built.start}: {len(tables)} tables, {len(records)} cells, {changed}. Open it in a browser")
    elif as_json:
        click.echo(json.dumps(board.rows(tables, found), indent=1))
    else:
        wanted = {output: board.render(tables, by, problems, found)}
        if figure is not None:
            from bench.board import picture

            wanted[figure] = picture.svg(picture.shown(tables))
        if check:
            return _checked(wanted, results, figure) or int(bool(problems))
        for path, text in wanted.items():
            with files.atomically(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        show_tables(tables, results)
        show_studies(found)
        say(f"wrote {' and '.join(map(str, wanted))}: {len(records)} cells")
    return int(bool(problems))


def _checked(wanted: Mapping[Path, str], results: Path, figure: Path | None) -> int:
    """Compare files with what would be written; 1 if one differs."""
    for path, text in wanted.items():
        now = path.read_text(encoding="utf-8") if path.is_file() else ""
        if now != text:
            drawn = f" --figure {figure}" if figure else ""
            again = f"Run: python -m bench leaderboard --results {results}{drawn}"
            return complain(f"{path} is out of date. {again}", 1)
        say(f"{path} is up to date")
    return 0
