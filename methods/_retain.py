"""What most objectives end with: descent on the retain set beside their own term."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from bench.api import LossTerms

if TYPE_CHECKING:
    from bench.contracts import Step


def with_retain(step: Step, forget: Tensor, retain_weight: float, forget_weight: float = 1.0) -> LossTerms:
    """forget_weight F + retain_weight CE(retain); the retain batch is not run where it has no weight.

    Args:
        forget: the term of the forget set, a scalar.
    """
    if retain_weight == 0:
        return LossTerms(forget_weight * forget, {"forget": forget})
    retain = step.retain.cross_entropy()
    return LossTerms(forget_weight * forget + retain_weight * retain, {"forget": forget, "retain": retain})
