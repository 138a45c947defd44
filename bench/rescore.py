"""Scores anew from what was measured: no model, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from bench import store
from bench.plan import REFERENCE, make_task, scoring_key
from bench.record import Record
from bench.rows import read_rows
from bench.scoring import item_table, score_items


def rescore(results: Path, say: Callable[[str], None]) -> tuple[int, int]:
    """Compute every score of every cell from its rows; the retrain cells first, because others are compared with them.

    A cell whose rows are not here is named and left as it is.

    Returns:
        How many cells were scored, and how many were left.
    """
    records = store.records(results, say)
    order = sorted((r for r in records.values() if r.status == "ok"), key=lambda r: r.cell.method != REFERENCE)
    scored = left = 0
    for record in order:
        if not store.rows_path(results, record.keys["measure"]).is_file():
            say(f"left as it is: {record.cell}: its rows are not here; run the cell again to measure it")
            left += 1
            continue
        _rescore(results, record, records.get(record.cell._replace(method=REFERENCE)))
        scored += 1
    return scored, left


def _rescore(results: Path, record: Record, retrain: Record | None) -> None:
    names = [*dict.fromkeys((*make_task(record.cell.task).scores, *record.scores))]
    items = item_table(read_rows(store.rows_path(results, record.keys["measure"])), names)
    own = record.cell.method == REFERENCE
    reference = items if own else None if retrain is None else store.items(results, retrain.cell)
    against = None if own or retrain is None else retrain.keys["measure"]
    key, ingredients = scoring_key(names, record.keys["measure"], against)
    changed = dataclasses.replace(
        record,
        scores=score_items(items, reference, names),
        keys={**record.keys, "score": key},
        identity={k: v for k, v in record.identity.items() if not k.startswith("metric ")} | ingredients,
    )
    store.save(results, changed, items)
