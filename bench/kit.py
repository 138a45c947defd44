"""What the author of a method needs, in one place.

For a loss everything comes with the step (`bench.contracts.Step`). This is for transforms, and for losses that run the
model themselves:

    collate, label_logps, answer_logps     items to a padded batch; log-probabilities of labels, and of whole answers
    layers, chosen                         the decoder layers of any family, by index: their projections and neurons
    stream                                 a random stream by name (a cell's own are `context.stream(name)`)
    frozen                                 a copy of the start model that never moves
    train                                  the loop that all gradient methods share, with its curve and trade-off
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from bench.api import Optimizer, Schedule, Scope
from bench.contracts import LM, Context
from bench.keys import stream as stream
from bench.model.architecture import chosen as chosen
from bench.model.architecture import layers as layers
from bench.train.batches import answer_logps as answer_logps
from bench.train.batches import collate as collate
from bench.train.batches import label_logps as label_logps
from bench.train.unlearning import unlearn


def frozen(lm: LM) -> LM:
    """A copy of a model that takes no gradients: a second model in memory, so only where nothing smaller does.

    An objective that needs what the start model says asks for that (`bench.needs`), which is kept without a copy.
    """
    model = copy.deepcopy(lm.model).requires_grad_(False)
    return dataclasses.replace(lm, model=model)  # type: ignore[type-var]


def train(context: Context, objective: Any, optimizer: Optimizer, schedule: Schedule, scope: Scope) -> None:
    """Train `context.lm` in place, as the gradient methods are.

    One epoch is one pass over `context.forget`, whatever that holds: to train on something else, hand over a context
    with other sets (`dataclasses.replace`). Curve, trade-off, precision and trackers are the cell's.

    Args:
        objective: anything with `loss(step)`, and with `reference`, `retain` or `needs` where it asks for something.
    """
    course = context.course
    _, course.moved = unlearn(
        context, objective, optimizer, scope, schedule, trace=course.trace, precision=course.precision,
        log=course.log, curve=course.curve,
    )  # fmt: skip
