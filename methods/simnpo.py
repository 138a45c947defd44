"""SimNPO. Fan et al. 2024, arXiv:2410.07163, eq. 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional as F

from bench.api import LossTerms, method, objective, param
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Step


def simple_negative_preference(logp: Tensor, lengths: Tensor, beta: float, margin: float) -> Tensor:
    """Claim: how well an answer is still known says better where to push than how far it is from the start model.

    L = -(2 / beta) mean_i log sigmoid(-(beta / n_i) log p(y_i | x_i) - margin), n_i the tokens of answer i, in nats.

    Its gradient is that of ascent on the log-probability a token, each answer weighed by
    2 sigmoid((beta / n_i) log p(y_i) + margin): with no margin it tends to that ascent as beta does to 0, and an answer
    that has become improbable no longer pushes.

    Args:
        logp: log-probability of each answer [B], summed over its tokens and EOS; prompt and padding never count.
        lengths: number of these tokens [B].
        beta: inverse temperature, greater than 0.
        margin: 0 or more; an answer weighs 1 where its log-probability a token is -margin / beta.

    Returns:
        The mean over the B answers, a scalar.
    """
    return -(2 / beta) * F.logsigmoid(-beta * logp / lengths - margin).mean()


@objective("simnpo")
@dataclass(frozen=True)
class SimNPO:
    """Negative preference optimisation by the log-probability a token, without a reference model.

    The paper's gamma is `margin` here, for Sophia has a gamma.

    Defaults: beta 4.5, no margin and forget weight 0.125, the authors' for TOFU forget10 and open-unlearning's; for
    forget05 they take 2.5 and 0.1375.

    Deviations: none from the paper. open-unlearning's delta stands within the product with beta: delta = margin / beta.
    """

    reference: ClassVar[bool] = False

    beta: float = param(
        4.5, "inverse temperature; towards 0 it is ascent on the log-probability a token", gt=0, search=[2.5, 3.5, 4.5]
    )
    margin: float = param(0.0, "the paper's gamma", ge=0)
    forget_weight: float = param(0.125, "weight of the preference term", ge=0, search=[0.125, 0.25, 0.5])
    retain_weight: float = param(1.0, "weight of the retain set's descent; 0 is the paper's plain SimNPO", ge=0)

    def loss(self, step: Step) -> LossTerms:
        forget = simple_negative_preference(step.forget.sums(), step.forget.counts(), self.beta, self.margin)
        return with_retain(step, forget, self.retain_weight, self.forget_weight)


method(
    "fo-simnpo",
    "negative preference optimisation without a reference, first order (arXiv:2410.07163)",
    objective="simnpo",
    optimizer="adamw",
    family="preference",
)
