"""What commands read from a results directory, and the board that they leave behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import UsageError
from bench.registry import near

if TYPE_CHECKING:
    from bench.compare.analysis import Table
    from bench.compare.studies.study import Study
    from bench.store.record import Cell, Record


def say(text: str) -> None:
    """A line for the person, on stderr: data alone goes to stdout."""
    click.echo(text, err=True)


def complain(text: str, status: int) -> int:
    """What went wrong, in one line on stderr; returns the exit status."""
    say(f"error: {text}")
    return status


def board_path(results: Path) -> Path:
    """Where the board of a results directory is written: beside `results`, inside any other."""
    return Path("leaderboard.md") if results == Path("results") else results / "leaderboard.md"


def read_records(results: Path) -> tuple[Mapping[Cell, Record], list[str]]:
    """The records of RESULTS, and what is wrong with files that were left out, which are also said and counted."""
    from bench.store import files

    problems: list[str] = []
    records = files.records(results, problems.append)
    for problem in problems:
        say(f"left out: {problem}")
    if problems:
        say(files.count(len(problems)))
    return records, problems


def fitting(records: Mapping[Cell, Record], words: str, results: Path) -> list[Cell]:
    """The cells that words name, TASK/METHOD[/MODEL[/DATA[/SEED]]] or any part of it.

    Raises:
        UsageError: there is none; near names are suggested, or the cells that fit most of the words listed.
    """
    asked = words.split("/")
    parts = {cell: {*str(cell).split("/"), str(cell.seed)} for cell in records}
    fits = {cell: sum(word in parts[cell] for word in asked) for cell in records}
    if found := [cell for cell, n in fits.items() if n == len(asked)]:
        return found
    known = sorted({word for own in parts.values() for word in own})
    for word in asked:
        if word not in known and (hint := near([word], known)):
            raise UsageError(f"'{words}' fits 0 cells of {results}: none has '{word}'. {hint}")
    nearest = [cell for cell, n in fits.items() if n == max(fits.values())]
    raise UsageError(f"'{words}' fits 0 cells of {results}. {listed(nearest)}")


def listed(cells: Sequence[Cell], limit: int = 12) -> str:
    """Cells to choose from, a line each."""
    more = [f"and {len(cells) - limit} more"] if len(cells) > limit else []
    return "\n  ".join(["Name one of:", *map(str, cells[:limit]), *more])


def write_leaderboard(results: Path, ran: Collection[Cell] = ()) -> int:
    """The board of these results, written if it changed; the exit status is 1 if files were left out.

    Args:
        ran: cells whose tables are shown on a terminal.
    """
    from bench.board import leaderboard as board
    from bench.board.studies import of as study_of
    from bench.compare.analysis import Rules, analyse
    from bench.compare.studies.found import studies
    from bench.store import files

    records, problems = read_records(results)
    output = board_path(results)
    tables = analyse(results, records, Rules())
    found = studies(results, records)
    text = board.render(tables, Rules(), problems, found)
    if not output.is_file() or output.read_text(encoding="utf-8") != text:
        with files.atomically(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    steps = [table for table in tables if any(_of(table, cell) for cell in ran)]
    show_tables(steps, results, ran)
    mine = [(table.series, study_of(table, found)) for table in steps if table.series]
    show_studies([study for study in found if any(study is own for _, own in mine)])
    for name in sorted({name for name, own in mine if own is None}):
        say(f"{name}: no method has every step of it, with target and retrain, so there is no study. --tasks {name}")
    say(f"leaderboard: {os.path.relpath(output)}")
    return int(bool(problems))


@contextmanager
def shown_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with an estimate on a terminal, for `done(how many, of how many)`; nothing where stderr is piped."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def show_tables(tables: Iterable[Table], results: Path, ran: Collection[Cell] | None = None) -> None:
    """The tables on a terminal, nothing where stdout is piped; what was left out of them is said in any case.

    Args:
        ran: the only cells, and the only variants, that are of interest; by default all cells and no variants.
    """
    from rich.console import Console

    from bench.board import terminal

    console = Console()
    for table in tables:
        if console.is_terminal and (table.rows or table.variants):
            variants = {cell.method for cell in ran or () if _of(table, cell)}
            console.print(terminal.lines(table, min(console.width, terminal.WIDTH), variants), "")
        for line in terminal.left_out(table, results, ran):
            say(line)


def show_studies(found: Iterable[Study]) -> None:
    """What series of tasks show together, on a terminal; nothing where stdout is piped."""
    from rich.console import Console

    from bench.board import studies

    console = Console()
    for study in found:
        if console.is_terminal:
            console.print(studies.terminal(study), "")


def _of(table: Table, cell: Cell) -> bool:
    return (table.data, table.model, table.task) == (cell.data, cell.model, cell.task)
