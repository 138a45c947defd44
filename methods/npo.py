"""Negative preference optimisation. Zhang et al. 2024, arXiv:2404.05868, eq. 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional as F

from bench.api import LossTerms, method, objective, param

if TYPE_CHECKING:
    from bench.contracts import Step


def negative_preference(logp: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Claim: ascent that fades for what is already forgotten does not destroy the model.

    L = -(2 / beta) mean_i log sigmoid(-beta (log p(y_i | x_i) - log p_ref(y_i | x_i))), in nats.

    At p = p_ref it is (2 / beta) log 2 and its gradient that of ascent on the summed log-probabilities; it falls to 0
    as an answer becomes improbable, and its gradient tends to ascent's as beta does to 0.

    Args:
        logp: log-probability of each answer [B], summed over its tokens and EOS; prompt and padding never count.
        reference: the same under the model that unlearning started from [B], without gradient.
        beta: inverse temperature, greater than 0.

    Returns:
        The mean over the B answers, a scalar.
    """
    return -(2 / beta) * F.logsigmoid(-beta * (logp - reference)).mean()


@objective("npo")
@dataclass(frozen=True)
class NPO:
    """Negative preference optimisation on the forget set with descent on the retain set.

    Defaults: beta is the paper's 0.1. The paper's NPO has no retain term (weight 0) and its NPO-RT has weight 1, which
    is open-unlearning's default and ours.

    Deviations: from the paper none; the log-ratio is summed over the tokens of an answer, where SOUL's code takes the
    mean over tokens.
    """

    reference: ClassVar[bool] = True

    beta: float = param(0.1, "inverse temperature; towards 0 it is gradient ascent", gt=0, search=[0.05, 0.1, 0.5])
    retain_weight: float = param(
        1.0, "weight of the retain set's descent; 0 is the paper's plain NPO", ge=0, search=[1.0, 2.0, 5.0]
    )

    def loss(self, step: Step) -> LossTerms:
        forget = negative_preference(step.forget.sums(), step.reference, self.beta)
        if self.retain_weight == 0:
            return LossTerms(forget, {"forget": forget})
        retain = step.retain.cross_entropy()
        return LossTerms(forget + self.retain_weight * retain, {"forget": forget, "retain": retain})


method(
    "fo-npo",
    "negative preference optimisation, first order (arXiv:2404.05868)",
    objective="npo",
    optimizer="adamw",
    family="preference",
)
method(
    "so-npo",
    "negative preference optimisation, second order (arXiv:2404.18239)",
    objective="npo",
    optimizer="sophia",
    family="preference",
)
