"""What is to be done about a cell, from the record that is there of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError, UsageError
from bench.store import files
from bench.store.record import Cell, Record

State = Literal["done", "to do", "stale", "failed"]


def state_of(results: Path, cell: Cell, keys: Mapping[str, str], identity: Mapping[str, Any]) -> tuple[State, str]:
    """The state of a cell that would be made with these keys, and why: of one that is done and has no scores as well.

    Args:
        identity: the ingredients of the keys, by which a stale cell says what has changed.

    Raises:
        UsageError: the cell has no place, or one that another has too.
    """
    try:
        record = files.find(results, cell)
    except UsageError:
        raise
    except BenchError as error:
        return "stale", str(error)
    if record is None:
        return "to do", ""
    if record.keys != dict(keys):
        return "stale", why_stale(record, identity)
    if record.status == "failed":
        return "failed", record.error
    if record.status == "ok" and (wrong := files.trouble(files.items_path(results, cell))):
        return "stale", wrong
    return "done", f"{record.status}: {record.error}" if record.error else ""


_WORDS = {
    "start": "the model it starts from",
    "alternatives": "the alternative answers that it is taught",
    "checkpoint": "the checkpoint that it is",
    "forget": "the forget set",
    "retain": "the retain set",
    "probes": "the texts that are measured",
    "retrain": "the retrain model it is compared with",
    "scoring": "how intervals are made",
    "matched": "how the matched point is found",
    "level": "the retrain model it is matched to",
}


def why_stale(record: Record, identity: Mapping[str, Any]) -> str:
    """Which ingredients differ between a record and what would be run now."""
    old, new = json.loads(json.dumps([record.identity, identity]))
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    plain = [
        f"{name}: {old.get(name)} -> {new.get(name)}" if name.startswith("parameter") else _WORDS.get(name, name)
        for name in changed
    ]
    return "changed: " + ", ".join(plain) if plain else "changed: the way keys are made"
