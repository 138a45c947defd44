"""Weighted gradient ascent. Wang et al. 2025, arXiv:2502.19301, section 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective, param
from methods.graddiff import gradient_difference

if TYPE_CHECKING:
    from bench.contracts import Labels, Step


def confident_cross_entropy(labels: Labels, beta: float) -> Tensor:
    """Claim: ascent does its harm where a token is improbable already, because its gradient goes with 1 / p; weights
    that fall with p take that away.

    CE_w = mean_t -p_t^beta log p_t, p_t = p(y_t | x, y_<t), over all labels; no gradient goes through the weight. The
    method climbs it: L = -forget_weight CE_w(forget) + retain_weight CE(retain).

    At beta = 0 it is the cross-entropy, and the method gradient difference. At beta = 1 the gradient of a term is that
    of p_t itself.

    Args:
        labels: log-probabilities of a batch's labels [B, T]; prompt and padding never count.
        beta: how strongly the weight follows confidence.

    Returns:
        The mean over the labels, a scalar.
    """
    return labels.mean(-(beta * labels.logp.detach()).exp() * labels.logp)


@objective("wga")
@dataclass(frozen=True)
class WGA:
    """Ascent on the forget set, each token weighted by its own probability, with descent on the retain set.

    Defaults: beta and both weights are open-unlearning's 1. In the paper beta is called alpha.

    Deviations: as in open-unlearning the mean is over labels, where the paper sums over the tokens of an answer.
    """

    reference: ClassVar[bool] = False

    beta: float = param(1.0, "power of the probability in a token's weight; 0 is gradient difference", ge=0)
    forget_weight: float = param(1.0, "weight of the forget set's ascent", ge=0)
    retain_weight: float = param(1.0, "weight of the retain set's descent", ge=0)

    def loss(self, step: Step) -> LossTerms:
        forget, retain = confident_cross_entropy(step.forget, self.beta), step.retain.cross_entropy()
        total = gradient_difference(forget, retain, self.forget_weight, self.retain_weight)
        return LossTerms(total, {"forget": forget, "retain": retain})


method(
    "fo-wga",
    "gradient ascent weighted by each token's probability, first order (arXiv:2502.19301)",
    objective="wga",
    optimizer="adamw",
    family="ascent",
)
