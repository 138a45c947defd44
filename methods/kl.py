"""KL minimisation. Maini et al. 2024, arXiv:2401.06121, section 4.1; SOUL's: Jia et al. 2024, arXiv:2404.18239."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective, param, start_logits

if TYPE_CHECKING:
    from bench.contracts import Step


def kl_minimisation(forget: Tensor, drift: Tensor, forget_weight: float, retain_weight: float) -> Tensor:
    """Claim: what the model predicts on the retain set need not be right to be worth keeping, only what it was.

    L = -forget_weight CE(forget) + retain_weight KL(p_start || p), KL the mean over the labels of the retain batch of
        sum_v p_start(v) log(p_start(v) / p(v)), over the whole vocabulary.

    At p = p_start the second term is 0 and has no gradient: it only holds back what has begun to move.

    Args:
        forget: cross-entropy of the forget batch, a scalar over its labels.
        drift: mean over the labels of the retain batch of how far the model has moved, a scalar.
        forget_weight: weight of the ascent.
        retain_weight: weight of the divergence.

    Returns:
        The loss, a scalar. It has no lower bound.
    """
    return retain_weight * drift - forget_weight * forget


def divergence(logits: Tensor, start: Tensor) -> Tensor:
    """KL(p_start || p) at each label, in nats.

    Args:
        logits: the model's [N, V].
        start: those of the model that unlearning started from [N, V], without gradient.

    Returns:
        [N], 0 where both say the same.
    """
    before, now = start.log_softmax(-1), logits.log_softmax(-1)
    return (before.exp() * (before - now)).sum(-1)


def cross_entropy(logits: Tensor, start: Tensor) -> Tensor:
    """H(p, p_start) = KL(p || p_start) + H(p) at each label, in nats; its gradient sharpens p even at p = p_start.

    Args:
        logits: the model's [N, V].
        start: those of the model that unlearning started from [N, V], without gradient.

    Returns:
        [N].
    """
    return -(logits.softmax(-1) * start.log_softmax(-1)).sum(-1)


_DISTANCES = {"kl": divergence, "cross-entropy": cross_entropy}


@objective("kl")
@dataclass(frozen=True)
class KL:
    """Ascent on the forget set, with the retain set's predictions held to the start model's.

    Defaults: both weights are 1 in TOFU's paper and code.

    Deviations: only label positions count, each alike; the paper averages over the positions of each text first, and
    TOFU's and open-unlearning's code take prompts and padding in. `distance=cross-entropy` is what SOUL's code calls
    KL: H(p, p_start), which pulls the model to the start model's likeliest tokens. Its 1e-12 within the logarithm is
    not needed in log space.
    """

    reference: ClassVar[bool] = False
    needs: ClassVar = (start_logits("retain"),)

    forget_weight: float = param(1.0, "weight of the forget set's ascent", ge=0)
    retain_weight: float = param(1.0, "weight of the divergence on the retain set", ge=0, search=[1.0, 2.0, 5.0])
    distance: str = param(
        "kl", "what holds the predictions: kl or, as in SOUL's code, cross-entropy", choices=(*_DISTANCES,)
    )

    def loss(self, step: Step) -> LossTerms:
        far = _DISTANCES[self.distance](step.logits("retain"), step.start_logits("retain"))
        forget, retain = step.forget.cross_entropy(), step.mean("retain", far)
        total = kl_minimisation(forget, retain, self.forget_weight, self.retain_weight)
        return LossTerms(total, {"forget": forget, "retain": retain})


method(
    "fo-kl",
    "ascent held by the KL divergence from the start model, first order (arXiv:2401.06121)",
    objective="kl",
    optimizer="adamw",
    family="ascent",
)
