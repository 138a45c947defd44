"""Existing checkpoints on a command line: a target with its retrain models, or a known pair of the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from bench import registry
from bench.errors import UsageError


class Models(NamedTuple):
    """The model of a run; with `retrains` it stands for target, and they, by task, for retrain."""

    model: str
    retrains: Mapping[str, str]


def models(model: str, target: str, retrain: Sequence[str], tasks: Sequence[str]) -> Models:
    """What `--model`, or `--target` with `--retrain`, mean on these tasks.

    Raises:
        UsageError: one without the other, both ways at once, a task without a retrain model or one for several tasks,
            no such model.
    """
    if not target and not retrain:
        return _named(model, tasks)
    if not (target and retrain):
        lacking, has = ("--retrain", "--target") if target else ("--target", "--retrain")
        raise UsageError(f"{has} needs {lacking}: what is measured lies between the two. Add {lacking} DIR_OR_ID.")
    if _typed("model"):
        raise UsageError("--model and --target: with --target nothing is taught, so leave out --model.")
    return Models(checkpoint_of("--target", target), by_task(retrain, tasks))


def _named(model: str, tasks: Sequence[str]) -> Models:
    from bench.model.pairs import KNOWN
    from bench.model.recipes import SCRATCH

    if model in KNOWN:
        known = KNOWN[model].retrains
        if lacking := [task for task in tasks if task not in known]:
            raise UsageError(f"--model {model} has no retrain model for {lacking[0]}. It has {', '.join(known)}.")
        return Models(KNOWN[model].target, {task: known[task] for task in tasks})
    if not model.strip() or (model not in SCRATCH and "/" not in model and not Path(model).is_dir()):
        hint = registry.near([model], [*SCRATCH, *KNOWN])
        said = f" {hint}" if hint else ""
        raise UsageError(
            f"no model '{model}'.{said} Give a name of `python -m bench list models`, a hub id, or the directory of "
            "a checkpoint."
        )
    return Models(model, {})


def by_task(retrain: Sequence[str], tasks: Sequence[str]) -> dict[str, str]:
    """The retrain model of each task, from words `DIR_OR_ID` or `TASK=DIR_OR_ID`."""
    found: dict[str, str] = {}
    for word in retrain:
        left, equals, right = word.partition("=")
        if not equals or "/" in left or Path(word).is_dir():
            if len(tasks) > 1 or len(retrain) > 1:
                each = " ".join(f"--retrain {task}=DIR" for task in tasks)
                raise UsageError(
                    f"--retrain {word}: a retrain model has seen all but the forget set of its task, so say of which "
                    f"it is: {each}"
                )
            left, right = tasks[0], word
        if left not in tasks:
            registry.find("task", left)
            raise UsageError(f"--retrain {word}: none of --tasks is {left}")
        if left in found:
            raise UsageError(f"--retrain {word}: {left} has one already, {found[left]}")
        found[left] = checkpoint_of("--retrain", right)
    if lacking := [task for task in tasks if task not in found]:
        raise UsageError(f"no retrain model for {', '.join(lacking)}. Add --retrain {lacking[0]}=DIR_OR_ID.")
    return found


def checkpoint_of(option: str, word: str) -> str:
    """A directory, by its whole path, or a hub id.

    Raises:
        UsageError: neither, or a name that stands for something else.
    """
    from bench.model.pairs import KNOWN

    if Path(word).is_dir():
        return str(Path(word).resolve())
    if word in KNOWN:
        raise UsageError(f"{option} {word}: that is a pair of target and retrain. Write --model {word}.")
    if word.count("/") != 1 or word.startswith((".", "/", "~")):
        raise UsageError(f"{option} {word}: no such directory, and no hub id. Give the directory of a checkpoint.")
    return word


def _typed(option: str) -> bool:
    """Whether an option stands on the command line."""
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(option) if context else None
    return source is click.core.ParameterSource.COMMANDLINE
