"""The schema of a result: one JSON record a cell, strictly read."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from bench.api import Score
from bench.errors import BenchError
from bench.names import unfit
from bench.reading import json_of

SCHEMA = 1
ELSEWHERE = "elsewhere"
"""The data label of runs that other people measured."""
TARGET = "target"
RETRAIN = "retrain"
CONTROLS = (TARGET, RETRAIN)
"""The methods that anchor every table."""
NO_RECORDS = ("rows", "analysis", "ablate", "tracking", "running", "page", "tuning", "cache")
"""Folders of a results directory that hold something else; no data are called so."""
TASK = "task"
"""Who set a parameter that the task fixes: it belongs to the question, and says nothing of how settings were chosen."""
_CHECKPOINT = re.compile(r".+-[0-9a-f]{8}")
Status = Literal["ok", "diverged", "not reached", "failed"]
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


def is_checkpoint(model: str) -> bool:
    """Whether a model of records is a folder's name with a digest, which nobody can type as `--model`."""
    return _CHECKPOINT.fullmatch(model) is not None


@dataclass(frozen=True)
class Record:
    """Everything that is kept of a cell beside its item table.

    Attributes:
        cell: the point of the grid.
        status: "diverged" and "not reached" (of a matched cell: the method does not forget as much as retrain) are
            results; "failed" is a cell that can be tried again. All three have no scores, and `error` says why.
        keys: "train", "measure" and "score" content keys.
        identity: the ingredients of the keys, flat, so that a stale cell can say which of them changed.
        parameters: every parameter of the method.
        overrides: parameters that differ from the source paper's default, and who set them.
        scores: by metric name.
        curve: columns of the training curve.
        cost: seconds and memory.
        environment: versions, machine, and what code it was: `commit`, whether code differed from it (`dirty`), the
            files that did (`changed`), and a digest of all code (`code`).
        notes: what a reader must know, such as what the data is.
        tuning_trials: how many settings were tried before these parameters were chosen; 0 is none.
        created: UTC time, ISO 8601.
        error: why the cell has no scores.
        detachable: the method acts at inference: whoever holds the weights takes it off and has the target back, so
            attacks on weights are attacks on the target. Written only where it is so.
        settings: where its parameters are from, of a run with `--settings`: origin ("tuned", "published", "by hand"),
            file and digest, and of tuned ones the objective, trials, budget, validation data and seeds. Written only
            where it is said.
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
    detachable: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def origin(record: Record) -> str:
    """Where a record's parameters are from: "tuned (n=12, deployable)", "published", or "by hand".

    Published are a source's defaults, and presets of what others ran. Whatever else was set was set by hand, a tuned
    parameter that somebody set anew included.
    """
    said, by = record.settings, set(record.overrides.values()) - {TASK}
    if said.get("origin") == "tuned" and not by & {"--set", "settings", "name"}:
        return f"tuned (n={said['trials']}, {said['objective']})"
    presets = {name for name in by if name.startswith("--settings ") and not name.endswith(".toml")}
    return "published" if by <= presets and said.get("origin") != "by hand" else "by hand"


def is_tuned(said: str) -> bool:
    """Whether that is the origin of tuned parameters; of several seeds, joined by commas, of all of them."""
    return said.startswith("tuned") and not any(other in said for other in ("by hand", "published"))


def tuning_of(said: str) -> int:
    """How many trials a method's parameters were chosen among, the fewest of any seed; 0 of what was not tuned."""
    return min(map(int, re.findall(r"n=(\d+)", said)), default=0) if is_tuned(said) else 0


def to_json(record: Record) -> str:
    """The record as text that `from_json` reads back to an equal record; NaN becomes null."""
    plain = {"schema": SCHEMA, **{f.name: getattr(record, f.name) for f in dataclasses.fields(record)}}
    for seldom in _SELDOM:
        if not plain[seldom]:
            del plain[seldom]
    plain["cell"] = record.cell._asdict()
    plain["scores"] = {name: score._asdict() for name, score in record.scores.items()}
    return json.dumps(_finite(plain), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, origin: str) -> Record:
    """Read a record, lifting older schemas.

    Raises:
        BenchError: not JSON, a newer schema, a missing or an unknown key; the message names `origin`.
    """
    try:
        plain = json_of(text)
        version = plain.pop("schema")
        if not _is_whole(version):
            raise ValueError(f"schema {version!r}")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BenchError(f"{origin} is no record: {error!r}. Remove it and run its cell again.") from None
    if version > SCHEMA:
        raise BenchError(f"{origin} has schema {version}, this program reads up to {SCHEMA}. Update the program.")
    try:
        while version < SCHEMA:
            plain = MIGRATIONS[version](plain)
            version += 1
        plain = {**_SELDOM, **plain}
        if odd := sorted(set(plain) ^ set(_KINDS)):
            raise ValueError(f"missing or unknown keys: {', '.join(odd)}")
        if wrong := [name for name, kind in _KINDS.items() if not isinstance(plain[name], kind)]:
            raise ValueError(f"values of the wrong kind: {', '.join(wrong)}")
        if wrong := [name for name, fits in _FITS.items() if not fits(plain[name])]:
            raise ValueError(f"values that cannot be: {', '.join(wrong)}")
        plain["cell"] = _cell(plain["cell"])
        plain["scores"] = {name: _score(name, score) for name, score in plain["scores"].items()}
        plain["notes"] = tuple(plain["notes"])
        return Record(**plain)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise BenchError(f"{origin} is no record: {error}. Remove it and run its cell again.") from None


_SELDOM: dict[str, Any] = {"detachable": False, "settings": {}}
"""What is only written where it is not this."""
_KINDS: dict[str, type] = {
    **dict.fromkeys(("cell", "keys", "identity", "parameters", "overrides", "scores", "curve", "cost"), dict),
    **dict.fromkeys(("status", "created", "error"), str),
    "environment": dict,
    "notes": list,
    "tuning_trials": int,
    "detachable": bool,
    "settings": dict,
}
"""What JSON has under each key of a record."""


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 1 << 63


def _is_number(value: Any) -> bool:
    """A finite number, or null, which stands for one that is not."""
    return value is None or _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _are_texts(values: Any) -> bool:
    return not isinstance(values, str) and all(isinstance(value, str) for value in values)


_FITS: dict[str, Callable[[Any], bool]] = {
    "status": lambda status: status in get_args(Status),
    "keys": lambda keys: _are_texts(keys.values()) and not any(key and unfit(key) for key in keys.values()),
    "identity": lambda identity: _are_texts(identity.get("probes asked for", ())),
    "overrides": lambda overrides: _are_texts(overrides.values()),
    "curve": lambda curve: all(isinstance(of, list) and all(map(_is_number, of)) for of in curve.values()),
    "cost": lambda cost: all(map(_is_number, cost.values())),
    "notes": _are_texts,
    "tuning_trials": _is_whole,
    "settings": lambda said: said.get("origin") != "tuned" or {"trials", "objective"} <= said.keys(),
}
"""What has to hold of it beside that. Keys are names of files."""


def misplaced(cell: Cell) -> str:
    """Why a cell can have no place among results, by which of its names; "" if it can."""
    if not _is_whole(cell.seed):
        return f"its seed is {cell.seed!r}, no whole number"
    for what, slug in slugs(cell).items():
        if why := unfit(slug):
            return f"its {what} {getattr(cell, what)[:80]!a} cannot name a file: {why}"
    return f"its data {cell.data!r} has the name of a folder of other files" if cell.data in NO_RECORDS else ""


def slugs(cell: Cell) -> dict[str, str]:
    """The names of a cell as folders and, the method's with its seed, as files have them, from the top downwards."""
    return {
        "data": cell.data,
        "model": cell.model.replace("/", "--"),
        "task": cell.task.replace(":", "-"),
        "method": f"{cell.method.replace('/', '-')}.seed{cell.seed}" if cell.method else "",
    }


def _cell(plain: dict[str, Any]) -> Cell:
    cell = Cell(**plain)
    if not all(isinstance(name, str) and name for name in cell[:-1]):
        raise ValueError(f"no cell: {plain}")
    if why := misplaced(cell):
        raise ValueError(f"no cell: {why}")
    return cell


def _score(name: str, plain: dict[str, Any]) -> Score:
    score = Score(**plain)
    if not all(map(_is_number, score[:3])):
        raise ValueError(f"score {name} is no number: {plain}")
    if not (_is_whole(score.n) and isinstance(score.note, str)):
        raise ValueError(f"score {name} has no count or no note: {plain}")
    return score


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
