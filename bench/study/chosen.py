"""The settings that tunings chose, written as files for `run --settings`, one an objective."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.compare.selection import KEPT_AT_LEAST, OBJECTIVES, Objective, choose
from bench.registry import names as registered
from bench.run.plan import Request
from bench.run.trial import SHARES
from bench.store import files, trials
from bench.store.record import CONTROLS
from bench.store.trials import Trial
from bench.study.tune import setting

_WORDS: Mapping[Objective, str] = {
    "deployable": f"the least extraction strength on the forget set that keeps {KEPT_AT_LEAST:g} of the target's "
    "utility: what somebody without a retrain model can do",
    "oracle": "the highest headline, which takes a retrain model to know: an upper bound",
}


def write(request: Request) -> list[Path]:
    """Write the settings of every task that was tuned with this model and data; gives the files.

    Every parameter of a method that is not its source's default is in there, so that the file stands for itself.
    """
    place = trials.folder(request.results, request.data, request.model_label, "")
    tuned = {task: trials.folder(request.results, request.data, request.model_label, task)
             for task in registered("task")}  # fmt: skip
    made = []
    for objective in OBJECTIVES:
        parts = [line for task, folder in tuned.items() if folder.is_dir() for line in _task(objective, task, folder)]
        if not parts:
            continue
        head = [f"# Chosen by `python -m bench tune` on validation data: {_WORDS[objective]}.", "# Do not edit.", ""]
        head += ["[tuning]", f'objective = "{objective}"', f'model = "{request.model_label}"', ""]
        path = place / f"{objective}.toml"
        with files.atomically(path) as temporary:
            temporary.write_text("\n".join([*head, *parts]), encoding="utf-8")
        made.append(path)
    return made


def _task(objective: Objective, task: str, folder: Path) -> Iterator[str]:
    """The lines of a task: how it was tuned, then the methods with their settings."""
    found = {file.stem: trials.read(file) for file in sorted(folder.glob("*.jsonl"))}
    chosen: dict[str, list[str]] = {}
    counted: set[int] = set()
    runs: list[Trial] = []
    for method, made in found.items():
        choice = None if method in CONTROLS else choose(objective, made)
        if choice is None:
            continue
        name = made[0].method
        own = {"trials": choice.trials} | _values(made, setting(choice, made))
        chosen[name] = [f'[task."{task}".method.{_key(name)}]', *_assignments(own)[1:], ""]
        counted.add(choice.trials)
        runs += made
    if not chosen:
        return
    yield f'[task."{task}".tuning]'
    yield from _assignments(_how(runs, counted))
    yield ""
    for lines in chosen.values():
        yield from lines


def _how(runs: Sequence[Trial], counted: set[int]) -> dict[str, Any]:
    """What was spent, and on which data: the same for every method, or the fewest trials are said."""
    tried = [t for t in runs if not t.fresh and t.number]
    return {
        "trials": min(counted),
        "stops": [float(share) for share in SHARES],
        "updates": max((t.updates for t in tried), default=0),
        "validation": sorted({t.data for t in tried}),
        "seeds": sorted({t.seed for t in tried}),
    }


def _values(made: Sequence[Trial], setting: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter that was set for the trials, and what was chosen on top."""
    return {**setting}


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else json.dumps(name)
