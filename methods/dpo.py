"""Direct preference optimisation for unlearning. Rafailov et al. 2023, arXiv:2305.18290, eq. 7; with refusals Zhang et
al. 2024, arXiv:2404.05868; with answers of the model's own Mekala et al. 2024, arXiv:2409.13474."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional as F

from bench.api import LossTerms, alternatives, method, objective, param, start_logps
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Step


def preference(preferred: Tensor, rejected: Tensor, beta: float, scaled: bool) -> Tensor:
    """Claim: a forget answer fades best while another answer to the same question takes its place.

    L = -(2 / beta) mean_i log sigmoid(beta (r(y'_i) - r(y_i))), r(y) = log p(y | x_i) - log p_start(y | x_i),
        y_i the forget answer and y'_i the other one.

    At p = p_start it is (2 / beta) log 2 with the gradient of mean_i (log p(y_i) - log p(y'_i)), to which it tends as
    beta does to 0. It falls to 0 as the preferred answer's lead grows, so that its push fades.

    Args:
        preferred: log-ratio of each preferred answer [B], summed over its tokens and EOS.
        rejected: that of each forget answer [B].
        beta: inverse temperature, greater than 0.
        scaled: whether there is the factor 2 / beta; without it the gradient at the start is beta / 2 times as large.

    Returns:
        The mean over the B pairs, a scalar.
    """
    mean = -F.logsigmoid(beta * (preferred - rejected)).mean()
    return 2 / beta * mean if scaled else mean


@objective("dpo")
@dataclass(frozen=True)
class DPO:
    """Another answer of the same kind is preferred to the forget answer, with descent on the retain set.

    Log-ratios against the start model are summed over the tokens of an answer. The other answers are the data's own
    false ones, none of which is measured, or answers to the most similar questions of the retain set.

    Defaults: beta 0.1 and retain weight 1 as in open-unlearning, whose factor 2 / beta is NPO's.

    Deviations: DPO's own loss has no such factor, nor has TOFU's, whose code with beta 0.1 has no retain term either:
    `scaled=false` and `retain_weight=0` bring them back.
    """

    reference: ClassVar[bool] = True
    needs: ClassVar = (alternatives("plausible"), start_logps("alternative"))

    beta: float = param(
        0.1,
        "inverse temperature; towards 0 it is ascent on one answer and descent on the other",
        gt=0,
        search=[0.05, 0.1, 0.5],
    )
    retain_weight: float = param(1.0, "weight of the retain set's descent", ge=0, search=[1.0, 2.0, 5.0])
    scaled: bool = param(True, "whether the preference term has the factor 2 / beta")

    def loss(self, step: Step) -> LossTerms:
        preferred = step.alternative.sums() - step.start_logps("alternative")
        rejected = step.forget.sums() - step.reference
        return with_retain(step, preference(preferred, rejected, self.beta, self.scaled), self.retain_weight)


@objective("idkdpo")
@dataclass(frozen=True)
class IdkDPO(DPO):
    """A refusal is preferred to the forget answer, with descent on the retain set.

    Defaults: those of `dpo`; open-unlearning's IdkDPO has them too.

    Deviations: as `dpo`. A refusal is drawn anew in every epoch, as in open-unlearning.
    """

    needs: ClassVar = (alternatives("refusal"), start_logps("alternative"))


@objective("altpo")
@dataclass(frozen=True)
class AltPO(DPO):
    """What the start model says too is preferred to the forget answer, with descent on the retain set.

    Defaults: those of `dpo`; AltPO's authors search beta in 0.05, 0.1, 0.5 and the retain weight in 1, 2, 5.

    Deviations: the answers are sampled from the start model at temperature 1, five a question as in the paper, which
    asks an instructed model for them in a prompt; one of them is drawn in every epoch. Where the model says nothing but
    the true answer the temperature rises until it says something else, be it nonsense.

    Cost: sampling the answers before the first step.
    """

    needs: ClassVar = (alternatives("sampled"), start_logps("alternative"))


method(
    "fo-dpo",
    "preference for another plausible answer, first order (arXiv:2305.18290)",
    objective="dpo",
    optimizer="adamw",
    family="preference",
)
method(
    "fo-idkdpo",
    "preference for a refusal, first order (arXiv:2404.05868)",
    objective="idkdpo",
    optimizer="adamw",
    family="preference",
)
method(
    "fo-altpo",
    "preference for what the model says too, first order (arXiv:2409.13474)",
    objective="altpo",
    optimizer="adamw",
    family="preference",
)
