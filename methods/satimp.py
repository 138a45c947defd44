"""SatImp. Yang et al. 2025, arXiv:2505.11953, section 5: saturation and importance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective, param
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Labels, Step


def reweighted_ascent(labels: Labels, saturation: float, importance: float) -> Tensor:
    """Claim: what is forgotten already needs no more ascent (saturation), and what every model says anyway deserves
    none (importance); a smooth weight can leave out both.

    L = forget_weight mean_t w_t log p_t + retain_weight CE(retain), w_t = p_t^saturation (1 - p_t)^importance and
    p_t = p(y_t | x, y_<t), the mean over all labels of the forget batch; no gradient goes through w_t.

    At importance = 0 it is WGA with beta = saturation, at 0 and 0 gradient difference. The weight is largest at
    p = saturation / (saturation + importance), 5/6 by default, and 0.067 there.

    Args:
        labels: log-probabilities of a batch's labels [B, T]; prompt and padding never count.
        saturation: power of p.
        importance: power of 1 - p.

    Returns:
        The mean over the labels, a scalar, never above 0.
    """
    known = labels.logp.detach()
    weight = (saturation * known).exp() * (-known.expm1()).clamp(min=0) ** importance
    return labels.mean(weight * labels.logp)


@objective("satimp")
@dataclass(frozen=True)
class SatImp:
    """Ascent on the forget set, weighted by saturation and importance of each token, with descent on the retain set.

    Defaults: saturation 5 and importance 1 are the authors' (beta1 and beta2 there, which are AdamW's names here). The
    weights 1 and 0.1 are those of the authors' notes and class in open-unlearning, whose configuration has them the
    other way round, 0.1 and 1: as the token weights never exceed 0.067, hardly anything is forgotten with these.

    Deviations: as in open-unlearning the mean is over labels.
    """

    reference: ClassVar[bool] = False

    saturation: float = param(5.0, "power of the probability in a token's weight", ge=0, search=[1.0, 5.0])
    importance: float = param(1.0, "power of one minus the probability; 0 is WGA", ge=0)
    forget_weight: float = param(1.0, "weight of the forget set's ascent", ge=0)
    retain_weight: float = param(0.1, "weight of the retain set's descent", ge=0, search=[0.1, 0.5, 1.0])

    def loss(self, step: Step) -> LossTerms:
        forget = reweighted_ascent(step.forget, self.saturation, self.importance)
        return with_retain(step, forget, self.retain_weight, self.forget_weight)


method(
    "fo-satimp",
    "gradient ascent weighted by saturation and importance, first order (arXiv:2505.11953)",
    objective="satimp",
    optimizer="adamw",
    family="ascent",
)
