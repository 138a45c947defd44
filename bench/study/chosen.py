"""The settings that tunings chose, written as files for `run --settings`, one an objective."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.compare.selection import KEPT_AT_LEAST, OBJECTIVES, Objective, choose
from bench.compare.tuning import finished
from bench.registry import names as registered
from bench.run.compose import compose
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
        parts = [
            line
            for task, folder in tuned.items()
            if folder.is_dir()
            for line in _task(objective, task, folder, request)
        ]
        if not parts:
            continue
        head = [f"# Chosen by `python -m bench tune` on validation data: {_WORDS[objective]}.", "# Do not edit.", ""]
        head += ["[tuning]", f'objective = "{objective}"', f'model = "{request.model_label}"', ""]
        path = place / f"{objective}.toml"
        with files.atomically(path) as temporary:
            temporary.write_text("\n".join([*head, *parts]), encoding="utf-8")
        made.append(path)
    return made


def _task(objective: Objective, task: str, folder: Path, request: Request) -> Iterator[str]:
    """The lines of a task: how it was tuned, then the methods with their settings.

    Only methods with as many trials as any, on the same data, for others had another chance. Those are named, and so
    are those that left nothing to choose.
    """
    found = {m: finished(made) for m, made in trials.read_folder(folder).items() if m not in CONTROLS}
    spent = {m: (len({t.number for t in made if not t.fresh}), _where(made)) for m, made in found.items()}
    most = max(spent.values(), key=lambda of: (of[0], len(of[1]), of[1]), default=(0, ()))
    choices = {m: choose(objective, made) for m, made in found.items()}
    whole = {m: choice for m, choice in choices.items() if choice is not None and spent[m] == most}
    if not whole:
        return
    for method in (m for m in found if m not in whole):
        count, data = spent[method][0], ", ".join(dict.fromkeys(data for data, _ in spent[method][1]))
        why = "nothing to choose" if spent[method] == most else f"{count} trials on {data}"
        yield f"# Left out of {task}: {method}, {why}."
    yield f"[task.{json.dumps(task)}.tuning]"
    yield from _assignments(_how([t for m in whole for t in found[m]], most[0]))
    for method, choice in whole.items():
        yield ""
        yield f"[task.{json.dumps(task)}.method.{json.dumps(method)}]"
        yield from _assignments(_values(method, setting(choice, found[method]), task, request))
    yield ""


def _where(runs: Sequence[Trial]) -> tuple[tuple[str, int], ...]:
    """The data and seeds that settings were tried on."""
    return tuple(sorted({(t.data, t.seed) for t in runs if not t.fresh}))


def _how(runs: Sequence[Trial], count: int) -> dict[str, Any]:
    """What was spent on each method, and on which data."""
    tried = [t for t in runs if not t.fresh and t.number]
    return {
        "trials": count,
        "stops": list(SHARES),
        "updates": max(t.updates for t in tried),
        "validation": sorted({t.data for t in tried}),
        "seeds": sorted({t.seed for t in tried}),
    }


def _values(method: str, setting: Mapping[str, Any], task: str, request: Request) -> dict[str, Any]:
    """What was chosen, and what the model's own settings said of parameters that were not searched."""
    composed = compose(method, request.model, setting, task, request.settings, request.source)
    return {**setting, **{name: composed.parameters[name] for name in composed.overrides}}


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]
