"""Gradient difference. Liu et al. 2022, arXiv:2203.12817; for TOFU Maini et al. 2024, arXiv:2401.06121, section 4.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective, param

if TYPE_CHECKING:
    from bench.contracts import Step


def gradient_difference(forget: Tensor, retain: Tensor, forget_weight: float, retain_weight: float) -> Tensor:
    """Claim: ascent on the forget set does less harm when descent on the retain set holds the model in place.

    L = -forget_weight CE(forget) + retain_weight CE(retain), CE the mean over the batch's labels of
    -log p(y_t | x, y_<t).

    Args:
        forget: cross-entropy of the forget batch, a scalar over label positions [B, T]; prompt and padding never count.
        retain: the same of the retain batch.
        forget_weight: weight of the ascent.
        retain_weight: weight of the descent.

    Returns:
        The loss, a scalar.
    """
    return retain_weight * retain - forget_weight * forget


@objective("graddiff")
@dataclass(frozen=True)
class GradDiff:
    """Ascent on the forget set with descent on the retain set.

    Defaults: both weights are 1 in TOFU and open-unlearning.

    Deviations: SOUL (arXiv:2404.18239) tunes the retain weight for each optimizer, 0.3 with AdamW and 2 with Sophia, so
    its first-order and second-order rows differ by more than the optimizer; here they have one weight.
    """

    reference: ClassVar[bool] = False

    forget_weight: float = param(1.0, "weight of the forget set's ascent", ge=0)
    retain_weight: float = param(1.0, "weight of the retain set's descent", ge=0, search=[1.0, 2.0, 5.0])

    def loss(self, step: Step) -> LossTerms:
        forget, retain = step.forget.cross_entropy(), step.retain.cross_entropy()
        total = gradient_difference(forget, retain, self.forget_weight, self.retain_weight)
        return LossTerms(total, {"forget": forget, "retain": retain})


method(
    "fo-graddiff",
    "gradient difference, first order (arXiv:2401.06121)",
    objective="graddiff",
    optimizer="adamw",
    family="ascent",
)
method(
    "so-graddiff",
    "gradient difference, second order (arXiv:2404.18239)",
    objective="graddiff",
    optimizer="sophia",
    family="ascent",
)
