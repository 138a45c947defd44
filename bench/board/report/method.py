"""A method's page: what it is, how it was run, all its tasks."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench import registry
from bench.api import Score
from bench.board import about, charts
from bench.board.numbers import short
from bench.board.report import places, start
from bench.board.report.pages import Folder
from bench.board.report.task import links
from bench.compare.analysis import HEADLINE, Row, Table
from bench.compare.headline import ERASED, KEPT
from bench.errors import UsageError
from bench.store.record import Cell, Record

NUMBERS = {"headline": HEADLINE, "erased": ERASED, "kept": KEPT}
PARTS = ("objective", "optimizer", "scope", "transform")


def write(
    folder: Folder,
    method: str,
    tables: Sequence[Table],
    records: Mapping[Cell, Record],
    known: Sequence[str] = (),
    tunings: Sequence[Mapping[str, Any]] = (),
    attacks: Sequence[Mapping[str, str]] = (),
) -> None:
    """Write the page of a method.

    Args:
        tables: those that have a cell of it.
        records: those of the method, of every seed and task.
        known: the methods of the whole report, among which looks are chosen.
        tunings: title, address, text and figures of each that has the method.
        attacks: task, address and text of each on which it was attacked.
    """
    rows = [(table, row) for table in tables if (row := table.row(method)) is not None]
    kinds = {(table.task, table.model, table.data): about.kind(table) for table in tables}
    ran: dict[tuple[str, str, str], Record] = {}
    for cell, record in sorted(records.items()):
        ran.setdefault((cell.task, cell.model, cell.data), record)
    names = dict.fromkeys(name for record in ran.values() for name in record.parameters)
    folder.render(
        places.method_page(method),
        "method.html.j2",
        method=method,
        doc=start.described(method),
        parts=parts(method),
        heads=list(NUMBERS),
        rows=[_row(table, row) for table, row in rows],
        charts=charts.of_method(method, tables, known),
        tunings=tunings,
        attacks=attacks,
        ran_on=[f"{task}, {kinds[task, model, data]}, {model}" for task, model, data in ran],
        parameters=[(name, [set_by(record, name) for record in ran.values()]) for name in names],
    )


def set_by(record: Record, name: str) -> str:
    """A parameter's value, and who set it where that was not its source."""
    if name not in record.parameters:
        return "-"
    who = f" ({record.overrides[name]})" if name in record.overrides else ""
    return f"{record.parameters[name]}{who}"


def parts(method: str) -> list[tuple[str, str, list[str]]]:
    """Kind, name and paragraphs of what a method is composed of; nothing of one that is not declared here."""
    try:
        declared = registry.find("method", method).parts
        found = {kind: registry.find(kind, declared[kind]) for kind in PARTS if kind in declared}
    except UsageError:
        return []
    return [(kind, one.name, _docstring(one.path, one.line) or [one.doc]) for kind, one in found.items()]


@cache
def _docstring(path: Path, line: int) -> list[str]:
    """Paragraphs of the docstring of what is declared there, read without importing it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first <= line <= node.lineno and (text := ast.get_docstring(node)):
                return [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n")]
    return []


def _row(table: Table, row: Row) -> dict[str, Any]:
    scores = [row.scores.get(name, Score(None)) for name in NUMBERS.values()]
    return {
        "task": table.task,
        "place": f"{about.kind(table)}, {table.model}, {about.seeds(row.seeds)}",
        "address": places.task_page(table),
        "apart": row.apart,
        "letters": "apart" if row.apart else row.letters,
        "numbers": [(short("", score), score.value) for score in scores],
        "cells": links(table, [row])[row.method],
    }
