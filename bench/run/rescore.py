"""Scores anew from what was measured: no model, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.api import Score
from bench.errors import BenchError, UsageError
from bench.metrics._compat import CHANGED, Compat
from bench.run.plan import metrics, scoring_key
from bench.score.scoring import build, item_table, score_items
from bench.store import answers, files
from bench.store.record import ELSEWHERE, RETRAIN, Record
from bench.store.rows import read_rows


class Rescored(NamedTuple):
    """How many cells were scored from their rows and from their item tables, and how much could not be used."""

    whole: int
    compact: int
    broken: int


def rescore(results: Path, say: Callable[[str], None]) -> Rescored:
    """Compute every score of every cell from its rows; the retrain cells first, because others are compared with them.

    A cell whose rows are not here (they are not kept in git) is scored from its item table, which knows every statistic
    but those of metrics that are newer than it.

    A file of rows that is broken is named through `say` and the item table taken in its place; a cell that has neither
    keeps its scores and is named as well.
    """
    problems: list[str] = []

    def complain(problem: str) -> None:
        problems.append(problem)
        say(problem)

    records = files.records(results, lambda _: None)  # named by whoever lists them; here it is said what is not scored
    order = sorted((r for r in records.values() if r.status == "ok"), key=lambda r: r.cell.method != RETRAIN)
    order = [record for record in order if record.cell.data != ELSEWHERE]
    whole = compact = 0
    for record in order:
        try:
            if _rescore(results, record, records.get(record.cell._replace(method=RETRAIN)), complain):
                whole += 1
            else:
                compact += 1
        except BenchError as error:
            complain(str(error))
    return Rescored(whole, compact, len(problems))


def scored_as(results: Path, record: Record, retrain: Record | None, compat: Compat = "") -> dict[str, Score]:
    """Every score of a cell as a published implementation computes it; nothing is stored.

    From the rows, or from the item table where the rows are not here; then what only rows can tell has no value.

    Raises:
        UsageError: a cell that was measured elsewhere, or no such behaviour.
        BenchError: neither rows nor an item table.
    """
    if record.cell.data == ELSEWHERE:
        raise UsageError(f"{record.cell} was measured elsewhere. Score its log: python -m bench score LOG --compat ...")
    names = metrics(record.cell.task, record.identity.get("probes asked for", []))
    items, lacking = _items_as(results, record, names, compat)
    reference, unknown = None if retrain is None else items, lacking
    if retrain is not None and record.cell != retrain.cell:
        reference, unknown = _items_as(results, retrain, names, compat)
    scores = score_items(items, reference, names, compat=compat)
    for name in names:
        metric = build(name, compat)
        if {column for _, column in metric.needs} & (lacking | unknown if metric.needs_retrain else lacking):
            scores[name] = Score(None, note="needs the rows, which git does not keep: run the cell with --results DIR")
    return scores


def _items_as(results: Path, record: Record, names: list[str], compat: Compat) -> tuple[pd.DataFrame, set[str]]:
    """The items of a cell under a published behaviour, and the columns that are not as that has them."""
    rows = files.rows_path(results, _measured(record))
    if rows.is_file():
        return item_table(read_rows(rows), names, compat), set()
    return files.items(results, record.cell), set(CHANGED[compat])


def _measured(record: Record) -> str:
    """The key of a record's measurement."""
    if not (key := record.keys.get("measure")):
        raise BenchError(f"the record of {record.cell} has no key of what was measured. Run the cell again.")
    return key


def _rescore(results: Path, record: Record, retrain: Record | None, complain: Callable[[str], None]) -> bool:
    """Score a cell and store it; whether that was from its rows."""
    names = metrics(record.cell.task, record.identity.get("probes asked for", []))
    rows = files.rows_path(results, _measured(record))
    items = measured = None
    if rows.is_file():
        try:
            measured = read_rows(rows)
            items = item_table(measured, names)
        except BenchError as error:
            complain(str(error))
    from_rows = items is not None
    items = files.items(results, record.cell) if items is None else items
    own = record.cell.method == RETRAIN
    reference = items if own else None if retrain is None else files.items(results, retrain.cell)
    against = None if own or retrain is None else _measured(retrain)
    key, ingredients = scoring_key(names, _measured(record), against)
    changed = dataclasses.replace(
        record,
        scores=score_items(items, reference, names),
        keys={**record.keys, "score": key},
        identity={k: v for k, v in record.identity.items() if not k.startswith("metric ")} | ingredients,
    )
    files.save(results, changed, items)
    if measured is not None and not answers.path(results, record.cell).is_file():
        answers.save(results, changed, measured.generations)
    return from_rows
