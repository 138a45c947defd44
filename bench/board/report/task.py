"""A task's page: the verdict, the numbers of papers, attacks, figures, tests, every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.board import about, charts, columns
from bench.board.columns import Column
from bench.board.report import attacks, places, start
from bench.board.report.pages import Folder
from bench.board.sweeps import swept, with_plain
from bench.board.verdict import remarks, rules_line, sentence
from bench.compare.analysis import HEADLINE, Row, Rules, Table
from bench.store.record import CONTROLS, Cell

Links = Mapping[str, Sequence[tuple[int, str]]]
"""Of a method: its seeds and the addresses of their cells."""


class Part(NamedTuple):
    """One table of numbers on the page."""

    caption: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    cells: Links


def write(folder: Folder, table: Table, rules: Rules, drawn: Sequence[charts.Chart], known: Sequence[str]) -> None:
    """Write the page of a table.

    Args:
        drawn: its figures.
        known: the methods of the whole report, among which looks are chosen.
    """
    methods = [row.method for row in table.rows]
    folder.render(
        places.task_page(table),
        "task.html.j2",
        table=table,
        kind=about.kind(table),
        seeds=about.seeds(table.seeds),
        sentence=sentence(table, rules).strip("*"),
        notes=[line for line in (about.about(table), rules_line(table, rules), *remarks(table, rules)) if line],
        looks=charts.looks({*known, *methods}),
        methods=[*(m for m in CONTROLS if m in methods), *sorted(set(methods) - set(CONTROLS))],
        cells=links(table, table.rows),
        boards=[
            Part("The verdict", table.rows, columns.verdict(table, rules), {}),
            Part("The numbers that papers report", table.rows, columns.paper(table, rules), {}),
        ]
        if table.rows
        else [],
        attacks=attacks.section(table, rules, known),
        charts=drawn,
        tests=[c for c in table.comparisons if c.metric == HEADLINE] if len(table.seeds) > 1 else [],
        details=list(_details(table)),
        left_out=start.left_out([table]),
    )


def links(table: Table, rows: Sequence[Row]) -> Links:
    """Where the cells of rows are."""
    of = {
        row.method: [Cell(table.task, row.method, table.model, table.data, seed) for seed in row.seeds] for row in rows
    }
    return {method: [(cell.seed, places.cell_page(table, cell)) for cell in cells] for method, cells in of.items()}


def _details(table: Table) -> Iterator[Part]:
    for heading, names in table.details.items():
        known = [n for n in names if any(n in row.scores and row.scores[n].value is not None for row in table.rows)]
        if known:
            yield Part(heading, table.rows, columns.details(table.rows, known), {})
    if table.variants:
        rows = with_plain(table)
        yield Part("Variants, METHOD@PARAM=VALUE", rows, columns.variants(table, rows), links(table, rows))
    for one in swept(table):
        points = [row for _, row in one.points]
        caption = f"Sweep of {one.parameter}: {one.method}"
        yield Part(caption, points, columns.sweep(table, one), links(table, points))
