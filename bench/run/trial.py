"""One trial of a tuning: a method with one setting, run on validation data and measured where it might have stopped."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from bench.api import Score, make_task
from bench.contracts import Context, Progress
from bench.errors import BenchError
from bench.metrics._forms import harmonic_mean
from bench.model.models import LM
from bench.run.cell import make_context
from bench.run.compose import Composed
from bench.run.jobs import Busy
from bench.run.measuring import measured
from bench.run.plan import Prepared, Request, hashes, trained_from
from bench.run.prepare import load_prepared
from bench.score.scoring import build, item_table, score_items
from bench.store import trials
from bench.store.record import CONTROLS, RETRAIN, TARGET
from bench.store.trials import Point, Trial
from bench.store.versions import MEASURE
from bench.train.draws import own_draws
from bench.train.loop import Diverged
from bench.train.unlearning import unlearn

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Where a run is measured: stopping there is part of what is chosen."""
EIGHTHS = 8
UTILITY = "model utility"
SMALLEST_GAP = 0.05
"""A memorisation metric that target and retrain differ less by says nothing of what is between them."""
NORMAL = 2 * 1.96
LATER = ("probes", "measure")
"""What identities say since there were trials that did not; of those it is taken to be what it is now."""
ATTEMPTS = 2
"""A trial whose process was killed so often counts as failed."""


@dataclass(frozen=True)
class Tried:
    """What a worker is to run: a trial, or one point of a chosen setting with a fresh seed."""

    request: Request  # its source is the validation data
    task: str
    composed: Composed
    start: Prepared
    file: Path
    number: int
    seed: int
    chosen: Mapping[str, Any]
    fresh: bool = False

    @property
    def name(self) -> str:
        """What a line of progress calls it."""
        again = f" again, to {self.chosen.get('stop', 1.0):g}" if self.fresh else ""
        of = f"trial {self.number}{again}, " if self.number else ""
        return f"{self.task}/{self.composed.method.name}: {of}{self.request.data}, seed {self.seed}"

    @property
    def claim(self) -> str:
        """What it is held by while it runs."""
        stop = f"-stop{self.chosen.get('stop', 1.0):g}" if self.fresh else ""
        return f"{self.number}-{self.request.data}-{self.seed}{stop}"


def known(tried: Tried) -> Trial | None:
    """The trial where it has been run."""
    of = tried.request.data, tried.seed, tried.fresh
    empty = Trial(tried.composed.method.name, tried.number, tried.chosen, {}, *of)
    return next((t for t in trials.read(tried.file) if trials.same_run(t, empty)), None)


def run_trial(tried: Tried, progress: Progress) -> Trial:
    """Run it, unless it has been run, and keep it.

    Raises:
        Busy: another process is at it.
        BenchError: the anchors that it stands between are missing, or it is one and could not be measured. Nothing is
            kept then, for that is no fault of the setting.
    """
    with trials.claimed(tried.file, tried.claim) as mine:
        if not mine:
            raise Busy(f"{tried.name}: another process is at it")
        if (found := known(tried)) is not None:
            return found
        if tried.number:
            _anchors(tried)
        with _attempted(tried) as attempts:
            made = _made(tried, progress) if attempts <= ATTEMPTS else _empty(tried, "failed", _KILLED)
        if not tried.number and made.status != "ok":
            raise BenchError(f"{made.method} of {made.data}, seed {made.seed}: {made.error.strip().splitlines()[-1]}")
        trials.append(tried.file, made)
        return made


def give_up(tried: Tried) -> None:
    """Keep that its process was killed each time: a failed trial, which counts."""
    trials.append(tried.file, _empty(tried, "failed", _KILLED))


_KILLED = "its process was killed each time, most likely for want of memory"


@contextmanager
def _attempted(tried: Tried) -> Iterator[int]:
    """Count an attempt, in case that it is the last; one that ends, or that somebody stops, is taken back."""

    def stopped(*_: Any) -> None:
        trials.end_attempt(tried.file, tried.claim)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    attempts = trials.attempt(tried.file, tried.claim)
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stopped) if here else None
    try:
        yield attempts
    except KeyboardInterrupt:
        trials.end_attempt(tried.file, tried.claim)
        raise
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)
    trials.end_attempt(tried.file, tried.claim, attempts)


def _made(tried: Tried, progress: Progress) -> Trial:
    points: list[Point] = []
    seconds = {"unlearn": 0.0, "measure": 0.0}
    started = time.monotonic()
    status, error, updates = "ok", "", 0
    try:
        updates = _run(tried, points, seconds, progress)
    except Diverged as found:
        status, error = "diverged", str(found)
    except Exception as found:
        points.clear()
        status = "failed"
        error = str(found) if isinstance(found, BenchError) else "".join(traceback.format_exception(found))
    seconds["unlearn"] = time.monotonic() - started - seconds["measure"]
    rounded = {name: round(value, 2) for name, value in seconds.items()}
    empty = _empty(tried, status, error)
    return dataclasses.replace(empty, points=tuple(points), updates=updates, seconds=rounded)


def _empty(tried: Tried, status: Any, error: str) -> Trial:
    composed = tried.composed
    return Trial(
        composed.method.name, tried.number, tried.chosen, composed.said, tried.request.data, tried.seed, tried.fresh,
        status, error, identity=identity(tried), created=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def identity(tried: Tried) -> dict[str, Any]:
    """What a trial is made from, beside the parameters and the seed: data, start model, code."""
    found = trained_from(tried.request, tried.task, tried.composed, tried.start.key)
    metrics = {f"metric {name}": build(name).version for name in _names(tried.task)}
    asked = hashes(tried.task, tried.request.source)["probes"]
    measuring = dict(zip(LATER, (asked, MEASURE), strict=True))
    return {**found, **measuring, "task version": make_task(tried.task).version, **metrics}


def _run(tried: Tried, points: list[Point], seconds: dict[str, float], progress: Progress) -> int:
    """Fill `points`; gives the number of updates of the whole run."""
    method, parts = tried.composed.method, tried.composed.parts
    anchors = {} if method.name in CONTROLS else _anchors(tried)
    if method.control:
        lm = load_prepared(tried.request, tried.start)
        points.append(_point(tried, lm, 1.0, 0, anchors, None, seconds, progress))
        return 0
    context = make_context(tried.request, tried.start, tried.task, tried.seed, progress)
    context = dataclasses.replace(context, course=dataclasses.replace(context.course, trace=0))
    lm = cast(LM, context.lm)
    before = _weights(lm)

    def look(lm: LM, share: float, step: int) -> None:
        if share:
            points.append(_point(tried, lm, share, step, anchors, before, seconds, progress))
        else:  # from now on the weights that may move are parameters of their own
            before.clear()
            before.update(_weights(lm))

    if method.transform is not None:
        with own_draws(context.stream("draws")):
            lm = parts.get("transform", method.transform)(context)
        look(lm, 1.0, 0)
        return 0
    return _along(tried, context, look)


def _along(tried: Tried, context: Context, look: Callable[[LM, float, int], None]) -> int:
    """Run a gradient method and look at it at the shares of its run."""
    parts, lm = tried.composed.parts, cast(LM, context.lm)
    schedule = parts["schedule"]
    total = schedule.steps(len(context.forget))
    last = max(1, round(schedule.stop * total))
    wanted = {max(1, round(last * share)): share for share in ((1.0,) if tried.fresh else SHARES)}
    steps = iter([*sorted({round(last * k / EIGHTHS) for k in range(EIGHTHS)}), last])

    def probe() -> dict[str, float]:
        step = next(steps)
        if step == 0 or step in wanted:
            look(lm, wanted.get(step, 0.0) * schedule.stop, step)
        return {}

    made_of = (parts["objective"], parts["optimizer"], parts["scope"], schedule)
    unlearn(context, *made_of, trace=EIGHTHS, precision=tried.request.precision, probe=probe)
    return total


def _anchors(tried: Tried) -> dict[str, Mapping[str, float | None]]:
    """Scores of target and retrain of the same data and seed."""
    found = {}
    for name in CONTROLS:
        kept = trials.anchors(trials.read(trials.path(tried.file.parent, name)))
        if (scores := kept.get((name, tried.request.data, tried.seed))) is None:
            raise BenchError(f"the {name} of {tried.request.data}, seed {tried.seed}, has not been measured")
        found[name] = scores
    return found


def _point(
    tried: Tried,
    lm: LM,
    share: float,
    step: int,
    anchors: Mapping[str, Mapping[str, float | None]],
    before: Mapping[str, Tensor] | None,
    seconds: dict[str, float],
    progress: Progress,
) -> Point:
    started = time.monotonic()
    names = _names(tried.task)
    probes = make_task(tried.task)
    rows, _ = measured(tried.request, tried.task, lm, (), tried.composed.parts, _no_model, progress)
    found = score_items(item_table(rows, names), None, names)
    scores = {name: score.value for name, score in found.items()}
    memorised, utility = probes.memorisation, probes.headlines.get(UTILITY, "")
    if anchors:
        scores |= shares(scores, anchors[TARGET], anchors[RETRAIN], memorised, utility)
    moved = None if before is None or lm.attached else _moved(lm, before)
    seconds["measure"] += time.monotonic() - started
    errors = {name: error for name in memorised if (error := _error(found[name])) is not None}
    return Point(share, step, scores, errors, moved)


def shares(
    scores: Mapping[str, float | None],
    target: Mapping[str, float | None],
    retrain: Mapping[str, float | None],
    memorised: Any,
    utility: str,
) -> dict[str, float | None]:
    """Erased, kept, headline and the unbounded share of utility of one run between its anchors (`docs/statistics.md`).

    As the board forms them, with the metrics that tell target from retrain by at least `SMALLEST_GAP`.
    """
    ways = []
    for name in memorised:
        x, t, r = scores.get(name), target.get(name), retrain.get(name)
        if x is not None and t is not None and r is not None and t - r >= SMALLEST_GAP:
            ways.append(min(1.0, max(0.0, (t - x) / (t - r))))
    own, full = scores.get(utility), target.get(utility)
    share = own / full if own is not None and full else None
    if not ways or share is None:
        return {"erased": None, "kept": None, "headline": None, "utility share": share}
    erased, kept = _harmonic(ways), min(1.0, share)
    return {"erased": erased, "kept": kept, "headline": _harmonic([erased, kept]), "utility share": share}


def _harmonic(values: Sequence[float]) -> float:
    return float(harmonic_mean([np.array(value) for value in values]))


def _error(score: Score) -> float | None:
    """Standard error from a 95% interval."""
    return None if score.lo is None or score.hi is None else (score.hi - score.lo) / NORMAL


def _names(task: str) -> list[str]:
    """What is scored at a point: memorisation, utility, and headline scores that need no retrain model."""
    known = make_task(task)
    wanted = dict.fromkeys([*known.memorisation, *known.headlines.values()])
    return [name for name in wanted if not build(name).needs_retrain and name != "general_knowledge"]


def _weights(lm: LM) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in lm.model.named_parameters()}


def _moved(lm: LM, before: Mapping[str, Tensor]) -> float | None:
    """Euclidean distance between the weights and those before; None where these are not the same ones."""
    now = dict(lm.model.named_parameters())
    if not before.keys() <= now.keys():
        return None
    with torch.no_grad():
        parts = [(now[name].float() - old.float()).square().sum().item() for name, old in before.items()]
    return round(math.sqrt(math.fsum(parts)), 5)


def _no_model() -> LM:
    raise BenchError("trials are measured with the task's own probes alone")
