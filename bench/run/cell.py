"""What a worker does: make one cell from start to record."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
import traceback
import warnings
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pandas as pd

from bench.api import Pair, make_task
from bench.contracts import Context, Course, Encoded, Progress
from bench.errors import BenchError
from bench.keys import stream
from bench.measure.alike import texts_differ
from bench.model import attachments, models
from bench.model.encoding import Encoding
from bench.model.models import LM
from bench.model.precision import PRECISIONS
from bench.model.recipes import model_label
from bench.run import matched, memory
from bench.run.keeping import HEARD, about_kept, built, described, refuse_foreign, reloaded
from bench.run.measuring import measured
from bench.run.plan import Planned, Prepared, Request, metrics, model_folder, prepared, splits
from bench.run.prepare import checkpoint, load, load_prepared, nobody
from bench.run.presets import Settings, settings
from bench.run.provenance import outside_code, own_code, provenance
from bench.run.together import size, together
from bench.score.scoring import item_table, score_items
from bench.store import answers, files, live, remote
from bench.store.live import Live
from bench.store.record import RETRAIN, Record
from bench.store.rows import read_rows, write_rows
from bench.train.alternatives import alternatives
from bench.train.draws import own_draws
from bench.train.loop import Curve, Diverged
from bench.train.tracking import Log, tracked
from bench.train.unlearning import unlearn


def run_cell(request: Request, planned: Planned, progress: Progress) -> Record:
    """Make one cell: unlearn, measure, score, store. What goes wrong is recorded, never raised."""
    with Live(request.results, str(planned.cell), {"cell": planned.cell._asdict()}, progress) as shown:
        record, items, said = _made(request, planned, shown)
        files.save(request.results, record, items)
        answers.save(request.results, record, pd.DataFrame() if said is None else said)
    return record


def make_model(request: Request, planned: Planned, progress: Progress) -> LM:
    """The model of a cell, from the cache where it is, else unlearned again; nothing is measured or recorded."""
    with Live(request.results, str(planned.cell), {"cell": planned.cell._asdict()}, progress) as shown:
        return _unlearned(request, planned, shown)[0]


Made = tuple[Record, pd.DataFrame | None, pd.DataFrame | None]
"""A record, its item table, and what the model said."""


def _made(request: Request, planned: Planned, shown: Live) -> Made:
    try:
        return _make(request, planned, shown)
    except (Diverged, matched.NotReached) as error:
        status = "diverged" if isinstance(error, Diverged) else "not reached"
        return _record(request, planned, status=status, error=str(error)), None, None
    except Exception as error:
        text = str(error) if isinstance(error, BenchError) else "".join(traceback.format_exception(error))
        return _record(request, planned, status="failed", error=text), None, None


def give_up(request: Request, planned: Planned, why: str) -> Record:
    """Record that a cell failed whose process could not do so itself."""
    record = _record(request, planned, status="failed", error=why)
    files.save(request.results, record, None)
    return record


def _make(request: Request, planned: Planned, progress: Live) -> Made:
    names = metrics(planned.cell.task, planned.probes)
    rows_file = files.rows_path(request.results, planned.keys["measure"])
    about = rows_file.with_suffix(".json")
    if remote.fetched(rows_file) and remote.fetched(about):
        rows, meta = read_rows(rows_file), described(about, "Remove it and run its cell to measure it again.")
    else:
        memory.reset_peak()
        lm, meta = _unlearned(request, planned, progress)
        started = time.monotonic()
        retrain = prepared(request, planned.cell.task, "retain", planned.cell.seed)
        known = partial(load_prepared, request, retrain)
        parts = planned.composed.parts
        rows, missed = measured(request, planned.cell.task, lm, planned.probes, parts, known, progress)
        meta["notes"] = [*meta.get("notes", ()), *missed]
        peak = max(memory.peak_mb(), meta["cost"].get("peak_memory_mb", 0.0))
        if lm.attached:
            meta["detachable"] = True
            meta["cost"]["attached_mb"] = round(attachments.size(lm.attached) / 1e6, 3)
        meta["cost"] |= {"measure_seconds": round(time.monotonic() - started, 2), "peak_memory_mb": peak}
        with files.atomically(about) as temporary:
            temporary.write_text(json.dumps(meta), encoding="utf-8")
        write_rows(rows, rows_file)
    items = item_table(rows, names)
    reference = None
    if planned.cell.method == RETRAIN:
        reference = items
    elif planned.compared:
        reference = files.items(request.results, planned.cell._replace(method=RETRAIN))
    scores = score_items(items, reference, names)
    return _record(request, planned, status="ok", scores=scores, **meta), items, rows.generations


def _unlearned(request: Request, planned: Planned, progress: Live) -> tuple[LM, dict[str, Any]]:
    """The cell's model, from the cache where it is, and how it came about."""
    method = planned.composed.method
    if method.control:
        lm, kept = load_prepared(request, planned.start), about_kept(model_folder(request, planned.start.key))
        if planned.start.stage == "given":
            return lm, {"curve": {}, "cost": {}, "notes": _tokens_differ(request, planned, lm)}
        cost = {"unlearn_seconds": 0.0} | ({"prepare_seconds": kept["seconds"]} if "seconds" in kept else {})
        return lm, {"curve": kept["curve"], "cost": cost, "notes": kept.get("notes", [])}
    folder = model_folder(request, planned.keys["train"])
    if remote.fetched(folder):
        return load(request, folder), about_kept(folder)
    if planned.before is not None:
        _make_before(request, planned.before, progress)
    if planned.finished is not None:
        lm, meta = _matched(request, planned, planned.finished, progress)
        return _as_kept(request, planned, lm, folder, meta), meta
    curve, resumable = Curve(), checkpoint(request, planned.keys["train"])
    progress.curve = lambda: curve.columns(live.POINTS)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        with _log(request, planned) as log:
            run = partial(together, _moved) if method.transform is None else _moved
            try:
                lm, cost = run(request, planned, progress=progress, log=log, curve=curve)
            except Exception:  # it would end so again; one that is killed does not come here
                resumable.over()
                raise
    said = dict.fromkeys(f"{method.name}: {w.message}" for w in warned if w.category is UserWarning)
    if curve.trace:
        cost["trace_seconds"] = round(curve.probing, 2)
    meta = {"curve": curve.columns(), "cost": cost, "notes": list(said)}
    lm = _as_kept(request, planned, lm, folder, meta)
    resumable.over()
    return lm, meta


def _moved(
    request: Request,
    planned: Planned,
    *,
    progress: Progress = nobody,
    log: Log | None = None,
    curve: Curve | None = None,
) -> tuple[LM, dict[str, Any]]:
    """The cell's model, unlearned now, and what that cost; every process has a part in it, unless it is a transform."""
    method, parts = planned.composed.method, planned.composed.parts
    context = _context(request, planned, progress)
    lm, curve, moved = cast(LM, context.lm), Curve() if curve is None else curve, 0
    started, resumable = time.monotonic(), checkpoint(request, planned.keys["train"])
    if method.transform is None:
        made_of, before = (parts["objective"], parts["optimizer"], parts["scope"], parts["schedule"]), built(lm.model)
        _, moved = unlearn(
            context, *made_of, trace=request.trace, precision=request.precision, log=log, curve=curve,
            checkpoint=resumable,
        )  # fmt: skip
        refuse_foreign(method.name, built(lm.model), before)
    else:
        context.course.log, context.course.curve = log, curve
        with own_draws(context.stream("draws")):
            lm = parts.get("transform", method.transform)(context)
        moved = context.course.moved
    seconds = time.monotonic() - started + resumable.seconds - curve.probing + context.spent.spared
    cost = {"unlearn_seconds": round(seconds, 2), "weights_moved": moved, **curve.passes}
    cost |= {f"{name}_seconds": round(value, 2) for name, value in context.spent.seconds.items()}
    cost["peak_memory_mb"] = max(memory.peak_mb(), context.spent.peak)
    return lm, cost


def _as_kept(request: Request, planned: Planned, lm: LM, folder: Path, about: dict[str, Any]) -> LM:
    """The model that a method returned, written and read again; see `bench.run.keeping`."""
    method, data = planned.composed.method, splits(planned.cell.task, request.source)
    some = [*data.forget[:HEARD], *data.retain[:HEARD]]
    items = [lm.encode(pair.prompt, pair.answer, pair.raw) for pair in some]
    foreign = method.transform is not None and planned.finished is None
    return reloaded(method.name, lm, folder, about, items, partial(load, request), always=foreign)


def _tokens_differ(request: Request, planned: Planned, lm: LM) -> list[str]:
    """What to warn of where a checkpoint reads texts as other tokens than the retrain model that it stands beside."""
    retrain = prepared(request, planned.cell.task, "retain", planned.cell.seed)
    place = retrain.given or model_folder(request, retrain.key)
    if not planned.compared or not (retrain.given or Path(place).is_dir()):
        return []
    probes = splits(planned.cell.task, request.source).probes
    why = texts_differ(lm.encoding, Encoding(models.load_tokenizer(place)), probes)
    name = planned.cell.method
    return [f"{name}: not retrain's tokens ({why}), so what is counted in tokens does not compare"] if why else []


def _matched(request: Request, planned: Planned, finished: Planned, progress: Live) -> tuple[LM, dict[str, Any]]:
    """The point on the way to the finished model of a method, which is unlearned again unless the cache holds it."""
    _refuse_diverged(request, finished)
    level = matched.level(files.find(request.results, planned.cell._replace(method=RETRAIN)))
    lm, meta = _unlearned(request, finished, progress)
    started = time.monotonic()
    texts = splits(planned.cell.task, request.source).probes.texts
    before = finished.before
    start = load_prepared(request, planned.start) if before is None else _load_made(request, before)
    point = matched.find(start, lm, texts, level, progress, request.precision)
    cost = {**meta["cost"], "match_seconds": round(time.monotonic() - started, 2)}
    notes = [*meta.get("notes", ()), point.words(finished.cell.method)]
    return point.lm, {"curve": point.curve(), "cost": cost, "notes": notes}


def _refuse_diverged(request: Request, planned: Planned) -> None:
    """Raise `Diverged` for a cell that another rests on and that is known to have diverged."""
    before = files.find(request.results, planned.cell)
    if before and before.status == "diverged" and before.keys.get("train") == planned.keys["train"]:
        raise Diverged(before.error)


def _make_before(request: Request, before: Planned, progress: Live) -> None:
    """See that the model of the request before is in the cache."""
    if not remote.fetched(model_folder(request, before.keys["train"])):
        _refuse_diverged(request, before)
        _unlearned(request, before, progress)


def _load_made(request: Request, planned: Planned) -> LM:
    """The model of a cell that the cache holds."""
    return load(request, model_folder(request, planned.keys["train"]))


def _context(request: Request, planned: Planned, progress: Progress) -> Context:
    """What a method is handed: the prepared model, or the one that the request before left, with what it attached."""
    cell = planned.cell
    if planned.before is None:
        return make_context(request, planned.start, cell.task, cell.seed, progress)
    lm, target = _load_made(request, planned.before), partial(load_prepared, request, planned.start)
    return dataclasses.replace(_handed(request, lm, cell.task, cell.seed, progress), target=target)


def _log(request: Request, planned: Planned) -> AbstractContextManager[Log | None]:
    """Where the lines of the cell's training curve go beside its record."""
    if not request.track:
        return nullcontext()
    folder = files.record_path(request.results / "tracking", planned.cell).with_suffix("")
    return tracked(request.track, folder, str(planned.cell), planned.composed.parameters)


def make_context(request: Request, start: Prepared, task: str, seed: int, progress: Progress) -> Context:
    """A fresh copy of a prepared model with the task's two sets, encoded."""
    lm = load_prepared(request, start)
    if lm.attached:
        raise BenchError(
            f"{start} has {lm.attached[0].name} attached, so its weights alone are another model and no method can "
            "start from it. `bench eval` measures it as it is."
        )
    return _handed(request, lm, task, seed, progress)


def _handed(request: Request, lm: LM, task: str, seed: int, progress: Progress) -> Context:
    data = splits(task, request.source)
    draws = getattr(make_task(task), "draws", task)

    def encoded(pairs: tuple[Pair, ...]) -> list[Encoded]:
        return [lm.encode(p.prompt, p.answer, p.raw) for p in pairs]

    sets = encoded(data.forget), encoded(data.retain)
    return Context(
        lm, *sets, draws, seed, request.cache, progress, memory.peak_mb,
        alternatives=lambda kind: alternatives(lm, data, kind, partial(stream, draws, seed)),
        course=Course(request.precision, request.trace),
    )  # fmt: skip


def _record(request: Request, planned: Planned, **found: Any) -> Record:
    method, given = planned.composed.method, planned.start.given
    chosen = settings(request.model, request.settings)
    as_it_is = f"{method.name} is the checkpoint {model_label(given)}, as it is" if given and method.control else ""
    return Record(
        cell=planned.cell,
        keys=dict(planned.keys),
        identity=dict(planned.identity),
        parameters=planned.composed.said,
        overrides=dict(planned.composed.overrides),
        environment=environment(
            own_code(planned.composed.method, planned.cell.task),
            tuple(part.package[0] for part in planned.composed.parts.values() if hasattr(part, "package")),
            outside_code(planned.composed.method, planned.cell.task),
        ),
        notes=(
            *splits(planned.cell.task, request.source).notes,
            *([] if request.precision == "float32" else [f"{request.precision}: {PRECISIONS[request.precision]}"]),
            *([] if chosen.origin == "tuned" else planned.composed.notes),
            *filter(None, [as_it_is]),
            *found.pop("notes", ()),
        ),
        tuning_trials=chosen.trials(method.name, planned.cell.task),
        settings={} if method.control else _settings_of(planned, chosen),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        **found,
    )


def _settings_of(planned: Planned, chosen: Settings) -> dict[str, Any]:
    """Where parameters are from; by hand also where one that a tuning chose was set anew, to its default perhaps."""
    composed, task = planned.composed, planned.cell.task
    said = chosen.said_of(composed.method.name, task)
    named = {name for name, _ in chosen.of(composed.method, task)} & composed.parameters.keys()
    return {"origin": "by hand"} if said.get("origin") == "tuned" and named - composed.settled.keys() else said


@cache
def environment(
    own: frozenset[str], extras: tuple[str, ...] = (), outside: tuple[tuple[str, Path], ...] = ()
) -> dict[str, Any]:
    """What the numbers were made with: the cell's own files, packages of its parts, modules of plugins."""
    import torch

    packages = ("torch", "transformers", "accelerate", "scipy", "rouge-score", *extras)
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        **({"processes": size()} if size() > 1 else {}),
        **provenance(own=own, outside=outside),
    }
