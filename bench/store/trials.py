"""The trials of a tuning: one line of JSON each, in a file a method, shared by all processes that tune.

results/tuning/<data>/<model>/<task>/<method>.jsonl     what was tried, on validation data only
results/tuning/<data>/<model>/<objective>.toml          what was chosen: a file for `run --settings`

A line that was cut off by a crash is left out when it is read, and its trial is run again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from bench.errors import BenchError, UsageError
from bench.names import unfit
from bench.reading import json_of
from bench.store import claims

SCHEMA = 1
FOLDER = "tuning"


@dataclass(frozen=True)
class Point:
    """What was measured where a run might have stopped.

    Attributes:
        share: of the run that was done, in (0, 1].
        steps: updates by then.
        scores: by name; None where a score has no value. "headline", "erased" and "kept" are among them, the last two
            between the target and the retrain model of the same validation data and seed.
        errors: standard errors over items of some of the scores.
        moved: Euclidean distance of the weights from the start; None where the method leaves them.
    """

    share: float
    steps: int
    scores: Mapping[str, float | None]
    errors: Mapping[str, float] = field(default_factory=dict)
    moved: float | None = None


@dataclass(frozen=True)
class Trial:
    """One run of a method with one setting on validation data.

    Attributes:
        method: "target" and "retrain" are the anchors of the validation data, with number 0 and one point.
        number: 1 is the source's default; the same number of another method is the same draw of the sampler.
        chosen: the parameters that the space is made of.
        parameters: every parameter of the method.
        data: the validation data, such as "embedded@100".
        seed: of the run.
        fresh: the run repeats a chosen setting with a seed that had no part in the choice.
        status: "diverged" keeps the points before that; "failed" has none, and `error` says why. Both count as trials.
        updates: steps of the whole run.
        seconds: "unlearn" and "measure".
        identity: what the run was made from, so that trials of other code or data are told apart.
    """

    method: str
    number: int
    chosen: Mapping[str, Any]
    parameters: Mapping[str, Any]
    data: str
    seed: int
    fresh: bool = False
    status: Literal["ok", "diverged", "failed"] = "ok"
    error: str = ""
    points: tuple[Point, ...] = ()
    updates: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""


def folder(results: Path, data: str, model: str, task: str) -> Path:
    """Where the trials of a task lie, without one those of all tasks.

    Raises:
        UsageError: a name that no folder can have.
    """
    names = [data, model.replace("/", "--"), *([task.replace(":", "-")] if task else [])]
    return results.joinpath(FOLDER, *map(_fit, names))


def path(folder: Path, method: str) -> Path:
    """The file of a method's trials; raises `UsageError` for a name that no file can have."""
    return folder / f"{_fit(method.replace('/', '-'))}.jsonl"


def _fit(name: str) -> str:
    if why := unfit(name):
        raise UsageError(f"no trials can be kept under the name {name[:80]!a}: {why}. Take another name.")
    return name


def read(file: Path) -> list[Trial]:
    """The trials in a file, in the order in which they ended; none where there is no file.

    Raises:
        BenchError: a line that is no trial, or one of a newer program.
    """
    try:
        *lines, _ = file.read_bytes().split(b"\n")  # what follows the last one was cut off, within a letter perhaps
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BenchError(f"{file} cannot be read: {error}") from None
    return [_trial(line, f"{file}:{n}") for n, line in enumerate(lines, 1)]


def read_folder(folder: Path) -> dict[str, list[Trial]]:
    """The trials of a task by method, target and retrain among them."""
    found: dict[str, list[Trial]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for trial in read(file):
            found.setdefault(trial.method, []).append(trial)
    return found


def append(file: Path, trial: Trial) -> None:
    """Add a trial; one that stands there already, with its number, data and seed, is left alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        if any(same_run(trial, known) for known in read(file)):
            return
        out.seek(0, os.SEEK_END)
        if out.tell() and not file.read_bytes().endswith(b"\n"):
            out.truncate(file.read_bytes().rfind(b"\n") + 1)
        out.write(_line(trial))
        out.flush()
        os.fsync(out.fileno())


def same_run(a: Trial, b: Trial) -> bool:
    """Whether two are one run of one setting."""
    return (a.number, a.data, a.seed, a.fresh, a.chosen) == (b.number, b.data, b.seed, b.fresh, b.chosen)


def claimed(file: Path, name: str) -> AbstractContextManager[bool]:
    """Hold a run for this process alone; gives whether it could be had."""
    return claims.claimed(_claim(file, name), stays=True)


def attempt(file: Path, name: str) -> int:
    """Note that a run that is held begins; gives how often it has begun by now."""
    place = _claim(file, name)
    with place.open("a") as held:
        held.write("x")
    return place.stat().st_size


def end_attempt(file: Path, name: str, ended: int = 1) -> None:
    """Take attempts back: one that was stopped, or all once the run has ended."""
    place = _claim(file, name)
    os.truncate(place, max(0, place.stat().st_size - ended))


def _claim(file: Path, name: str) -> Path:
    """What is locked while a run is held, a byte long for each time that it began."""
    return file.parent / claims.FOLDER / f"{file.stem}-{name}"


def _line(trial: Trial) -> bytes:
    plain = {"schema": SCHEMA, **dataclasses.asdict(trial)}
    return (json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _trial(line: bytes, origin: str) -> Trial:
    try:
        plain = json_of(line)
        version = plain.pop("schema")
        if type(version) is not int or version < 1:
            raise ValueError(f"schema {version!r}")
        if version > SCHEMA:
            raise BenchError(f"{origin} has schema {version}, this program reads up to {SCHEMA}. Update the program.")
        points = tuple(_sound(Point(**point), _POINT) for point in plain.pop("points"))
        return _sound(Trial(points=points, **plain), _TRIAL)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{origin} is no trial: {error!r}. Remove the line; its trial is run again.") from None


def _is_number(value: Any) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _are_numbers(values: Any) -> bool:
    return isinstance(values, dict) and all(value is None or _is_number(value) for value in values.values())


_POINT: dict[str, Callable[[Any], bool]] = {
    "share": _is_number,
    "steps": lambda value: type(value) is int,
    **dict.fromkeys(("scores", "errors"), _are_numbers),
    "moved": lambda value: value is None or _is_number(value),
}
_TRIAL: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("method", "data", "error", "created"), lambda value: isinstance(value, str)),
    **dict.fromkeys(("number", "seed", "updates"), lambda value: type(value) is int),
    **dict.fromkeys(("chosen", "parameters", "identity"), lambda value: isinstance(value, dict)),
    "fresh": lambda value: isinstance(value, bool),
    "status": lambda value: value in ("ok", "diverged", "failed"),
    "seconds": _are_numbers,
}
Read = TypeVar("Read", Point, Trial)


def _sound(read: Read, fits: Mapping[str, Callable[[Any], bool]]) -> Read:
    if wrong := [name for name, fit in fits.items() if not fit(getattr(read, name))]:
        raise ValueError(f"{', '.join(wrong)}: values of the wrong kind")
    return read


def anchors(trials: Sequence[Trial]) -> dict[tuple[str, str, int], Mapping[str, float | None]]:
    """Scores of target and retrain by (method, data, seed)."""
    return {(t.method, t.data, t.seed): t.points[0].scores for t in trials if t.points}
