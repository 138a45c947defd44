"""Scores anew from what was measured: no model, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from bench import store
from bench.plan import REFERENCE, metrics, scoring_key
from bench.record import ELSEWHERE, Record
from bench.rows import read_rows
from bench.scoring import item_table, score_items


def rescore(results: Path, say: Callable[[str], None]) -> tuple[int, int]:
    """Compute every score of every cell from its rows; the retrain cells first, because others are compared with them.

    A cell whose rows are not here (they are not kept in git) is scored from its item table, which knows every statistic
    but those of metrics that are newer than it.

    Returns:
        How many cells were scored from their rows, and how many from their item tables.
    """
    records = store.records(results, say)
    order = sorted((r for r in records.values() if r.status == "ok"), key=lambda r: r.cell.method != REFERENCE)
    order = [record for record in order if record.cell.data != ELSEWHERE]
    for record in order:
        _rescore(results, record, records.get(record.cell._replace(method=REFERENCE)))
    whole = sum(store.rows_path(results, record.keys["measure"]).is_file() for record in order)
    return whole, len(order) - whole


def _rescore(results: Path, record: Record, retrain: Record | None) -> None:
    names = metrics(record.cell.task, record.identity.get("probes asked for", []))
    rows = store.rows_path(results, record.keys["measure"])
    items = item_table(read_rows(rows), names) if rows.is_file() else store.items(results, record.cell)
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
