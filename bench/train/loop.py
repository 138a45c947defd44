"""The one training loop: it teaches models and it drives every gradient method of unlearning."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import LossTerms
from bench.contracts import LM, Progress
from bench.errors import BenchError
from bench.model.precision import autocast as low_precision
from bench.train import resume, spread
from bench.train.parts import Room
from bench.train.resume import ODD, Checkpoint
from bench.train.tracking import Log

LINES = 100
"""How many steps of a run its curve keeps."""


class Diverged(BenchError):
    """A loss or a gradient stopped being finite: a result, not a crash."""


class Curve:
    """The course of a run: lines of some steps, and what a cheap probe saw at a few points on the way."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []
        self.trace: list[dict[str, float]] = []
        self.probing = 0.0  # seconds that the trace took
        self.passes: dict[str, float] = {}  # how batches were run that memory did not hold as a whole

    def columns(self, limit: int = 100) -> dict[str, list[float]]:
        """Columns of at most `limit` evenly spaced steps, to five digits, and of the trace, named `trace ...`."""
        found = _columns([self.lines[i] for i in _spaced(len(self.lines), limit)])
        return found | {f"trace {name}": values for name, values in _columns([*self.trace]).items()}

    def look(self, step: int, probe: Callable[[], dict[str, float]]) -> None:
        """Add what the probe sees now to the trace."""
        started = time.monotonic()
        self.trace.append({"step": step, **probe()})
        self.probing += time.monotonic() - started


def _spaced(count: int, limit: int) -> list[int]:
    """At most `limit` evenly spaced indices of `count` things, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(limit, count)).round().astype(int)).tolist() if count else []


def _columns(lines: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    names = lines[0] if lines else {}
    return {name: [float(f"{line.get(name, math.nan):.5g}") for line in lines] for name in names}


def fit(
    lm: LM,
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Any],
    loss: Callable[[Any, float], LossTerms],
    *,
    warmup: float,
    decay: str = "linear",
    clip: float = 1.0,
    autocast: bool = False,
    stop: float = 1.0,
    name: str = "training",
    progress: Progress | None = None,
    probe: Callable[[], dict[str, float]] | None = None,
    points: int = 10,
    curvature: Callable[[Sequence[Any], float], tuple[Iterable[Tensor], int]] | None = None,
    room: Room | None = None,
    after: Callable[[Mapping[str, Tensor], float], None] | None = None,
    log: Log | None = None,
    curve: Curve | None = None,
    checkpoint: Checkpoint | None = None,
    carried: Carried | None = None,
) -> Curve:
    """One step a batch: linear warm-up, then linear or cosine decay of the learning rate to zero.

    It ends after the share `stop` of the steps, at the rate that a whole run has there.

    `loss` maps a batch and the share of the run that is done to the terms; whatever parameters it moves were chosen
    before. With `room` a batch is run in parts that fit, and `loss` is handed one part at a time. With `clip` > 0 the
    global norm of the gradients is bounded. `probe` is called before the first step and at `points` evenly spaced ones,
    and makes the curve's trace. `curvature` gives an optimizer that asks for it (`curvature_due`) the losses, of the
    parts of a batch, that its curvature estimate is made from, and the number of labels in them. `after` is told,
    behind every step, the terms of the whole batch and the share of the run that was done before it. `log` gets every
    line of the curve as it is made; `curve` is an empty one to fill, for a thread that looks on. A curve has at most
    `LINES` lines, evenly spaced: only for these is an accelerator waited for. With `checkpoint` the state of the run is
    written from time to time, and a run that finds one goes on there; `carried` is what its caller keeps from step to
    step beside weights and optimizer.

    Raises:
        Diverged: the loss or the gradient norm is not finite; the message says at which step.
        BenchError: not even one row of a batch fits into memory.
    """
    total = len(batches)
    last = max(1, round(stop * total)) if total else 0
    rises = max(1, round(warmup * total))

    def rate(step: int) -> float:
        if step < rises:
            return (step + 1) / rises
        left = (total - step) / max(1, total - rises)
        return left if decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    curve = Curve() if curve is None else curve
    watched = {round(last * k / points) for k in range(points)} if probe else set()
    lines = set(_spaced(last, LINES))
    first_bad = torch.full((), total)

    def terms_of(part: Any, done: float) -> LossTerms:
        # The cache holds every weight in bfloat16 until the way back, which is what checkpointing is there to spare.
        caching = room is None or not room.checkpointing
        with low_precision(lm.device, caching) if autocast else nullcontext():
            return loss(part, done)

    begun = 0
    if checkpoint and (state := checkpoint.begin(parameters)):
        try:
            begun, first_bad = _resumed(state, parameters, optimizer, scheduler, curve, carried)
        except (*ODD, RuntimeError) as error:
            raise BenchError(
                f"{checkpoint.file} is no state of this training ({type(error).__name__}: {error}). Remove it; the "
                "training then begins anew."
            ) from error
    for step, batch in enumerate(batches[begun:last], begun):
        if step in watched and probe:
            _settle(lm.device)
            curve.look(step, probe)
        terms = _gradient(parameters, optimizer, batch, step / total, terms_of, curvature, room)
        norm = spread.reduce_gradients(parameters)
        finite = torch.isfinite(terms.total) & torch.isfinite(norm)
        first_bad = first_bad.to(finite.device)
        first_bad = torch.where(finite, first_bad, first_bad.clamp(max=step))
        if (step in lines or lm.device.type == "cpu") and int(first_bad) < total:
            raise Diverged(
                f"{name} diverged at step {int(first_bad) + 1} of {total}: the loss or its gradient is not finite"
            )
        if clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        lr = float(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        if after:
            after(terms.parts, step / total)
        if step in lines:
            line = {"step": step + 1, "lr": lr, "gradient_norm": norm.item()}
            line |= {key: value.item() for key, value in terms.parts.items()}
            clipped = getattr(optimizer, "clipped", None)
            if clipped is not None:
                line["clipped"] = spread.share(float(clipped), parameters)
            curve.lines.append(line)
            if log:
                log(line, step + 1)
        if progress:
            progress(name, step + 1, last)
        if checkpoint and checkpoint.due:
            checkpoint.write(_state(step + 1, first_bad, parameters, optimizer, scheduler, curve, carried))
    if probe:
        _settle(lm.device)
        curve.look(last, probe)
    if room is not None:
        curve.passes = room.said()
    return curve


class Carried(NamedTuple):
    """What a caller of `fit` keeps from step to step: `kept()` gives it, `put(what)` sets it."""

    kept: Callable[[], dict[str, Any]]
    put: Callable[[dict[str, Any]], None]


def _state(
    step: int,
    first_bad: Tensor,
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
    curve: Curve,
    carried: Carried | None,
) -> dict[str, Any]:
    """All that the steps from here on depend on, and what is known of those before."""
    return {
        "step": step,
        "first bad": first_bad,
        "weights": [p.detach() for p in parameters],
        "optimizer": resume.of_optimizer(optimizer),
        "scheduler": scheduler.state_dict(),
        "draws": resume.draws(),
        "curve": {"lines": curve.lines, "trace": curve.trace, "probing": curve.probing},
        "carried": carried.kept() if carried else {},
    }


@torch.no_grad()
def _resumed(
    state: dict[str, Any],
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
    curve: Curve,
    carried: Carried | None,
) -> tuple[int, Tensor]:
    """Set everything to what it was; gives the steps that are done, and the first bad one so far."""
    for p, value in zip(parameters, state["weights"], strict=True):
        p.copy_(value)
    resume.into_optimizer(optimizer, state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    resume.draw_from(state["draws"])
    curve.lines[:], curve.trace[:] = state["curve"]["lines"], state["curve"]["trace"]
    curve.probing = state["curve"]["probing"]
    if carried:
        carried.put(state["carried"])
    return state["step"], state["first bad"]


def _gradient(
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    batch: Any,
    done: float,
    loss: Callable[[Any, float], LossTerms],
    curvature: Callable[[Sequence[Any], float], tuple[Iterable[Tensor], int]] | None,
    room: Room | None,
) -> LossTerms:
    """Put the gradient of a batch's loss into `.grad`, part by part, as small as memory asks for; gives the terms."""
    due = curvature is not None and getattr(optimizer, "curvature_due", False)
    while True:
        parts = [batch] if room is None else room.parts(batch)
        for p in parameters:
            p.grad = None
        try:
            if due and curvature:
                whole = [batch] if room is None else room.whole(batch)
                optimizer.update_curvature(*curvature(whole, done))  # type: ignore[attr-defined]
                due = False
            return _accumulated(parameters, parts, lambda part: _backward(part, loss(part, done)))
        except torch.OutOfMemoryError:
            if room is None or spread.size() > 1:  # the other processes wait for this one's passes
                raise
        room.shrink(parts)  # outside of the handler, which holds the tensors of what failed


def _backward(part: Any, terms: LossTerms) -> LossTerms:
    """Add the gradient of a part, weighted by its share of the batch, to `.grad`; gives the weighted terms."""
    share = getattr(part, "share", 1.0)
    (terms.total if share == 1 else terms.total * share).backward()
    return LossTerms(terms.total.detach() * share, {key: value.detach() * share for key, value in terms.parts.items()})


def _accumulated(
    parameters: Sequence[nn.Parameter], parts: Sequence[Any], backward: Callable[[Any], LossTerms]
) -> LossTerms:
    """Run every part; gradients of bfloat16 weights are summed in float32, for 8 bits would not hold the sum."""
    narrow = [p for p in parameters if p.dtype != torch.float32] if len(parts) > 1 else []
    sums: list[Tensor | None] = [None] * len(narrow)
    found: list[LossTerms] = []
    for part in parts:
        found.append(backward(part))
        for i, p in enumerate(narrow):
            if p.grad is not None:
                before = sums[i]
                sums[i] = p.grad.float() if before is None else before.add_(p.grad)
                p.grad = None
    for p, whole in zip(narrow, sums, strict=True):
        p.grad = None if whole is None else whole.to(p.dtype)
    values = torch.stack([torch.stack([t.total, *t.parts.values()]) for t in found]).sum(0)
    whole, *terms = spread.total(values).unbind()
    return LossTerms(whole, dict(zip(found[0].parts, terms, strict=True)))


def _settle(device: torch.device) -> None:
    """Wait for what an accelerator still works on, so that a probe is not charged with the steps before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
