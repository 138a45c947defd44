"""Other people's runs, filed beside our own and marked as measured elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bench import store
from bench.foreign import read_log, score_log
from bench.keys import digest
from bench.record import Cell, Record

ELSEWHERE = "elsewhere"


def import_log(
    log: Path, reference: Path | None, *, task: str, method: str, model: str, seed: int, results: Path
) -> Record:
    """Score a foreign log and file it as a cell whose data are labelled "elsewhere".

    Raises:
        UsageError: the log cannot be read, or the reference is of other items.
        BenchError: the results directory cannot be written.
    """
    read = read_log(log)
    key = digest([read.format, log.read_text(encoding="utf-8")])
    against = "" if reference is None else digest(reference.read_text(encoding="utf-8"))
    record = Record(
        cell=Cell(task, method, model, ELSEWHERE, seed),
        status="ok",
        keys={"train": key, "measure": key, "score": digest([key, against])},
        identity={"log": key, "retrain": against},
        scores=score_log(log, reference),
        notes=(f"{method}: measured elsewhere, scored here from {log.name} ({read.format})", *read.meta["notes"]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    store.save(results, record, read.items)
    return record
