"""Gradient ascent. Jang et al. 2023, arXiv:2210.01504; for TOFU Maini et al. 2024, arXiv:2401.06121, section 4.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective

if TYPE_CHECKING:
    from bench.contracts import Step


def gradient_ascent(forget: Tensor) -> Tensor:
    """Claim: a model forgets what it is trained to find improbable.

    L = -CE(forget), CE the mean over the labels of the batch of -log p(y_t | x, y_<t).

    Args:
        forget: cross-entropy of the forget batch, a scalar: mean over label positions [B, T] where the mask is True;
            prompt and padding never count.

    Returns:
        The loss, a scalar. It has no lower bound, which is the method's weakness.
    """
    return -forget


@objective("ga")
@dataclass(frozen=True)
class GradientAscent:
    """Gradient ascent on the forget set's cross-entropy; the retain set is not looked at. It has no parameters."""

    reference: ClassVar[bool] = False
    retain: ClassVar[bool] = False

    def loss(self, step: Step) -> LossTerms:
        forget = step.forget.cross_entropy()
        return LossTerms(gradient_ascent(forget), {"forget": forget})


method(
    "fo-ga",
    "gradient ascent on the forget set, first order (arXiv:2210.01504)",
    objective="ga",
    optimizer="adamw",
    family="ascent",
)
method(
    "so-ga",
    "gradient ascent on the forget set, second order (arXiv:2404.18239)",
    objective="ga",
    optimizer="sophia",
    family="ascent",
)
