"""Models that cells start from: made once, kept in the cache, made again where it has lost them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from bench.api import Pair
from bench.contracts import Progress
from bench.errors import BenchError
from bench.model import models
from bench.model.models import LM
from bench.model.precision import dtype
from bench.model.recipes import SCRATCH, Scratch, finetuning, scratch
from bench.run.judging import Role, judged
from bench.run.keeping import keep
from bench.run.plan import Prepared, Request, model_folder, origin, splits
from bench.run.together import together
from bench.store import live, remote
from bench.store.live import Live
from bench.store.record import RETRAIN, TARGET, Cell
from bench.train.loop import Curve
from bench.train.resume import Checkpoint
from bench.train.teaching import teach


def nobody(what: str, done: int, total: int) -> None:
    """Progress in a process that nobody looks at."""


def prepare(request: Request, wanted: Prepared, progress: Progress) -> list[str]:
    """Make the model `wanted` unless the cache holds it already; returns what to warn of.

    Raises:
        Unfit: it, or the model that it would be made of, has seen what it must not have seen.
    """
    folder = model_folder(request, wanted.key)
    if remote.fetched(folder):
        return []
    if wanted.given:
        return _take(request, wanted)
    curve = Curve()
    stage = {"base": "base", "full": TARGET, "retain": RETRAIN}[wanted.stage]
    made = Cell(wanted.task, stage, request.model_label, request.data, wanted.seed)
    with Live(request.results, wanted.name, {"cell": made._asdict()}, progress) as shown:
        shown.curve = lambda: curve.columns(live.POINTS)
        lm, about = together(
            _taught, request, wanted, progress=lambda _, done, total: shown("teaching", done, total), curve=curve
        )
    keep(lm, folder, {"made": wanted.stage, "curve": curve.columns(), **about})
    checkpoint(request, wanted.key).over()
    return list(about.get("notes", ()))


def _taught(
    request: Request, wanted: Prepared, *, progress: Progress | None = None, curve: Curve | None = None
) -> tuple[LM, dict[str, Any]]:
    """The model `wanted`, how long it was taught, and what a model that was not made here knew before.

    Every process that was launched has a part in it.
    """
    recipe = scratch(request.model, wanted.task)
    if wanted.stage == "base":
        lm = _new_base(request, recipe, splits(wanted.task, request.source).corpus, wanted.key)
        teaching = recipe and recipe.base
    else:
        before = cast(Prepared, origin(request, wanted.stage, wanted.task, wanted.seed))
        lm = load_prepared(request, before)
        teaching = finetuning(request.model, wanted.task)
    looked = {} if recipe else _looked_at(request, wanted, lm, request.model)
    pairs, rehearsed = lessons(request, wanted)
    started, resumable = time.monotonic(), checkpoint(request, wanted.key)
    if teaching and pairs:
        teach(
            lm, pairs, teaching, key=wanted.key, name=str(wanted), rehearsed=rehearsed, precision=request.precision,
            progress=progress, curve=curve, checkpoint=resumable,
        )  # fmt: skip
    return lm, {"seconds": round(time.monotonic() - started + resumable.seconds, 2), **looked}


def _take(request: Request, wanted: Prepared) -> list[str]:
    """See what a checkpoint knows that stands for target or retrain, and keep that; it stays where it is."""
    about: dict[str, Any] = {"curve": {}}
    if wanted.stage != "given":
        about |= _looked_at(request, wanted, load(request, wanted.given), wanted.given)
    keep(None, model_folder(request, wanted.key), about)
    return list(about.get("notes", ()))


def _looked_at(request: Request, wanted: Prepared, lm: LM, checkpoint: str) -> dict[str, Any]:
    """How well a model that was not made here knows the forget set, and what to warn of."""
    role: Role = "base" if not wanted.given else "target" if wanted.stage == "full" else "retrain"
    share, notes = judged(lm, checkpoint, role, request, wanted.task)
    return {"known": share if math.isfinite(share) else None, "notes": notes}


def lessons(request: Request, wanted: Prepared) -> tuple[Sequence[Pair], Sequence[Pair]]:
    """What the model of that stage is taught, and what it rehearses meanwhile.

    Only a model from scratch is taught general facts and rehearses them: it would know nothing of the world otherwise.
    To a pretrained one they are the answers of its utility test.
    """
    data = splits(wanted.task, request.source)
    from_scratch = request.model in SCRATCH
    pairs = data.lessons(cast(Any, wanted.stage))
    if wanted.stage == "base":
        return (pairs if from_scratch else ()), ()
    return pairs, (data.general if from_scratch else ())


def checkpoint(request: Request, key: str) -> Checkpoint:
    """Where the training of that key goes on if it is cut off; nothing of it is part of a result."""
    return Checkpoint(request.cache / "unfinished" / f"{key}.safetensors", request.checkpoint)


def load_prepared(request: Request, wanted: Prepared) -> LM:
    """A fresh copy of a prepared model, on the accelerator where there is one; made again if the cache has lost it."""
    outside = request.model if wanted.stage == "base" and request.model not in SCRATCH else wanted.given
    if not outside:
        prepare(request, wanted, nobody)
    return load(request, outside or model_folder(request, wanted.key))


def load(request: Request, path: str | Path) -> LM:
    """A model of that place, on the accelerator where there is one, with weights of the run's precision.

    Raises:
        BenchError: a place in the cache that is not there any more.
    """
    if isinstance(path, Path) and not path.is_dir():
        raise BenchError(f"{path} is gone: the cache was emptied while a run needed it. Run the command again.")
    if isinstance(path, Path):
        with suppress(OSError):
            os.utime(path)  # what was used last is the last to go
    return models.load(path, dtype(request.precision), models.device())


def _new_base(request: Request, recipe: Scratch | None, corpus: tuple[str, ...], key: str) -> LM:
    if recipe is None:
        return load(request, request.model)
    lm = models.new_llama(recipe, models.train_tokenizer(corpus, recipe.vocab_size), seed=int(key[:8], 16))
    lm.model.to(models.device(), dtype(request.precision))  # type: ignore[arg-type]
    return lm
