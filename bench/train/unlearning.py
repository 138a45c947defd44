"""Unlearning: any objective with any optimizer on any scope, through the one loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.api import LossTerms, Objective, Optimizer, Schedule, Scope, Selection
from bench.contracts import LM, Context
from bench.errors import UsageError
from bench.model.precision import Precision, arithmetic
from bench.needs import sets_of
from bench.train import spread
from bench.train.batches import in_batches, logps_of, sampled_cross_entropies
from bench.train.draws import own_draws
from bench.train.loop import Carried, Curve, Diverged, fit
from bench.train.masking import adapted, trainable
from bench.train.parts import Drawn, Part, Room
from bench.train.remainders import stepping
from bench.train.resume import Checkpoint
from bench.train.steps import Steps
from bench.train.tracking import Log


def unlearn(
    context: Context,
    objective: Objective,
    optimizer: Optimizer,
    scope: Scope,
    schedule: Schedule,
    trace: int = 20,
    precision: Precision = "float32",
    log: Log | None = None,
    curve: Curve | None = None,
    watched: Context | None = None,
    probe: Callable[[], dict[str, float]] | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Curve, int]:
    """Run a gradient method on `context.lm` in place.

    One epoch is one pass over the forget set in random order; each forget item meets one retain item drawn uniformly
    with replacement, as in TOFU, SOUL and open-unlearning.

    Args:
        trace: points on the way, beside the start, at which forgetting and keeping are probed; 0 is none.
        precision: "mixed" runs the passes under autocast; bfloat16 weights are seen by themselves.
        log: gets the lines of the training curve as they are made.
        curve: an empty one to fill, for a thread that looks on.
        watched: whose sets the probes look at, where they are others than those that are trained on.
        probe: what is called at those points in place of the probe of forgetting and keeping.
        checkpoint: where a run that was cut off goes on.

    Warns:
        UserWarning: an optimizer that clips its steps weight by weight (it has `clipped`, the share of the last step)
            clipped nearly all or nearly none over the run.

    Returns:
        The training curve and the number of weights that could move.

    Raises:
        Diverged: the loss stopped being finite.
        UsageError: the forget set is empty, or the retain set is and the objective needs it.
    """
    lm = context.lm
    lm.model.eval()
    with arithmetic(precision, lm.device):
        target = context.target() if context.target and schedule.reference == "target" else None
        steps = Steps.of(context, objective, _drawn(context, schedule, sets_of(objective)), start=target)
    room = Room(lm, steps.sets, schedule.batch_size, precision == "mixed")
    labels = torch.Generator(lm.device).manual_seed(int(context.stream("sampled labels").integers(2**62)))
    spread.check(optimizer)
    with (
        own_draws(context.stream("draws")),
        adapted(scope, context),
        trainable(lm.model, selected(context, scope, steps)) as own,
    ):
        moved = sum(p.numel() for p in own)
        with room, spread.spread(lm, own) as (shared, held):

            def loss(part: Part, done: float) -> LossTerms:
                return objective.loss(steps.step(shared.model, room.batches(part), part, done, not room.pressed))

            def curvature(parts: Sequence[Part], done: float) -> tuple[Iterator[Tensor], int]:
                if getattr(optimizer, "curvature", "") == "hutchinson":
                    return (_twice_differentiable(loss, part, done) for part in parts), 1
                return sampled_cross_entropies(shared.model, [[*room.batches(part).values()] for part in parts], labels)

            probed = (probe or trade_off(watched or context, shared, precision)) if trace else None
            curve = fit(
                shared, held, stepping(held, optimizer.build), steps.drawn, loss, room=room,
                warmup=schedule.warmup, clip=schedule.clip, stop=schedule.stop, autocast=precision == "mixed",
                name="unlearning", progress=context.progress, probe=probed,
                points=trace, curvature=curvature, after=steps.after, log=log, curve=curve,
                checkpoint=checkpoint, carried=_carried(steps, labels),
            )  # fmt: skip
    if not all(bool(torch.isfinite(p).all()) for p in lm.model.parameters()):
        raise Diverged("unlearning left weights that are not finite")
    _warn_of_clipping([line["clipped"] for line in curve.lines if "clipped" in line], optimizer)
    return curve, moved


def _carried(steps: Steps, labels: torch.Generator) -> Carried:
    """What steps know of those before: an objective's state, which sets are read together, labels that were sampled."""

    def put(found: dict[str, Any]) -> None:
        steps.put(found["steps"])
        labels.set_state(found["labels"])

    return Carried(lambda: {"steps": steps.kept(), "labels": labels.get_state()}, put)


def _drawn(context: Context, schedule: Schedule, sets: Sequence[str]) -> list[Drawn]:
    """The batches of a run: passes over the forget set in random order, each item with a retain item drawn at random.

    Where a pass has another number of items than the set, passes go on where the one before ended: no item comes for
    the third time before all have come twice.

    Raises:
        UsageError: a set that items are drawn from is empty.
    """
    retain = "retain" in sets
    for name, items in (("forget", context.forget), ("retain", context.retain if retain else [None])):
        if not items:
            raise UsageError(f"{context.task}: the {name} set is empty, so there is nothing to unlearn with")
    random, count = context.stream("batches"), len(context.forget)
    wanted = schedule.drawn(count)
    places = np.concatenate([random.permutation(count) for _ in range(math.ceil(wanted / count))])[:wanted]
    order = [
        chunk.tolist()
        for each in np.split(places, schedule.epochs)
        for chunk in np.array_split(each, schedule.steps(count) // schedule.epochs)
    ]
    partners = [random.integers(0, max(1, len(context.retain)), len(chunk)).tolist() for chunk in order]
    return [{"forget": f, "retain": r} if retain else {"forget": f} for f, r in zip(order, partners, strict=True)]


def selected(context: Context, scope: Scope, steps: Steps) -> Selection:
    """What the scope selects; the start model, where one is kept, gets weights of its own for that."""
    selection = spread.same(lambda: scope.select(context))
    steps.start.own(selection)
    return selection


def _twice_differentiable(loss: Callable[[Part, float], LossTerms], part: Part, done: float) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):  # the only attention that torch can differentiate twice
        return loss(part, done).total * part.share


def _warn_of_clipping(shares: Sequence[float], optimizer: Optimizer) -> None:
    """Warn where curvature decided nothing: every weight moved by the learning rate, or none came near it."""
    share = float(np.mean(shares)) if shares else 0.5
    if 0.01 <= share <= 0.99:
        return
    what = "were those of sign descent" if share > 0.99 else "stayed far below the learning rate"
    gamma = getattr(optimizer, "gamma", None)
    remedy = "larger" if share > 0.99 else "smaller"
    mend = "" if gamma is None else f" Take a {remedy} gamma than {gamma:g}: --set METHOD.gamma=NUMBER."
    warnings.warn(f"{share:.2%} of the weights were clipped over the run, so its steps {what}.{mend}", stacklevel=2)


def trade_off(context: Context, lm: LM, precision: Precision, sample: int = 64) -> Callable[[], dict[str, float]]:
    """A probe of where a run stands between forgetting and keeping: the mean over a sample of p(answer)^(1/labels)."""
    random = context.stream("trace")
    samples = {
        name: [items[i] for i in random.permutation(len(items))[:sample]]
        for name, items in (("forget", context.forget), ("retain", context.retain))
        if items
    }
    lengths = {name: torch.tensor([len(item.answer) for item in items]) for name, items in samples.items()}
    with arithmetic(precision, lm.device):
        batches = {name: list(in_batches(lm, items, range(len(items)), sample)) for name, items in samples.items()}

    def probe() -> dict[str, float]:
        with arithmetic(precision, lm.device):
            logps = {name: logps_of(lm, items, batches[name]).cpu() for name, items in samples.items()}
        return {f"{name} probability": (logps[name] / lengths[name]).exp().mean().item() for name in samples}

    return probe
