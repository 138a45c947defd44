"""Attacks on cells that are done: what is missing of them, and the jobs that carry it out.

A stage of its own after the cells: an attack has its own content key, so that it makes no cell stale and needs none
measured anew. The cell's model comes from the cache, and where it is there no more it is unlearned again.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from bench import plugins, registry
from bench.api import Attack, Splits
from bench.attacks._asked import Asked, forget_items, kept_items
from bench.attacks._subject import Subject
from bench.contracts import Progress
from bench.errors import BenchError, UsageError
from bench.keys import data_hash, digest, source_hash, stream
from bench.model.attachments import bare
from bench.model.models import LM
from bench.model.recipes import finetuning
from bench.run.cell import make_model
from bench.run.executors import Hire
from bench.run.grid import Say, prepare_jobs, run_jobs
from bench.run.jobs import Job
from bench.run.once import at_home, folder_of, held, in_step
from bench.run.plan import Planned, Prepared, Request, hashes, prepared, splits
from bench.run.prepare import load_prepared
from bench.store import attacked, files
from bench.store.attacked import BARE, DELIVERED, PLAIN, Attacked, Point
from bench.store.record import Cell
from bench.store.versions import ATTACKS

FEW = 6
"""Attacks that are named one by one."""


@dataclasses.dataclass(frozen=True)
class Siege:
    """A cell and the attacks that are to be carried out on it.

    Attributes:
        target, retrain: the models that it is held against, of its own seed.
        attacks: by name, each with its content key.
    """

    planned: Planned
    target: Prepared
    retrain: Prepared
    attacks: Mapping[str, str]

    @property
    def cell(self) -> Cell:
        return self.planned.cell

    @property
    def models(self) -> tuple[Prepared, ...]:
        """What has to be there before."""
        return self.planned.start, self.target, self.retrain

    def __str__(self) -> str:
        return f"{self.cell}: {', '.join(self.attacks) if len(self.attacks) <= FEW else f'{len(self.attacks)} attacks'}"


def select(words: str) -> list[str]:
    """The attacks that a comma list names, `light` and `all` among its words; `plain` before all others.

    Neither word means those that are `asked_only`.

    Raises:
        UsageError: an unknown name, with near ones.
    """
    known = registry.names("attack")
    usual = [name for name in known if not getattr(make(name), "asked_only", False)]
    groups = {"light": [name for name in usual if make(name).light], "all": usual}
    chosen = {PLAIN: None}
    for word in filter(None, map(str.strip, words.split(","))):
        if word not in known and word not in groups:
            raise registry.unknown("attack", word, [*known, *groups])
        chosen.update(dict.fromkeys(groups.get(word, [word])))
    return list(chosen)


@cache
def make(name: str) -> Attack:
    """The attack that is declared under a name."""
    made: Attack = registry.load("attack", name)()
    return made


def said_of(made: Attack) -> dict[str, Any]:
    """What readers of results need to know of an attack: its class attributes, as plain values."""
    said = {name: getattr(made, name) for name in ("title", "light", "needs", "injects", "axis", "at", "from_plain")}
    by_line = {name: list(getattr(made, name, ())) for name in ("controls", "no_before")}
    injects = {"injects_by": dict(getattr(made, "injects_by", {}))}
    return {**said, **by_line, **injects, "doc": (type(made).__doc__ or "").split("\n")[0]}


def missing(request: Request, cells: Sequence[Planned], names: Sequence[str]) -> list[Siege]:
    """The cells that have a model, with those of the attacks that were not carried out on it as it is now.

    Raises:
        BenchError: a file of attacks that cannot be read.
    """
    found: list[Siege] = []
    for planned in cells:
        record = files.find(request.results, planned.cell)
        if planned.state != "done" or record is None or record.status != "ok":
            continue
        data = splits(planned.cell.task, request.source)
        able = siege(request, planned, [name for name in names if not _lacks(name, data)])
        before = attacked.read(request.results, planned.cell)
        if todo := {name: key for name, key in able.attacks.items() if not before.has(name, key)}:
            found.append(dataclasses.replace(able, attacks=todo))
    return found


def refuse(request: Request, tasks: Iterable[str], names: Sequence[str]) -> None:
    """Raise `UsageError` where none of the tasks has what it takes for any of the attacks."""
    lacks = {(task, name): _lacks(name, splits(task, request.source)) for task in tasks for name in names}
    if all(why for (_, name), why in lacks.items() if name != PLAIN) and set(names) != {PLAIN}:
        said = dict.fromkeys(f"{task} {why}" for (task, _), why in lacks.items() if why)
        raise UsageError(f"--attacks {','.join(n for n in names if n != PLAIN)}: {'; '.join(said)}")


def _lacks(name: str, data: Splits) -> str:
    """Why an attack cannot be carried out on a task; "" where it can."""
    ask: Callable[[Splits], str] = getattr(make(name), "available", lambda data: "")
    return ask(data)


def siege(request: Request, planned: Planned, names: Sequence[str]) -> Siege:
    """Attacks on a cell, each with its content key: the three models, the data, what is asked, and how it is done."""
    cell = planned.cell
    target, retrain = (prepared(request, cell.task, stage, cell.seed) for stage in ("full", "retain"))
    ours = hashes(cell.task, request.source)
    common = {
        "model": planned.keys["train"],
        "between": [target.key, retrain.key],
        "data": {part: ours[part] for part in ("forget", "retain", "general", "probes")},
        "asked": _asked_hash(cell.task, request.source),
        "seed": cell.seed,
        "precision": request.precision,
    }
    return Siege(planned, target, retrain, {name: digest({"how": how(name), **common}) for name in names})


@cache
def how(name: str) -> str:
    """Digest of how an attack is done: its version and parameters; of one in a plugin, whose version nobody raises, its
    code."""
    made: Any = make(name)
    parameters = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(made).items()}
    module = registry.find("attack", name).module
    outside = {"source": source_hash(module)} if module in plugins.sources() else {}
    return digest([name, getattr(made, "version", 1), ATTACKS, parameters, outside])


@cache
def _asked_hash(task: str, source: str) -> str:
    own = splits(task, source).attacks
    lessons = {name: data_hash(pairs) for name, pairs in own.lessons.items()}
    return digest([lessons, [[f.name, f.kind, data_hash(f.forget), data_hash(f.kept)] for f in own.families]])


def run(
    request: Request, sieges: Sequence[Siege], workers: int, fail_fast: bool, say: Say, hire: Hire | None = None
) -> bool:
    """Carry them out, models first; whether all went well."""
    making = prepare_jobs(request, [model for of in sieges for model in of.models])
    jobs = list(making.values())
    for of in sieges:
        needs = frozenset(making[model.key].name for model in of.models)
        kind = ("attacks", of.cell.task.partition(":")[0], *of.attacks)
        jobs.append(Job(f"attacks on {of.cell}", carry_out, (request, of), needs, kind))
    return run_jobs(request, jobs, workers, fail_fast, say, [], hire=hire)


def carry_out(request: Request, siege: Siege, progress: Progress) -> list[str]:
    """Attack one cell and keep what is found, attack by attack; gives what to warn of.

    Raises:
        Busy: another run attacks it.
        BenchError: one of the attacks failed; the others are kept.
    """
    request = at_home(request)
    with held(request.results, f"attacks on {siege.cell}"), in_step(request.results, folder_of(siege.planned)):
        done = attacked.read(request.results, siege.cell)
        left = {name: key for name, key in siege.attacks.items() if not done.has(name, key)}
        return _attack(request, dataclasses.replace(siege, attacks=left), progress) if left else []


def _attack(request: Request, siege: Siege, progress: Progress) -> list[str]:
    forms = subjects(request, siege, make_model(request, siege.planned, progress), progress)
    items, kept = (_places(of) for of in (forms[DELIVERED].items, forms[DELIVERED].kept))
    notes, failed = [], []
    for name in siege.attacks:
        about, points = _carried_out(siege, name, forms)
        found = attacked.read(request.results, siege.cell)  # anew: another run may have added to it meanwhile
        if (found.items, found.kept) != (items, kept):
            found = Attacked(items, kept)
        attacked.save(request.results, siege.cell, found.with_attack(name, about, points))
        notes += [f"{siege.cell}: {name}: {note}" for note in about["notes"]]
        failed += [f"{name}: {about['error'].strip().splitlines()[-1]}"] if about["error"] else []
    if failed:
        raise BenchError("; ".join(failed))
    return notes


def _carried_out(siege: Siege, name: str, forms: Mapping[str, Subject]) -> tuple[dict[str, Any], tuple[Point, ...]]:
    started, points, error = time.monotonic(), list[Point](), ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        try:
            inside = getattr(make(name), "inside", False)
            for form, of in forms.items():
                if inside and len(forms) > 1 and form == DELIVERED:
                    continue  # it would read the bare model under another name
                for r in make(name).run(of):
                    kept = np.empty(0) if r.kept is None else r.kept
                    points.append(Point(name, form, r.line, r.setting, float(r.step), r.known, kept))
        except Exception as failure:  # noqa: BLE001
            text = str(failure) if isinstance(failure, BenchError) else "".join(traceback.format_exception(failure))
            error, points = text, []
    about = {
        "key": siege.attacks[name],
        "model": siege.planned.keys["train"],
        "how": how(name),
        "about": said_of(make(name)),
        "seconds": round(time.monotonic() - started, 2),
        "error": error,
        "notes": sorted({str(w.message) for w in warned if w.category is UserWarning}),
    }
    return about, tuple(points)


def subjects(request: Request, siege: Siege, lm: LM, progress: Progress) -> dict[str, Subject]:
    """What attacks on a cell are handed, by form: the model, and its bare weights where something is attached to it.

    Which forget items are scored and which retain items beside them is the same in every seed, every other draw for all
    models of a task and seed.
    """
    cell = siege.cell
    data = splits(cell.task, request.source)
    load = partial(load_prepared, request)
    delivered = Subject(
        lm, forget_items(data, stream("attacks", cell.task, "items")),
        kept_items(data, stream("attacks", cell.task, "kept")), data, partial(load, siege.target),
        partial(load, siege.retrain), partial(stream, "attacks", cell.task, cell.seed), progress,
        finetuning(request.model, cell.task).lr, request.precision,
    )  # fmt: skip
    off = {BARE: dataclasses.replace(delivered, lm=bare(lm), _ready={})} if lm.attached else {}
    return {DELIVERED: delivered, **off}


def _places(items: Sequence[Asked]) -> tuple[tuple[str, str], ...]:
    return tuple((each.id, each.cluster) for each in items)
