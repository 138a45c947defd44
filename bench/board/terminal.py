"""A table as a terminal has it: what matters most of it in a hundred columns, and what was left out of it.

Pure functions of an analysed table; the command line prints what they return. The whole board is `leaderboard.py`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table as Lines
from rich.text import Text

from bench.api import Score
from bench.board import robustness
from bench.board.about import title
from bench.board.columns import TOLD
from bench.board.numbers import short
from bench.board.verdict import is_told, sentence
from bench.compare.analysis import HEADLINE, Row, Rules, Table
from bench.compare.headline import ERASED, KEPT
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP
from bench.score.limits import is_p
from bench.score.scoring import find
from bench.store.record import CONTROLS, RETRAIN, Cell, is_checkpoint

WIDTH, GAP = 100, 2
"""Columns of a terminal, and between two columns of a table."""

_RULES = Rules()
VERDICT = {
    "headline": HEADLINE,
    "erased": ERASED,
    "kept": KEPT,
    "KS distance": KS_DISTANCE,
    "membership - retrain's": MEMBERSHIP_GAP,
}
"""Heading and score of what the verdict rests on."""

_REMEDIES = {
    "failed": "Try it again: {run}",
    "diverged": "Try a smaller step: {run} --set {method}.lr=VALUE",
    "stale: scored": "",  # the reason names the command
    "stale": "Bring it up to date: {run}",
    "not reached": "",  # a result: the finished model still knows more than retrain
    "a copy of": "Remove its files, then: {run}",
    "its retrain": "Make the reference: {run}",
    "measured on": "Measure it again: {run}",
}
"""What to do about a cell that was left out, by how the reason begins."""


class Column(NamedTuple):
    """One column; those that are not `dear` make room, the last first, where the terminal is too narrow."""

    title: str
    cells: tuple[str, ...]
    dear: bool = False
    left: bool = False


def columns(
    table: Table, rows: Sequence[Row], numbers: Mapping[str, str] | None = None, rules: Rules = _RULES
) -> list[Column]:
    """Which columns a table has in a terminal: letters, methods, the verdict's numbers, seconds.

    A table without a headline has the numbers of its task in their place.

    Args:
        numbers: heading and score of the numbers to show, by default those.
    """
    verdict = VERDICT if any(HEADLINE in row.scores for row in rows) else table.headlines
    found = [Column("method", tuple(row.method + (" †" if row.changed else "") for row in rows), dear=True, left=True)]
    if any(row.letters or row.apart for row in rows):
        found.append(Column("", tuple("apart" if row.apart else row.letters for row in rows), dear=True, left=True))
    for head, name in (numbers or verdict).items():
        if any(row.scores.get(name, Score(None)).value is not None for row in rows):
            told = [TOLD if is_told(table, row.method, name, rules) else "" for row in rows]
            found.append(Column(head, tuple(mark + _cell(name, row) for mark, row in zip(told, rows, strict=True))))
    found.append(Column("s", tuple(_seconds(row) for row in rows), dear=True))
    if len({row.seeds for row in rows}) > 1:
        found.append(Column("seeds", tuple(str(len(row.seeds)) for row in rows)))
    return found


def lines(table: Table, width: int = WIDTH, variants: Collection[str] = (), rules: Rules = _RULES) -> Group:
    """Title, table in at most `width` columns, no cell wrapped, and what it shows in a sentence.

    Args:
        variants: those of the table's variants that are shown.
    """
    rows = [*table.rows, *(row for row in table.variants if row.method in variants)]
    shown = columns(table, rows, rules=rules)
    hidden: list[str] = []
    while _width(shown) > width and (spare := [c for c in shown if not c.dear]):
        shown.remove(spare[-1])
        hidden.insert(0, spare[-1].title)
    made = Lines(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column in shown:
        head = textwrap.fill(
            column.title, max(map(len, column.cells), default=len(column.title)), break_long_words=False
        )
        made.add_column(head, justify="left" if column.left else "right", no_wrap=True, overflow="ellipsis")
    for row, cells in zip(rows, zip(*(c.cells for c in shown), strict=True), strict=True):
        made.add_row(*map(Text, cells), style="dim" if row.method in CONTROLS or row.apart else "")
    below = [Text(f"On the board, too wide for here: {', '.join(hidden)}.", style="dim")] if hidden else []
    told = [sentence(table, rules).strip("*"), *filter(None, [robustness.sentence(table, rules)])]
    return Group(Text(title(table), style="bold"), made, *below, *map(Text, told), Text(""))


def left_out(table: Table, results: Path, cells: Collection[Cell] | None = None) -> list[str]:
    """A line a reason why cells are in no number of the table, with what to do; only these cells where they are given.

    Args:
        results: what was given to `--results`, for the commands.
        cells: those that are asked about; by default all.
    """
    reasons: dict[str, list[Cell]] = {}
    for cell, reason in table.left_out:
        if cells is None or cell in cells:
            reasons.setdefault(reason, []).append(cell)
    return [
        f"left out, {', '.join(map(str, of))}: {reason.removesuffix('.')}{_remedy(reason, of, results, table.measured)}"
        for reason, of in reasons.items()
    ]


def _remedy(reason: str, cells: Sequence[Cell], results: Path, measured: Collection[str]) -> str:
    if "Run " in reason or "run the cell" in reason:
        return ""
    known = next((remedy for start, remedy in _REMEDIES.items() if reason.startswith(start)), "Make it again: {run}")
    where = "" if results == Path("results") else f" --results {results}"
    first = cells[0]
    of = {name: ",".join(dict.fromkeys(str(getattr(c, name)) for c in cells)) for name in ("method", "seed")}
    model = "DIR" if is_checkpoint(first.model) else first.model
    place = f"--tasks {first.task} --model {model} --data {'DIR' if first.data == 'files' else first.data}"
    run = f"python -m bench run --methods {of['method']} {place} --seeds {of['seed']}{where}"
    if first.method in measured:
        run = f"python -m bench eval CHECKPOINT --as {first.method} {place} --seed {first.seed}{where}"
    return ". " + known.format(run=run, method=first.method, results=where) if known else ""


def _cell(name: str, row: Row) -> str:
    """A score with both ends, as the board has it but for the blank between them."""
    if row.method == RETRAIN and _is_p(name):
        return "itself"
    return short(name, row.scores.get(name, Score(None)), signed=name == MEMBERSHIP_GAP).replace(", ", ",")


def _is_p(name: str) -> bool:
    metric = find(name)
    return metric is not None and is_p(metric)


def _seconds(row: Row) -> str:
    seconds = row.cost.get("unlearn_seconds")
    return "-" if seconds is None else f"{seconds:.0f}"


def _width(shown: Sequence[Column]) -> int:
    """How wide a table of these columns is; a title is as wide as its longest word."""
    widest = [max(map(len, (*column.title.split(), *column.cells))) for column in shown]
    return sum(widest) + GAP * (len(widest) - 1)
