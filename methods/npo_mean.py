"""NPO by the log-ratio a token, as in the code of SOUL. Jia et al. 2024, arXiv:2404.18239."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional as F

from bench.api import LossTerms, objective, param
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Labels, Step


def mean_negative_preference(forget: Labels, reference: Tensor, beta: float) -> Tensor:
    """Claim: by the log-ratio a token, ascent fades later, and long answers fade no sooner than short ones.

    L = -(2 / beta) mean_t log sigmoid(-beta r_i(t)), r_i = (log p(y_i | x_i) - log p_start(y_i | x_i)) / n_i,
        over the labels t of the batch, n_i the labels of answer i(t).

    At p = p_start it is (2 / beta) log 2 with the gradient of ascent on the cross-entropy.

    Args:
        forget: log-probabilities of the forget answers, [B, T].
        reference: log-probability of each whole answer under the start model [B], without gradient.
        beta: inverse temperature, greater than 0.

    Returns:
        The mean over the labels of the batch, a scalar.
    """
    ratios = (forget.sums() - reference) / forget.counts()
    return forget.mean(-(2 / beta) * F.logsigmoid(-beta * ratios)[:, None] * forget.mask)


@objective("npo-soul")
@dataclass(frozen=True)
class MeanNPO:
    """NPO by the log-ratio a token, as SOUL's and WAGLE's code have it, with descent on the retain set.

    Defaults: beta 0.1 as in both; retain weight 1 as in WAGLE's TOFU settings, where SOUL's code has 0.

    Deviations: NPO's paper sums over tokens, see `npo`. SOUL's code puts one number a batch through the sigmoid, its
    mean log-ratio over all tokens, so that an item's push depends on its neighbours and a batch cannot be run in
    parts. Here each answer has its own, weighed by its tokens: value and gradient agree at the start model, for
    batches of one, and wherever the answers' ratios agree, and the value is never more than beta / 4 times their
    variance above SOUL's.
    """

    reference: ClassVar[bool] = True

    beta: float = param(0.1, "inverse temperature; towards 0 it is gradient ascent", gt=0, search=[0.05, 0.1, 0.5])
    retain_weight: float = param(1.0, "weight of the retain set's descent", ge=0, search=[1.0, 2.0, 5.0])

    def loss(self, step: Step) -> LossTerms:
        forget = mean_negative_preference(step.forget, step.reference, self.beta)
        return with_retain(step, forget, self.retain_weight)
