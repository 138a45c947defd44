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
from bench.run.cell import load_prepared, make_model
from bench.run.executors import Job
from bench.run.grid import Say, prepare_jobs, run_jobs
from bench.run.plan import Planned, Prepared, Request, hashes, prepared, splits
from bench.store import attacked, files
from bench.store.attacked import BARE, DELIVERED, Attacked, Point
from bench.store.versions import ATTACKS

PLAIN = "plain"
"""The attack that is none; every run of others has it."""


FEW = 6
"""Attacks that are named one by one."""


@dataclasses.dataclass(frozen=True)
class Siege:
    """A cell and the attacks that are to be carried out on it."""

    cell: Any
    planned: Planned
    attacks: tuple[str, ...]

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
        able = [name for name in names if not _lacks(name, data)]
        before = attacked.read(request.results, planned.cell)
        todo = tuple(name for name in able if not before.has(name, key(request, planned, name)))
        if todo:
            found.append(Siege(planned.cell, planned, todo))
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


def key(request: Request, planned: Planned, name: str) -> str:
    """The content key of an attack on a cell: the three models, the data, what is asked, and how it is done."""
    task, seed = planned.cell.task, planned.cell.seed
    return digest(
        {
            "how": how(name),
            "model": planned.keys["train"],
            "between": [_control(request, planned, stage).key for stage in ("full", "retain")],
            "data": {part: hashes(task, request.source)[part] for part in ("forget", "retain", "general", "probes")},
            "asked": _asked_hash(task, request.source),
            "seed": seed,
            "precision": request.precision,
        }
    )


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


def _control(request: Request, planned: Planned, stage: Any) -> Prepared:
    return prepared(request, planned.cell.task, stage, planned.cell.seed)


def run(request: Request, sieges: Sequence[Siege], workers: int, fail_fast: bool, say: Say) -> bool:
    """Carry them out, models first; whether all went well."""
    models = [
        m for s in sieges for m in (s.planned.start, *(_control(request, s.planned, w) for w in ("full", "retain")))
    ]
    making = prepare_jobs(request, models)
    jobs = list(making.values())
    for siege in sieges:
        needs = {making[_control(request, siege.planned, stage).key].name for stage in ("full", "retain")}
        needs.add(making[siege.planned.start.key].name)
        kind = ("attacks", siege.cell.task.partition(":")[0], *siege.attacks)
        jobs.append(Job(f"attacks on {siege.cell}", carry_out, (request, siege), frozenset(needs), kind))
    return run_jobs(jobs, workers, fail_fast, say, [], request.results)


def carry_out(request: Request, siege: Siege, progress: Progress) -> list[str]:
    """Attack one cell and keep what is found, attack by attack; gives what to warn of.

    Raises:
        BenchError: one of the attacks failed; the others are kept.
    """
    lm = make_model(request, siege.planned, progress)
    models = {DELIVERED: lm, **({BARE: bare(lm)} if lm.attached else {})}
    forms = {form: subject(request, siege.planned, of, progress) for form, of in models.items()}
    notes, failed = [], []
    for name in siege.attacks:
        about, points = _carried_out(request, siege, name, forms)
        found = attacked.read(request.results, siege.cell)  # anew: another run may have added to it meanwhile
        items, kept = asked(request, siege.planned)
        if (found.items, found.kept) != (places := (_places(items), _places(kept))):
            found = Attacked(*places)
        found = found.with_attack(name, about, points)
        attacked.save(request.results, siege.cell, found)
        notes += [f"{siege.cell}: {name}: {note}" for note in about["notes"]]
        failed += [f"{name}: {about['error'].strip().splitlines()[-1]}"] if about["error"] else []
    if failed:
        raise BenchError("; ".join(failed))
    return notes


def _carried_out(
    request: Request, siege: Siege, name: str, forms: Mapping[str, Subject]
) -> tuple[dict[str, Any], tuple[Point, ...]]:
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
        "key": key(request, siege.planned, name),
        "model": siege.planned.keys["train"],
        "how": how(name),
        "about": said_of(make(name)),
        "seconds": round(time.monotonic() - started, 2),
        "error": error,
        "notes": sorted({str(w.message) for w in warned if w.category is UserWarning}),
    }
    return about, tuple(points)


def subject(request: Request, planned: Planned, lm: LM, progress: Progress) -> Subject:
    """What attacks on a cell are handed; every draw is the same for all models of its task and seed."""
    cell = planned.cell
    items, kept = asked(request, planned)
    load = {stage: partial(load_prepared, request, _control(request, planned, stage)) for stage in ("full", "retain")}
    return Subject(
        lm, items, kept, splits(cell.task, request.source), load["full"], load["retain"],
        partial(stream, "attacks", cell.task, cell.seed), progress, finetuning(request.model, cell.task).lr,
        request.precision,
    )  # fmt: skip


def asked(request: Request, planned: Planned) -> tuple[tuple[Asked, ...], tuple[Asked, ...]]:
    """The forget items that are scored, and the retain items; the same in every seed."""
    data = splits(planned.cell.task, request.source)
    return tuple(  # type: ignore[return-value]
        draw(data, stream("attacks", planned.cell.task, which))
        for which, draw in (("items", forget_items), ("kept", kept_items))
    )


def _places(items: Sequence[Asked]) -> tuple[tuple[str, str], ...]:
    return tuple((each.id, each.cluster) for each in items)
