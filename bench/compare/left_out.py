"""Which cells no table takes: unfinished, without scores, or scored as nobody scores today."""

from __future__ import annotations

from collections.abc import Mapping

from bench.score.scoring import find
from bench.store.record import ELSEWHERE, RETRAIN, Cell, Record
from bench.store.versions import SCORE


def why(cell: Cell, records: Mapping[Cell, Record]) -> str:
    """Why a cell cannot stand in a table; "" if it can."""
    record = records[cell]
    if record.status != "ok":
        return f"{record.status}: {(record.error.strip().splitlines() or ['no reason kept'])[-1]}"
    if not record.scores:
        return "it has no score at all. Run its cell again"
    versions = {n.removeprefix("metric "): v for n, v in record.identity.items() if n.startswith("metric ")}
    old = [name for name, version in versions.items() if _version(name) not in (None, version)]
    if old or (versions and record.identity.get("scoring") != SCORE):
        return f"stale: scored by an older version{f' of {old[0]}' if old else ''}. Run: python -m bench score"
    if cell.data == ELSEWHERE or cell.method == RETRAIN:
        return ""
    retrain, against = records.get(cell._replace(method=RETRAIN)), record.identity.get("retrain")
    compared = any(_needs_retrain(name) and score.value is not None for name, score in record.scores.items())
    if retrain is None or retrain.status != "ok":
        return f"its retrain reference (seed {cell.seed}) is gone" if compared else ""
    if against not in (None, "itself", "", retrain.keys.get("measure")):
        return "stale: compared with a retrain model that has changed since"
    if record.identity.get("probes") != retrain.identity.get("probes"):
        return "stale: measured on other texts than its retrain reference"
    return ""


def _version(name: str) -> int | None:
    metric = find(name)
    return None if metric is None else metric.version


def _needs_retrain(name: str) -> bool:
    metric = find(name)
    return metric is not None and metric.needs_retrain
