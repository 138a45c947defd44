"""The figures of a report as Vega-Lite, one family a file; `theme.py` is what they share.

In: analysed tables (`bench.compare`), records, item values. Out: a `Chart` each: a specification with its one table of
rows inside, and what is to be seen of it in words and numbers; no file is read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.board.charts.attacks import of_attacks
from bench.board.charts.forests import forest, of_tasks
from bench.board.charts.heat_maps import heat, remembered, remembered_by_author
from bench.board.charts.items import distributions, membership
from bench.board.charts.neighbours import neighbours
from bench.board.charts.ranks import across
from bench.board.charts.runs import of_cell, paths, training
from bench.board.charts.studies import of_study
from bench.board.charts.sweeps import responses
from bench.board.charts.theme import Chart, Look, looks
from bench.board.charts.trade_offs import cost, erased_kept, trade_off
from bench.board.charts.tuning import of_tuned, of_tuning
from bench.compare.analysis import Table
from bench.compare.crossed import Crossed
from bench.store.record import Cell, Record

__all__ = [
    "Chart",
    "Look",
    "across",
    "forest",
    "looks",
    "of_attacks",
    "of_cell",
    "of_method",
    "of_study",
    "of_table",
    "of_tuned",
    "of_tuning",
    "remembered",
    "remembered_by_author",
]


def of_table(table: Table, records: Mapping[Cell, Record], crossed: Crossed, names: Iterable[str] = ()) -> list[Chart]:
    """Every figure of a table's page, in the order of the page.

    Args:
        records: those of the table's cells, for their curves and parameters; what is not there is not drawn.
        crossed: the item values of its runs.
        names: methods that looks are chosen among beside the table's own, so that a method looks alike on all pages.
    """
    names = tuple(names)
    return [
        forest(table, names=names),
        erased_kept(table, names),
        trade_off(table, names),
        paths(table, records, names),
        *distributions(table, crossed, names),
        membership(table, crossed, names),
        *neighbours(table, crossed, names),
        cost(table, names),
        *training(table, records, names),
        *responses(table, names),
        heat(table, names),
    ]


def of_method(method: str, tables: Sequence[Table], names: Iterable[str] = ()) -> list[Chart]:
    """Figures of a method's page: its headline on every task, and what its parameters do.

    Args:
        names: methods that looks are chosen among beside the tables' own.
    """
    names = [*names, *(row.method for table in tables for row in table.rows)]
    swept = [chart for table in tables for chart in responses(table, names, method)]
    return [of_tasks(method, tables, names), *(c._replace(name=f"response-{n}") for n, c in enumerate(swept, 1))]
