"""The model of a record: from the cache, or made again as the record says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from bench.contracts import Progress
from bench.data import world
from bench.errors import BenchError, UsageError
from bench.model import models
from bench.model.models import LM
from bench.model.precision import dtype
from bench.model.recipes import SCRATCH, model_label
from bench.run.cell import make_model
from bench.run.compose import MATCHED
from bench.run.grid import prepare_all
from bench.run.plan import Planned, Request, model_folder, plan
from bench.run.state import why_stale
from bench.store.record import ELSEWHERE, Record


class Remade(NamedTuple):
    """A model, and whether it had to be made again."""

    lm: LM
    again: bool


def remade(request: Request, record: Record, progress: Progress, say: Callable[[str], None]) -> Remade:
    """The model of a record.

    Args:
        request: `results`, `cache` and `precision`; `model`, `retrains` and `source` too where the record can only name
            them by a label (checkpoints, directories of data), else "".

    Raises:
        UsageError: a cell that has no model, or one that cannot be made again without a model or data being named.
        BenchError: what would be made today is another model than the record's.
    """
    cell = record.cell
    refuse_without_model(record)
    kept = model_folder(request, record.keys["train"])
    if kept.is_dir():
        return Remade(models.load(kept, dtype(request.precision), models.device()), False)
    say(f"{cell} is not in {request.cache}: it is made again, as a run does")
    request = completed(request, record)
    planned = _planned(request, record)
    if not prepare_all(request, [planned.start], 1, say):
        raise BenchError(f"the model that {cell} starts from could not be made; the lines above say why.")
    return Remade(make_model(request, planned, progress), True)


def refuse_without_model(record: Record) -> None:
    """Raise `UsageError` for a cell that never had a model, or whose model is not ours to give."""
    if record.cell.data == ELSEWHERE:
        raise UsageError(f"{record.cell} was measured elsewhere: its log came without a model.")
    if given := record.identity.get("checkpoint"):
        raise UsageError(f"{record.cell} is the checkpoint {given} as it was given, and nothing else: copy its folder.")
    if record.status != "ok":
        raise UsageError(f"{record.cell}: {record.status}, so there is no model. {record.error.strip()}")
    if not record.keys.get("train"):
        raise UsageError(f"the record of {record.cell} has no key of its model. Run the cell again.")


def completed(request: Request, record: Record) -> Request:
    """The request that makes the record's cell: every parameter as the record has it, whoever had set it."""
    overrides = {record.cell.method.removesuffix(MATCHED): dict(record.parameters)}
    model, source = _model(request, record), _source(request, record)
    return dataclasses.replace(request, model=model, source=source, overrides=overrides)


def _planned(request: Request, record: Record) -> Planned:
    """The record's cell as it is made today, if that gives the same model."""
    cell = record.cell
    planned = next(c for c in plan(request, [cell.method], [cell.task], [cell.seed]) if c.cell.method == cell.method)
    if planned.keys["train"] != record.keys["train"]:
        raise BenchError(
            f"{cell} cannot be made again: today's code, model or data would give another model "
            f"({why_stale(record, planned.identity)}). Run the cell again, then export it."
        )
    return planned


def _model(request: Request, record: Record) -> str:
    label = record.cell.model
    if (plain := label.partition("@")[0]) in SCRATCH:  # behind it stands what its settings were tuned to
        label = plain
    named = request.model or (label if label in SCRATCH or "/" in label else "")
    if not named:
        raise UsageError(
            f"{record.cell} starts from the checkpoint {label}, which is elsewhere. Name it: --model DIR, or "
            "of a pair --target DIR --retrain DIR"
        )
    if model_label(named) != label:
        raise UsageError(f"--model {named} is {model_label(named)}, but {record.cell} starts from {label}.")
    return named


def _source(request: Request, record: Record) -> str:
    label = record.cell.data
    named = request.source or (label if label == "hub" or world(label) is not None else "")
    if not named:
        raise UsageError(f"{record.cell} was taught files of a directory. Name it: --data DIR")
    if dataclasses.replace(request, source=named).data != label:
        raise UsageError(f"--data {named}: {record.cell} has data {label}.")
    return named
