"""The one training loop: it teaches models and it drives every gradient method of unlearning."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor

from bench.api import LossTerms
from bench.contracts import LM, Progress
from bench.errors import BenchError
from bench.train.tracking import Log


class Diverged(BenchError):
    """A loss or a gradient stopped being finite: a result, not a crash."""


class Curve:
    """The course of a run: one line a step, and what a cheap probe saw at a few points on the way."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []
        self.trace: list[dict[str, float]] = []
        self.probing = 0.0  # seconds that the trace took

    def columns(self, limit: int = 100) -> dict[str, list[float]]:
        """Columns of at most `limit` evenly spaced steps, to five digits, and of the trace, named `trace ...`."""
        keep = np.unique(np.linspace(0, len(self.lines) - 1, min(limit, len(self.lines))).round().astype(int))
        found = _columns([self.lines[i] for i in keep])
        return found | {f"trace {name}": values for name, values in _columns([*self.trace]).items()}

    def look(self, step: int, probe: Callable[[], dict[str, float]]) -> None:
        """Add what the probe sees now to the trace."""
        started = time.monotonic()
        self.trace.append({"step": step, **probe()})
        self.probing += time.monotonic() - started


def _columns(lines: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    names = lines[0] if lines else {}
    return {name: [float(f"{line.get(name, math.nan):.5g}") for line in lines] for name in names}


def fit(
    lm: LM,
    parameters: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Any],
    loss: Callable[[Any, float], LossTerms],
    *,
    warmup: float,
    decay: str = "linear",
    clip: float = 1.0,
    autocast: bool = False,
    name: str = "training",
    progress: Progress | None = None,
    probe: Callable[[], dict[str, float]] | None = None,
    points: int = 10,
    curvature: Callable[[Any, float], tuple[Tensor, int]] | None = None,
    log: Log | None = None,
    curve: Curve | None = None,
) -> Curve:
    """One step a batch: linear warm-up, then linear or cosine decay of the learning rate to zero.

    `loss` maps a batch and the share of the run that is done to the terms; whatever parameters it moves were chosen
    before. With `clip` > 0 the global norm of the gradients is bounded. `probe` is called before the first step and at
    `points` evenly spaced ones, and makes the curve's trace. `curvature` gives an optimizer that asks for it
    (`curvature_due`) the loss of its curvature estimate and the number of labels in it. `log` gets every line of the
    curve as it is made; `curve` is an empty one to fill, for a thread that looks on.

    Raises:
        Diverged: the loss or the gradient norm is not finite; the message says at which step.
    """
    accelerator = Accelerator(cpu=lm.device.type == "cpu")
    prepared: AcceleratedOptimizer = accelerator.prepare_optimizer(optimizer, device_placement=False)
    total = len(batches)
    rises = max(1, round(warmup * total))

    def rate(step: int) -> float:
        if step < rises:
            return (step + 1) / rises
        left = (total - step) / max(1, total - rises)
        return left if decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    curve = Curve() if curve is None else curve
    watched = {round(total * k / points) for k in range(points)} if probe else set()
    for step, batch in enumerate(batches):
        if step in watched and probe:
            _settle(lm.device)
            curve.look(step, probe)
        prepared.zero_grad()
        if curvature and getattr(optimizer, "curvature_due", False):
            optimizer.update_curvature(*curvature(batch, step / total))  # type: ignore[attr-defined]
        with torch.autocast(lm.device.type, torch.bfloat16, enabled=autocast):
            terms = loss(batch, step / total)
        accelerator.backward(terms.total)
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if not bool(torch.isfinite(terms.total) & torch.isfinite(norm)):
            raise Diverged(f"{name} diverged at step {step + 1} of {total}: the loss or its gradient is not finite")
        if clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        line: dict[str, float] = {
            "step": step + 1,
            "lr": float(scheduler.get_last_lr()[0]),
            "gradient_norm": norm.item(),
        }
        prepared.step()
        scheduler.step()
        line |= {key: value.item() for key, value in terms.parts.items()}
        clipped = getattr(optimizer, "clipped", None)
        if clipped is not None:
            line["clipped"] = float(clipped)
        curve.lines.append(line)
        if log:
            log(line, step + 1)
        if progress:
            progress(name, step + 1, total)
    if probe:
        _settle(lm.device)
        curve.look(total, probe)
    return curve


def _settle(device: torch.device) -> None:
    """Wait for what an accelerator still works on, so that a probe is not charged with the steps before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
