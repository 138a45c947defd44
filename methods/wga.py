"""Weighted gradient ascent. Wang et al. 2025, arXiv:2502.19301, section 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective, param
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Labels, Step


def confident_ascent(labels: Labels, beta: float) -> Tensor:
    """Claim: ascent does its harm where a token is improbable already, because its gradient goes with 1 / p; weights
    that fall with p take that away.

    L = forget_weight mean_t p_t^beta log p_t + retain_weight CE(retain), p_t = p(y_t | x, y_<t), the mean over all
    labels of the forget batch; no gradient goes through the weight p_t^beta.

    At beta = 0 it is gradient difference. At beta = 1 the gradient of a term is that of p_t itself.

    Args:
        labels: log-probabilities of a batch's labels [B, T]; prompt and padding never count.
        beta: how strongly the weight follows confidence.

    Returns:
        The mean over the labels, a scalar, never above 0.
    """
    return labels.mean((beta * labels.logp.detach()).exp() * labels.logp)


@objective("wga")
@dataclass(frozen=True)
class WGA:
    """Ascent on the forget set, each token weighted by its own probability, with descent on the retain set.

    Defaults: beta and both weights are open-unlearning's 1. In the paper beta is called alpha.

    Deviations: as in open-unlearning the mean is over labels, where the paper sums over the tokens of an answer.
    """

    reference: ClassVar[bool] = False

    beta: float = param(
        1.0, "power of the probability in a token's weight; 0 is gradient difference", ge=0, search=[0.5, 1.0, 2.0]
    )
    forget_weight: float = param(1.0, "weight of the forget set's ascent", ge=0)
    retain_weight: float = param(1.0, "weight of the retain set's descent", ge=0, search=[1.0, 2.0, 5.0])

    def loss(self, step: Step) -> LossTerms:
        return with_retain(step, confident_ascent(step.forget, self.beta), self.retain_weight, self.forget_weight)


method(
    "fo-wga",
    "gradient ascent weighted by each token's probability, first order (arXiv:2502.19301)",
    objective="wga",
    optimizer="adamw",
    family="ascent",
)
