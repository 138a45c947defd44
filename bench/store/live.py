"""What runs now: a small file a job, written while it runs and gone when it ends, for whoever looks on.

results/running/<job>.json      stage, step and curve so far of a cell or a model that is being made, or of a whole run

A job's file is written anew every second by a thread of its own, so that nothing of it is waited for, and its age
says whether its process lives: what has not been written for `STALE` seconds was left behind. Nothing here is part of a
result, and no trouble with these files is the job's.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from bench.reading import json_of

FOLDER = "running"
BEAT = 1.0
"""Seconds between two writings of a file."""
STALE = 15.0
"""Seconds after which the process that wrote a file counts as dead."""
POINTS = 200
"""Lines of a curve that are kept in a file."""
_OURS = re.compile(r"\.?.*-[0-9a-f]{8}\.(json|part)")

Columns = Mapping[str, list[float]]


class Live:
    """The file of one job, there while the block lasts; called with a stage, a step and how many there are.

    Attributes:
        curve: gives the columns of the training curve so far; read by the thread that writes.

    Args:
        results: the results directory.
        name: what no other job of these results is called.
        about: what the file says beside that, plain values.
        progress: is called as this object is.
    """

    def __init__(
        self,
        results: Path,
        name: str,
        about: Mapping[str, Any],
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.curve: Callable[[], Columns] = dict
        self._path = path(results, name)
        self._about = {"name": name, **about, "started": time.time()}
        self._progress = progress
        self._stage = ("preparing", 0, 0)
        self._since = (time.time(), 0)  # when the stage began to be told of, and with which step
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write_on, daemon=True, name="live")

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._stage[0]:
            self._since = (time.time(), done)
        self._stage = (what, done, total)
        if self._progress is not None:
            self._progress(what, done, total)

    def tell(self, **more: Any) -> None:
        """Say more in the file from now on."""
        self._about = {**self._about, **more}

    def __enter__(self) -> Self:
        try:
            self._writer.start()
        except RuntimeError:  # no more threads are to be had
            pass
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._writer.ident is not None:
            self._writer.join(timeout=5)

    def _write_on(self) -> None:
        over = False
        while not over:
            try:
                _write(self._path, self._state())
            except (OSError, TypeError, ValueError):  # no room, no right, no plain number: nobody is told, no more
                pass
            over = self._over.wait(BEAT)
        _remove(self._path)

    def _state(self) -> dict[str, Any]:
        stage, step, steps = self._stage
        since, first = self._since
        return {
            **self._about,
            "stage": stage,
            "step": int(step),
            "steps": int(steps),
            "since": since,
            "first": int(first),
            "curve": {name: [_number(value) for value in column] for name, column in self.curve().items()},
        }


def path(results: Path, name: str) -> Path:
    """Where the file of a job lies."""
    slug = re.sub(r"[^\w@=+.-]+", "-", name, flags=re.ASCII).strip(".-")[:100]
    return results / FOLDER / f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"


def forget(results: Path, name: str) -> None:
    """Remove the file of a job whose process was ended from outside."""
    _remove(path(results, name))


def running(results: Path) -> list[dict[str, Any]]:
    """What the files say, first started first; files that dead processes left are passed over and removed."""
    found = []
    try:
        files = [file for file in (results / FOLDER).iterdir() if _OURS.fullmatch(file.name)]
    except OSError:
        return []
    for file in files:
        try:
            if abs(time.time() - file.stat().st_mtime) > STALE:
                _remove(file)
            elif file.suffix == ".json":
                found.append(_read(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):  # it ended just now, or is not ours
            continue
    return sorted(found, key=lambda job: (job["started"], job["name"]))


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "stage"), str),
    **dict.fromkeys(("step", "steps", "first"), int),
    **dict.fromkeys(("started", "since"), (int, float)),
    "curve": dict,
}


def _read(text: str) -> dict[str, Any]:
    state: dict[str, Any] = json_of(text)
    sound = all(isinstance(state[name], kind) for name, kind in _KINDS.items())
    numbers = [state[name] for name in ("step", "steps", "first", "started", "since")]
    if state.get("run") and state.get("left") is not None:
        numbers += [state["left"], state["told"]]
    columns = state["curve"].values() if sound else ()
    if not (sound and all(map(_is_number, numbers)) and all(isinstance(column, list) for column in columns)):
        raise ValueError("no file of a job")
    if not all(value is None or _is_number(value) for column in columns for value in column):
        raise ValueError("a curve is no list of numbers")
    return state


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e15


def _write(file: Path, state: Mapping[str, Any]) -> None:
    """In one move, but not safe from a power cut: what is lost with it is of no use after it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.stem}.part")
    part.write_text(json.dumps(state, allow_nan=False), encoding="utf-8")
    part.replace(file)


def _remove(file: Path) -> None:
    """Remove a file, and the folder with the last one."""
    try:
        file.with_name(f".{file.stem}.part").unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        file.parent.rmdir()
    except OSError:
        pass


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
