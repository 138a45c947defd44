"""The schema of a result: one JSON record a cell, strictly read."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bench.api import Score
from bench.errors import BenchError

SCHEMA = 1
ELSEWHERE = "elsewhere"
"""The data label of runs that other people measured."""
RETRAIN = "retrain"
CONTROLS = ("target", RETRAIN)
"""The methods that anchor every table."""
Status = Literal["ok", "diverged", "failed"]
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Schema version -> the function that lifts a record of it to the next one; every past version keeps a test fixture."""


class Cell(NamedTuple):
    """One point of the grid."""

    task: str
    method: str
    model: str
    data: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task}/{self.method}/{self.model}/{self.data}/seed{self.seed}"


@dataclass(frozen=True)
class Record:
    """Everything that is kept of a cell beside its item table.

    Attributes:
        cell: the point of the grid.
        status: "diverged" is a result; "failed" is a cell without scores whose `error` says why.
        keys: "train", "measure" and "score" content keys.
        identity: the ingredients of the keys, flat, so that a stale cell can say which of them changed.
        parameters: every parameter of the method.
        overrides: parameters that differ from the source paper's default, and who set them.
        scores: by metric name.
        curve: columns of the training curve.
        cost: seconds and memory.
        environment: versions, machine, git commit and whether the tree was dirty.
        notes: what a reader must know, such as what the data is.
        tuning_trials: how many settings were tried before these parameters were chosen; 0 is none.
        created: UTC time, ISO 8601.
        error: why the cell failed or diverged.
    """

    cell: Cell
    status: Status
    keys: Mapping[str, str]
    identity: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tuning_trials: int = 0
    created: str = ""
    error: str = ""


def to_json(record: Record) -> str:
    """The record as text that `from_json` reads back to an equal record; NaN becomes null."""
    plain = {"schema": SCHEMA, **{f.name: getattr(record, f.name) for f in dataclasses.fields(record)}}
    plain["cell"] = record.cell._asdict()
    plain["scores"] = {name: score._asdict() for name, score in record.scores.items()}
    return json.dumps(_finite(plain), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, origin: str) -> Record:
    """Read a record, lifting older schemas.

    Raises:
        BenchError: not JSON, a newer schema, a missing or an unknown key; the message names `origin`.
    """
    try:
        plain = json.loads(text)
        version = plain.pop("schema")
    except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        raise BenchError(f"{origin} is no record: {error!r}. Remove it and run its cell again.") from None
    if version > SCHEMA:
        raise BenchError(f"{origin} has schema {version}, this program reads up to {SCHEMA}. Update the program.")
    while version < SCHEMA:
        plain = MIGRATIONS[version](plain)
        version += 1
    known = {f.name for f in dataclasses.fields(Record)}
    if set(plain) != known:
        odd = sorted(set(plain) ^ known)
        raise BenchError(f"{origin} has missing or unknown keys: {', '.join(odd)}. Remove it and run its cell again.")
    try:
        plain["cell"] = Cell(**plain["cell"])
        plain["scores"] = {name: Score(**score) for name, score in plain["scores"].items()}
        plain["notes"] = tuple(plain["notes"])
        return Record(**plain)
    except (TypeError, AttributeError) as error:
        raise BenchError(f"{origin} is no record: {error}. Remove it and run its cell again.") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
