"""Weights of whole models, trained further, subtracted and mixed: fine-tuning, Golatkar et al. 2019, arXiv:1911.04933;
task vectors, Ilharco et al. 2022, arXiv:2212.04089; interpolation, Wortsman et al. 2021, arXiv:2109.01903."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.api import Schedule, param, transform
from bench.kit import CrossEntropy, looking, train
from methods.adamw import AdamW
from methods.ga import GradientAscent
from methods.graddiff import GradDiff
from methods.npo import NPO
from methods.scopes import All

if TYPE_CHECKING:
    from bench.contracts import LM, Context

LOSSES = {"ga": GradientAscent, "graddiff": GradDiff, "npo": NPO}


@transform(
    "task-vector",
    "the forget set is learnt once more and the change subtracted (arXiv:2212.04089)",
    family="arithmetic",
)
@dataclass(frozen=True)
class TaskVector:
    """Fine-tuning on the forget set finds a direction in weight space; the model goes the other way.

    Claim: if the way to know a task better is a vector of weights, its opposite is the way to know it less.

    theta = theta_target - scale (theta_ft - theta_target), theta_ft the target after cross-entropy on the forget set.

    No decay of weights, which would be part of the vector. The curve is that of the fine-tuning; the trade-off is that
    of the straight way from the target to the result.

    Defaults: rate and passes are those of TOFU's fine-tuning (arXiv:2401.06121); scale 1 is the whole vector, the
    paper chooses it between 0 and 1 on held-out data.

    Deviations: the paper starts from a model that has not been trained on the task. Here the target knows the forget
    set already, so the vector is what is left to learn of it, and short.

    Cost: a pass forward and backward for each batch of forget items, none of the retain set. One copy of the weights
    while it trains, two while weights are subtracted.
    """

    scale: float = param(
        1.0, "how far the model goes against the vector; 0 is the target", ge=0, search=[0.5, 1.0, 2.0]
    )
    lr: float = param(1e-5, "learning rate of the fine-tuning", gt=0, search=(5e-7, 2e-4, "rate"))
    epochs: int = param(5, "passes over the forget set", ge=1)
    batch_size: int = param(4, "forget items in a step", ge=1)

    def __call__(self, context: Context) -> LM:
        start = _weights(context.lm)
        schedule = Schedule(epochs=self.epochs, batch_size=self.batch_size)
        train(context, CrossEntropy(), AdamW(lr=self.lr, weight_decay=0.0), schedule, All(), traced=False)
        return walked(context, start, -self.scale)


@transform(
    "interpolation", "a share of the way from the target to an unlearned model (arXiv:2109.01903)", family="arithmetic"
)
@dataclass(frozen=True)
class Interpolation:
    """A gradient method unlearns too much on purpose, and the model goes a share of the straight way there.

    Claim: between two models that share a start, weights can be mixed without leaving the good ones, and most of what
    an over-eager method broke comes back before what it made forget does.

    theta = theta_target + share (theta_unlearned - theta_target).

    The field has no one meaning of weight interpolation; this is WiSE-FT's, with unlearning in place of fine-tuning.
    The curve is that of the unlearning; the trade-off is that of the straight way from the target to the result.

    Defaults: half the way, as WiSE-FT advises where nothing is held out to choose by; rate, decay and schedule of
    `fo-graddiff`, whose loss it is.

    Cost: that of the loss it unlearns with, by AdamW. One copy of the weights while it trains, two while they are
    mixed.
    """

    share: float = param(
        0.5, "of the way; 0 is the target, 1 the unlearned model", ge=0, le=1, search=[0.25, 0.5, 0.75, 1.0]
    )
    loss: str = param("graddiff", "what it unlearns with, all its parameters at their defaults", choices=(*LOSSES,))
    lr: float = param(5e-6, "learning rate", gt=0, search=(5e-7, 2e-4, "rate"))
    epochs: int = param(5, "passes over the forget set", ge=1)
    batch_size: int = param(4, "forget items in a step, each paired with one retain item", ge=1)

    def __call__(self, context: Context) -> LM:
        start = _weights(context.lm)
        schedule = Schedule(epochs=self.epochs, batch_size=self.batch_size)
        train(context, LOSSES[self.loss](), AdamW(lr=self.lr), schedule, All(), traced=False)
        return walked(context, start, self.share)


@transform("finetune", "the target trained further on the retain set alone (arXiv:1911.04933)", family="arithmetic")
@dataclass(frozen=True)
class Finetune:
    """Training of the target goes on with the retain set alone: the forget set is left to fade.

    Claim: what is no longer rehearsed is forgotten by itself.

    L = CE(retain), the mean over the labels of the batch of -log p(y_t | x, y_<t); the forget set is not looked at.

    The baseline that costs least thought: it harms little and, where nothing drives the forget set out, forgets little.

    Defaults: rate of TOFU's fine-tuning (arXiv:2401.06121). One pass over the retain set, which beside forget10 has
    nine times as many steps as a pass over the forget set; decay and warm-up as for gradient methods.

    Cost: a pass forward and backward for each batch of retain items.
    """

    lr: float = param(1e-5, "learning rate", gt=0, search=(5e-7, 2e-4, "rate"))
    epochs: int = param(1, "passes over the retain set", ge=1, search=[1, 2, 5])
    batch_size: int = param(4, "retain items in a step", ge=1)

    def __call__(self, context: Context) -> LM:
        schedule = Schedule(epochs=self.epochs, batch_size=self.batch_size)
        train(context, CrossEntropy(), AdamW(lr=self.lr), schedule, All(), on=context.retain)
        return context.lm


@torch.no_grad()
def walked(context: Context, start: Sequence[Tensor], share: float) -> LM:
    """Move the model to start + share (now - start) by equal steps, at each of which the trade-off is looked at.

    Args:
        start: weights in the order of the model's parameters.
        share: of the way; below 0 it leads away from where the model is now.
    """
    there, look, points = _weights(context.lm), looking(context), max(1, context.course.trace)
    for point in range(points + 1):
        for weight, a, b in zip(context.lm.model.parameters(), start, there, strict=True):
            weight.copy_(torch.lerp(a.float(), b.float(), share * point / points))
        look(point)
    return context.lm


def _weights(lm: LM) -> list[Tensor]:
    return [weight.detach().clone() for weight in lm.model.parameters()]
