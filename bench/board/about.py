"""What a table is of: its task, whose data, which model, how parameters were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.compare.analysis import Table
from bench.store.record import is_tuned

BENCHMARKS = ("tofu", "lume", "restor", "muse")
_HAND_SET = ("tofu", "lume")
"""Those whose own scores the models' settings were chosen by."""
_UNREAD = ("muse",)
"""Those whose files nobody has read here, so that no digest can tell the real ones from others."""
_REAL = {
    *("dcc18ba54af7a963", "c8f1c2a0051748fa", "7a0e07fd057faefb"),  # TOFU's splits, without a holdout set
    *("faa422cd747bc3ec", "88d020ab41fac1c1", "e8b80cdbf845a48e", "96a21301c6c63838"),  # LUME and its three tasks
}
"""Digests of what is measured on the real benchmarks: no other files are called real."""
_WORLDS = {
    "embedded": "embedded world (invented by this project; no number below is a TOFU or LUME number)",
    "embedded-hops": "embedded world with two-hop facts (invented by this project; no number below is a TOFU number)",
    "hub": "the real data, from the hub",
    "elsewhere": "measured elsewhere, scored here from the logs of others",
    "files": "the real data, from a directory of the benchmark's files",
}
_MODELS = {
    "tiny": "`tiny`, a Llama of a million parameters trained from scratch",
    "small": "`small`, a Llama of 4 (LUME: 2) million parameters taught this data and general facts from scratch",
}


def title(table: Table) -> str:
    """Task, world, model and seeds."""
    name, tuned = table.model.partition("@")[0], dict.fromkeys(row.origin for row in table.rows if is_tuned(row.origin))
    return ", ".join([f"{table.task}: {kind(table)}", f"model {name}", *tuned, seeds(table.seeds)])


def about(table: Table) -> str:
    """What the world and the model are, and how the parameters were chosen."""
    trials = max((row.tuning_trials for row in table.rows), default=0)
    lines = [f"Data: {world(table)}.", f"Model: {model(table.model.partition('@')[0])}."]
    if tuned := next((row.settings for row in table.rows if is_tuned(row.origin)), None):
        return " ".join([*lines, _tuned(tuned)])
    if any(by == "settings" for row in table.rows for by, _ in row.overrides.values()):
        tried = f", at most {trials} setting{'s' if trials > 1 else ''} a method" if trials else ""
        if table.task.partition(":")[0] not in _HAND_SET:
            lines.append(f"Settings: `bench/run/settings/{table.model}.toml`, made for other tasks than this one.")
            return " ".join(lines)
        lines.append(f"Tuning: `bench/run/settings/{table.model}.toml`, by hand on seed 0, by looking at these very "
                     f"scores{tried}.")  # fmt: skip
    return " ".join(lines)


def _tuned(said: Mapping[str, Any]) -> str:
    """How the settings of a table were chosen."""
    why = "an upper bound, for it takes retrain" if said["objective"] == "oracle" else "no retrain model is needed"
    return (
        f"Settings: `{said['file']}`, chosen by `bench tune` on {', '.join(said['validation'])}, of "
        f"which no number here is; {said['trials']} trials a method of at most {said['updates']} updates, each with "
        f"{len(said['stops'])} places to stop; objective {said['objective']} ({why})."
    )


def kind(table: Table) -> str:
    """Whose data it is, in two or three words."""
    if not _known(table):
        return "a task of your own"
    return label(table.data, _is_real(table))


def label(data: str, real: bool = False) -> str:
    """Whose data a label names, in two or three words; `real`: what is measured is the benchmark's."""
    named = {
        "embedded": "embedded world", "embedded-hops": "embedded world with two-hop facts",
        "elsewhere": "measured elsewhere", "hub": "real data",
    }  # fmt: skip
    return named.get(data, "real data" if real else "data of your own")


def world(table: Table) -> str:
    """Whose data it is."""
    return whose(table.task, table.data, _is_real(table))


def whose(task: str, data: str, real: bool) -> str:
    """Whose data it is that a task has under that label; `real`: what is measured is the benchmark's."""
    if not is_known(task):
        return f"what the task `{task}` gives for `{data}`; it is none of this project's"
    if data == "files" and task.partition(":")[0] in _UNREAD:
        return "files with the benchmark's names and fields; whether they are its own is not known here"
    if data == "files" and not real:
        return "a directory of files that are not the benchmark's, whatever their names say"
    return _WORLDS.get(data, data)


def model(name: str) -> str:
    """What a model of that name in records is."""
    return _MODELS.get(name, f"`{name}`")


def is_real(probes: str) -> bool:
    """Whether the digest of what was measured is that of a real benchmark."""
    return probes in _REAL


def seeds(numbers: Sequence[int]) -> str:
    """ "seeds 0, 1, 2"."""
    return f"seed{'s' if len(numbers) != 1 else ''} {', '.join(map(str, numbers)) or 'none'}"


def _known(table: Table) -> bool:
    return is_known(table.task)


def is_known(task: str) -> bool:
    """Whether a task is one of a benchmark of this project, or made of one."""
    return any(part in BENCHMARKS for part in task.split(":"))


def _is_real(table: Table) -> bool:
    return bool(table.rows) and all(set(row.probes) <= _REAL for row in table.rows)
