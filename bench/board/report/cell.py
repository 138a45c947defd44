"""A cell's page: its chief numbers, its answers, its curves, how it was made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from bench.board import about, charts
from bench.board.numbers import number
from bench.board.report import places
from bench.board.report.method import set_by
from bench.board.report.pages import Folder
from bench.board.show import code
from bench.compare.analysis import Table
from bench.store.record import Cell, Record

Links = Mapping[str, str]
"""What the script of the answers loads: what it is, and its address from the folder of the report."""


def write(
    folder: Folder,
    table: Table,
    records: Mapping[Cell, Record],
    cell: Cell,
    drawn: Sequence[charts.Chart],
    data: Links,
    others: Links,
) -> None:
    """Write the page of a cell.

    Args:
        records: those of its table.
        drawn: its figures.
        data: its own items and those that stand beside them; empty without scores.
        others: items of other methods of its seed, by method.
    """
    record, page = records[cell], places.cell_page(table, cell)
    left_out = dict(table.left_out).get(cell, "")
    siblings = sorted(c for c in records if c.method == cell.method and c != cell)
    scores, commit = record.scores, record.environment.get("commit") or "no commit"
    folder.render(
        page,
        "cell.html.j2",
        table=table,
        kind=about.kind(table),
        cell=cell,
        record=record,
        made=f"made {record.created[:16].replace('T', ' ')} {code(record).replace(commit, commit[:10])}",
        siblings=[(c.seed, places.cell_page(table, c)) for c in siblings],
        left_out="" if left_out.startswith(record.status) else left_out,
        chief=[(name, number(name, scores[name]._asdict())) for name in _chief(table, record)],
        data={name: _from(page, address) for name, address in data.items()}.items(),
        others=json.dumps({method: _from(page, address) for method, address in others.items()}),
        charts=drawn,
        scores=[(name, number(name, s._asdict()), s.value, s.n, s.note) for name, s in scores.items()],
        parameters=[(name, set_by(record, name)) for name in record.parameters],
        environment=[(name, value) for name, value in record.environment.items() if name != "changed"],
    )


def _from(page: str, address: str) -> str:
    return os.path.relpath(address, os.path.dirname(page))  # noqa: PTH120 - addresses, not files


def _chief(table: Table, record: Record) -> list[str]:
    """What to look at first: the numbers that papers report, then those of the forget set."""
    names = dict.fromkeys([*table.headlines.values(), *next(iter(table.details.values()), ())])
    return [name for name in names if name in record.scores and record.scores[name].value is not None]
