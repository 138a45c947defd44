"""The start of the report: a card a task, what holds across tasks, every method, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import registry
from bench.board import about, charts, reported, verdict
from bench.board.report import places
from bench.board.report.pages import Folder
from bench.compare.analysis import Rules, Table, across_tasks
from bench.errors import UsageError
from bench.store.record import CONTROLS, Cell

Listed = tuple[str, list[tuple[str, str]]]  # a reason, and the names and addresses of cells


def write(
    folder: Folder,
    results: Path,
    tables: Sequence[Table],
    rules: Rules,
    problems: Sequence[str],
    known: Sequence[str] = (),
    tunings: Sequence[Mapping[str, Any]] = (),
    studies: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the page.

    Args:
        problems: files that hold no record that can be used.
        known: the methods of the whole report, among which looks are chosen.
        tunings, studies: title, address and text of each.
    """
    methods = sorted({row.method for table in tables for row in table.rows} - set(CONTROLS))
    every = {cell.method.partition("@")[0] for table in tables for cell, _ in table.left_out}
    names = [*CONTROLS, *sorted({*methods, *every} - set(CONTROLS))] if tables else []
    folder.render(
        places.START,
        "start.html.j2",
        results=results,
        looks=charts.looks({*known, *methods}),
        methods=[*CONTROLS, *methods] if tables else [],
        cards=[_card(table, rules, [*known, *methods]) for table in tables],
        across=charts.across(tables, across_tasks(tables, rules.alpha)) if tables else [],
        tunings=tunings,
        studies=studies,
        names=[(name, described(name)) for name in names],
        left_out=[*((problem, []) for problem in problems), *left_out(tables)],
        reported=reported.tables(),
    )


def described(method: str) -> str:
    """What a method is, in a line; nothing of one that this project does not declare."""
    try:
        return registry.find("method", method).doc
    except UsageError:
        return ""


def left_out(tables: Sequence[Table]) -> list[Listed]:
    """Why cells are in no table, and which."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for table in tables:
        for reason, cells in verdict.left_out(table).items():
            named = [(_named(cell, len(tables) > 1), places.cell_page(table, cell)) for cell in cells]
            reasons.setdefault(reason, []).extend(named)
    return list(reasons.items())


def _named(cell: Cell, fully: bool) -> str:
    return str(cell) if fully else f"{cell.method}, seed {cell.seed}"


def _card(table: Table, rules: Rules, methods: Sequence[str]) -> Mapping[str, Any]:
    forest = charts.forest(table, compact=True, names=methods)
    return {
        "table": table,
        "kind": about.kind(table),
        "seeds": about.seeds(table.seeds),
        "address": places.task_page(table),
        "sentence": verdict.sentence(table, rules).strip("*"),
        "forest": forest._replace(name=places.table_slug(table)),
        "words": " ".join([table.task, table.model, about.kind(table), *(row.method for row in table.rows)]).lower(),
    }
