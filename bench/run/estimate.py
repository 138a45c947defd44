"""What a run will take, from shapes alone: memory and seconds of each cell and of each model to be taught.

Counted are weights, gradients, optimizer state and passes (`bench.train.footprint`); timed is this machine
(`bench.run.speed`). Guessed are what transforms train, SIMU's critical neurons, as a tenth of all, and completions, as
long as the right answers and none of them known beforehand. Exams and extra probes are not in the seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch

from bench.data import Stage
from bench.measure.budget import ON_CPU, cache_bytes
from bench.measure.prompts import SLOTS_PER_TOKEN
from bench.measure.slots import GROWTH
from bench.measure.texts import LOGITS_HELD
from bench.model import models
from bench.model.recipes import finetuning, scratch
from bench.model.room import free_bytes
from bench.needs import needs_of, sets_of
from bench.registry import load
from bench.run.plan import Planned, Prepared, Request, model_folder, origin
from bench.run.site import Site, weights_moved
from bench.run.speed import Speed
from bench.run.workload import Lengths
from bench.store import files
from bench.train.footprint import Pass
from bench.train.pieces import usual
from bench.train.start import SHARE

PROBED_ROWS = 64
"""Answers of each of two sets that a point of a run's trace looks at, in one pass."""
PADDING = 1.08
"""Padded tokens by real ones where batches are cut into parts of like length."""
STREAM = 2048
"""Positions that SIMU's attribution has in memory at once."""
HEAP = 1.5
"""What a cache that grows takes of a CPU's heap, by its size: what it grew out of is too small for what comes next."""
CHUNK = 1 << 21
"""Logits that measuring and attribution make at a time, with what is computed from them."""


class Estimate(NamedTuple):
    """What making something takes.

    Attributes:
        name: as the run calls it.
        bytes: most memory at a time: of the process on a CPU, of tensors on an accelerator.
        seconds: from loading the model to the last measurement.
        planned: the cell, of one.
    """

    name: str
    bytes: int
    seconds: float
    planned: Planned | None = None


class Place(NamedTuple):
    """A machine that is not here: the bytes that a job may take there, and how fast it is."""

    room: int
    speed: Speed | None


class Training(NamedTuple):
    """Training in batches: `rows` texts of up to `widest` tokens, `labels` of them in a batch, `width` in the mean.

    With `passes` sets there are as many batches in a step, which share the passes that it takes.
    """

    rows: int
    widest: int
    labels: int
    width: float
    steps: int
    passes: int = 1
    dropout: bool = False
    autocast: bool = False


def estimates(
    request: Request, cells: Sequence[Planned], smallest: bool = False, threads: int = 1, place: Place | None = None
) -> list[Estimate]:
    """Of each model that is still to be taught, then of each cell that is not done.

    No weights are loaded. What does not fit is what it takes in smaller passes. `smallest` asks for the least memory
    of everything, `threads` are those of a worker on a CPU; of a `place` that is not here its room and speed are taken.
    """
    room, given = place or (free_bytes(models.device()), None)
    sites = {
        task: tuple(Site(request, task, small, threads, given) for small in (False, True))
        for task in dict.fromkeys(c.cell.task for c in cells)
    }

    def fitted(make: Callable[[Site, Any], Estimate], task: str, what: Any) -> Estimate:
        usual, small = sites[task]
        found = make(small if smallest else usual, what)
        if smallest or found.bytes - usual.baseline <= room:
            return found
        return found._replace(bytes=min(found.bytes, max(room + usual.baseline, make(small, what).bytes)))

    todo = [c for c in cells if c.state != "done"]
    wanted: dict[str, Prepared] = {}
    for c in todo:
        missing = [m for m in _chain(request, c.start) if not m.given and not model_folder(request, m.key).is_dir()]
        wanted |= {model.key: model for model in missing if model.key not in wanted}
    taught = [fitted(_taught, model.task, model) for model in wanted.values()]
    return [*taught, *(fitted(_cell, c.cell.task, c) for c in todo)]


def _chain(request: Request, model: Prepared) -> list[Prepared]:
    """The models that one is taught from, and it: those that are made here."""
    before = origin(request, model.stage, model.task, model.seed)
    if before is None or (before.stage == "base" and not scratch(request.model, model.task)):
        return [model]
    return [*_chain(request, before), model]


# -- what is made ----------------------------------------------------------------------------------------------------


def _taught(site: Site, model: Prepared) -> Estimate:
    """Teaching all weights."""
    recipe = scratch(site.request.model, site.task)
    teaching = recipe.base if recipe and model.stage == "base" else finetuning(site.request.model, site.task)
    sets = [
        site.taught(cast(Stage, model.stage)),
        *([site.lengths("general")] if recipe and model.stage != "base" else []),
    ]
    items = sum(s.items for s in sets)
    if not items:  # a base of a task that teaches none is made, and that is all
        return Estimate(model.name, site.baseline + site.warm + site.weight_bytes, 0.0)
    rows = min(teaching.batch_size, items)
    widest = max(s.longest for s in sets)
    mean = sum(s.items * float(s.tokens.mean()) for s in sets if s.items) / max(1, items)
    labelled = sum(s.total for s in sets) / max(1, items)
    work = Training(
        rows, widest, round(rows * labelled), mean + 4, teaching.epochs * math.ceil(items / max(1, rows)),
        dropout=True, autocast=teaching.autocast,
    )  # fmt: skip
    most, seconds = _trained(site, work, None, site.weights, 8)
    return Estimate(model.name, most, seconds)


def _cell(site: Site, planned: Planned) -> Estimate:
    """Unlearning where the model is not in the cache, and measuring."""
    method, parts = planned.composed.method, planned.composed.parts
    if files.rows_path(site.request.results, planned.keys["measure"]).is_file():
        return Estimate(str(planned.cell), site.baseline, 0.0, planned)
    ways = [_measured(site, wild=not method.control)]
    kept = method.control or model_folder(site.request, planned.keys["train"]).is_dir()
    if not kept and hasattr(parts.get("transform"), "epochs"):
        ways.append(_transformed(site, parts["transform"]))
    elif not kept and method.transform is None:
        ways += [_unlearned(site, planned), *_attributed(site, parts["scope"]), *_scored(site, parts["scope"])]
    most, seconds = max(way[0] for way in ways), sum(way[1] for way in ways)
    others = 2 * (planned.finished is not None and not kept)  # the target, and a copy that the line starts from
    others += "reference" in planned.probes
    return Estimate(str(planned.cell), most + others * site.weight_bytes, seconds, planned)


# -- what that consists of: (most bytes, seconds) --------------------------------------------------------------------


def _unlearned(site: Site, planned: Planned) -> tuple[int, float]:
    parts = planned.composed.parts
    schedule, scope, objective = parts["schedule"], parts["scope"], parts["objective"]
    named = {name: site.lengths("retain" if name == "retain" else "forget") for name in sets_of(objective)}
    sets = list(named.values())
    rows = min(schedule.batch_size, sets[0].items)
    work = Training(
        rows, max(s.longest for s in sets), round(rows * max(float(s.labels.mean()) for s in sets)),
        sum(map(partial(_width, rows), sets)) / len(sets), schedule.steps(sets[0].items),
        passes=len(sets),
    )  # fmt: skip
    moved = weights_moved(site, scope)
    most, seconds = _trained(site, work, scope, moved, getattr(parts["optimizer"], "state_bytes", 8))
    looks = site.request.trace + 1 if site.request.trace else 0
    answers = looks * PROBED_ROWS * min(2, len(sets))
    drawn = schedule.drawn(sets[0].items)  # of the retain set, and of alternatives, which a run never exhausts
    start = 0
    for need in needs_of(objective):
        for name in need.sets:
            used = min(drawn, named[name].items) if name != "alternative" else drawn
            answers += used
            start += _start(site, need.what, used * float(named[name].labels.mean()), moved)
    looking = _looked(site, sets)
    seconds += answers / PROBED_ROWS * site.speed.seconds(looking)
    return max(most, site.baseline + site.warm + site.weight_bytes + looking.peak) + start, seconds


def _transformed(site: Site, part: Any) -> tuple[int, float]:
    """Training within a transform that says how long: taken to be of all weights, on the forget set, by AdamW."""
    forget = site.lengths("forget")
    rows = min(part.batch_size, forget.items)
    labels = round(rows * float(forget.labels.mean()))
    steps = part.epochs * math.ceil(forget.items / max(1, rows))
    return _trained(site, Training(rows, forget.longest, labels, _width(rows, forget), steps), None, site.weights, 8)


def _width(rows: int, lengths: Lengths) -> float:
    """Tokens of a row, padding included: of parts of like length hardly any, of whole batches of random rows much."""
    return PADDING * float(lengths.tokens.mean()) if models.device() == "cpu" else lengths.width(rows)


def _start(site: Site, what: str, labels: float, moved: int) -> int:
    """Bytes that are held of the start model: what it gave at so many labels, or else its own of what moves."""
    config = site.config.get_text_config()
    width = {"logits": config.vocab_size, "hidden": config.hidden_size}.get(what, 0)
    kept = round(labels * width * site.dtype.itemsize)
    return kept if kept <= SHARE * free_bytes(models.device()) else moved * site.dtype.itemsize


def _looked(site: Site, sets: Sequence[Lengths]) -> Pass:
    """A pass that gives the log-probabilities of answers."""
    rows = 1 if site.smallest else PROBED_ROWS
    labels = round(rows * max(float(s.labels.mean()) for s in sets))
    return site.count(rows, max(s.longest for s in sets), labels, backward=False)


def _trained(site: Site, work: Training, scope: Any, moved: int, state: float) -> tuple[int, float]:
    """Training weights of which `moved` move, with optimizer state of `state` bytes for each of these."""
    how = {"autocast": work.autocast, "dropout": work.dropout, "scope": scope}
    held = site.baseline + site.warm + site.weight_bytes
    held += round(moved * (site.dtype.itemsize + state + 2 * (site.dtype == torch.bfloat16)))
    if site.smallest:
        labels = work.labels // max(1, work.rows)
        return held + site.count(1, work.widest, labels, checkpointing=True, **how).peak, 0.0
    rows = work.rows * work.passes
    at_once = int(min(rows, max(1, usual(torch.device(models.device()))[0] // work.widest)))
    batch = site.count(at_once, work.widest, work.labels * work.passes * at_once // rows, **how)
    step = site.speed.seconds(batch) * rows * work.width / (at_once * work.widest)
    step += moved * 4 * 5 / site.speed.bytes  # gradient norm and clipping, weight and two states
    return held + batch.peak, work.steps * step


def _measured(site: Site, wild: bool) -> tuple[int, float]:
    """The scoring pass and the completions, as on a CPU; an accelerator takes what there is and no less than this.

    Of a model that is `wild`, as unlearning may leave it, completions are taken to have no end, where memory is asked.
    """
    asked, config = site.asked, site.config.get_text_config()
    rows = 1 if site.smallest else max(1, ON_CPU // asked.longest)
    passed = site.count(rows, asked.longest, 1, backward=False)
    row = asked.prompts.longest + asked.room
    together = 1 if site.smallest else max(1, min(asked.prompts.items, ON_CPU * SLOTS_PER_TOKEN // row))
    used = together * ((row if wild else asked.prompts.longest) + GROWTH)
    cache = round(cache_bytes(config, used, site.dtype.itemsize) * (HEAP if models.device() == "cpu" else 1))
    bytes_ = site.baseline + site.warm + site.weight_bytes + max(CHUNK * 4 * LOGITS_HELD + passed.peak, cache)
    tokens = asked.fed + asked.prompts.items * float(asked.prompts.tokens.mean() if asked.prompts.items else 0)
    labels = asked.texts.total + asked.prompts.total
    head = labels * int(config.vocab_size)
    seconds = site.speed.seconds(passed) * tokens / (rows * asked.longest)
    seconds += head * (2 * int(config.hidden_size) / site.speed.flops + 16 / site.speed.bytes)
    turns = float(asked.prompts.labels.max(initial=0)) * math.ceil(asked.prompts.items / together)
    return bytes_, seconds + turns * passed.operations / site.speed.operations


def _attributed(site: Site, scope: Any) -> list[tuple[int, float]]:
    """Stage 1 of SIMU, of scopes that look for critical neurons, or for as many weights."""
    if getattr(scope, "weights", "") == "simu":
        scope = load("scope", "simu")()
    if getattr(scope, "neurons", "") not in ("critical", "random") or not hasattr(scope, "masks"):
        return []
    forget, config = site.lengths("forget"), site.config.get_text_config()
    rows, depth = 1 if site.smallest else max(1, STREAM // forget.longest), int(config.num_hidden_layers)
    passed = site.count(rows, forget.longest, 256)
    once = site.count(rows, forget.longest, 1, backward=False)
    positions = forget.total * scope.m * (2 if scope.mask == "forget-only" else 1)
    # Each layer's neurons are scaled in turn, the layers above run, and gradients flow back to it: half the depth and
    # two passes, so a forward pass a layer, and the head with its gradient.
    seconds = positions * depth * site.speed.seconds(once) / (rows * forget.longest)
    seconds += positions * depth * int(config.vocab_size) * (4 * int(config.hidden_size) / site.speed.flops)
    seconds += positions * depth * int(config.vocab_size) * 16 / site.speed.bytes
    bytes_ = site.baseline + site.warm + site.weight_bytes + passed.peak + CHUNK * 4 * 6
    return [(bytes_, seconds)]


def _scored(site: Site, scope: Any) -> list[tuple[int, float]]:
    """Gradients of all weights, item by item, of scopes that rank single weights by them; both sets' and the scores."""
    sets = getattr(scope, "looks_at", ())
    if not sets:
        return []
    forget = site.lengths("forget")
    passed = site.count(1, forget.longest, round(float(forget.labels.mean())))
    held = site.baseline + site.warm + site.weight_bytes + 4 * site.weights * (len(sets) + 2)
    return [(held + passed.peak, len(sets) * forget.items * site.speed.seconds(passed))]
