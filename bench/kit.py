"""What the author of a method needs, in one place.

For a loss everything comes with the step (`bench.contracts.Step`). This is for transforms, and for losses that run the
model themselves:

    collate, label_logps, answer_logps     items to a padded batch; log-probabilities of labels, and of whole answers
    layers, chosen                         the decoder layers of any family, by index: their projections and neurons
    stream                                 a random stream by name (a cell's own are `context.stream(name)`)
    frozen                                 a copy of the start model that never moves
    train, CrossEntropy                    the loop that all gradient methods share, with its curve and trade-off; the
                                           loss of ordinary training
    looking                                a trade-off for what moves a model otherwise
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.api import LossTerms, Optimizer, Schedule, Scope
from bench.contracts import LM, Context, Encoded, Step
from bench.keys import stream as stream
from bench.model.architecture import chosen as chosen
from bench.model.architecture import layers as layers
from bench.train.batches import answer_logps as answer_logps
from bench.train.batches import collate as collate
from bench.train.batches import label_logps as label_logps
from bench.train.unlearning import trade_off, unlearn


def frozen(lm: LM) -> LM:
    """A copy of a model that takes no gradients: a second model in memory, so only where nothing smaller does.

    An objective that needs what the start model says asks for that (`bench.needs`), which is kept without a copy.
    """
    model = copy.deepcopy(lm.model).requires_grad_(False)
    return dataclasses.replace(lm, model=model)  # type: ignore[type-var]


@dataclass(frozen=True)
class CrossEntropy:
    """Descent on whatever is trained on, as in fine-tuning: an objective for `train`."""

    reference: ClassVar[bool] = False
    retain: ClassVar[bool] = False

    def loss(self, step: Step) -> LossTerms:
        """Mean over the labels of the batch of -log p."""
        found = step.forget.cross_entropy()
        return LossTerms(found, {"loss": found})


def train(
    context: Context,
    objective: Any,
    optimizer: Optimizer,
    schedule: Schedule,
    scope: Scope,
    on: Sequence[Encoded] | None = None,
    traced: bool = True,
) -> None:
    """Train `context.lm` in place, as the gradient methods are. Curve, precision and trackers are the cell's.

    Args:
        objective: anything with `loss(step)`, and with `reference`, `retain` or `needs` where it asks for something.
        on: what an epoch is a pass over, and what a step calls its forget batch; the forget set where it is None.
        traced: whether the trade-off between the context's two sets is followed. What moves the model once more
            afterwards follows its own way (`looking`).

    Raises:
        Diverged: the loss stopped being finite.
        UsageError: there is nothing to train on.
    """
    course, taught = context.course, context if on is None else dataclasses.replace(context, forget=on)
    _, course.moved = unlearn(
        taught, objective, optimizer, scope, schedule, trace=course.trace if traced else 0, log=course.log,
        precision=course.precision, curve=course.curve, watched=context,
    )  # fmt: skip


def looking(context: Context) -> Callable[[int], None]:
    """`look(step)` adds to the cell's trade-off where `context.lm` stands now between forgetting and keeping.

    It does nothing where nobody follows (`context.course`).
    """
    course = context.course
    if course.curve is None or not course.trace:
        return lambda step: None
    probe = trade_off(context, context.lm, course.precision)
    return lambda step: course.curve.look(step, probe)
