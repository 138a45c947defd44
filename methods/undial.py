"""UNDIAL. Dong et al. 2024, arXiv:2402.10052, section 3: self-distillation with adjusted logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional as F

from bench.api import LossTerms, method, objective, param, start_logits
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Step


def adjusted_distillation(logits: Tensor, start: Tensor, answers: Tensor, beta: float) -> Tensor:
    """Claim: a target that never moves, the model's own prediction with the true token made unlikely, forgets without
    the instability of ascent.

    L = mean_t -sum_v q_t(v) log p_t(v) + retain_weight CE(retain), q_t = softmax(z_start,t - beta e_y), e_y one at the
    true token and 0 elsewhere, the mean over all labels of the forget batch.

    The gradient in the logits is p - q, and 0 where the model predicts q; at beta = 0 that is the start model itself.
    As beta grows q becomes what the start model says of all tokens but the true one.

    Args:
        logits: the model's, at each label [N, V].
        start: those of the model that unlearning started from [N, V], without gradient.
        answers: the labels [N].
        beta: what is taken from the true token's logit.

    Returns:
        One cross-entropy a label [N], in nats; its least value is the entropy of q, not 0.
    """
    lowered = start.scatter_add(-1, answers[:, None], start.new_full((len(answers), 1), -beta))
    return F.cross_entropy(logits, lowered.softmax(-1), reduction="none")


@objective("undial")
@dataclass(frozen=True)
class UNDIAL:
    """Self-distillation on the forget set towards the start model's prediction with the true token made unlikely.

    Defaults: beta is open-unlearning's 10, and its authors' notes there search 3, 10 and 30; the paper sees no retain
    set, so the weight of that is 0. The paper trains a LoRA of rank 8 at a learning rate of 1e-4: undial+adamw+lora.

    Deviations: the mean is over the labels of the forget set. open-unlearning also counts prompt and padding, where its
    label of -100 lowers the logit of the hundredth token from the end of the vocabulary; that cannot be asked for here.
    """

    reference: ClassVar[bool] = False
    needs: ClassVar = start_logits("forget")

    beta: float = param(
        10.0,
        "what is taken from the true token's logit; 0 keeps the start model's prediction",
        ge=0,
        search=[3.0, 10.0, 30.0],
    )
    retain_weight: float = param(
        0.0, "weight of the retain set's descent; with 0 that set is not seen", ge=0, search=[0.0, 1.0]
    )

    @property
    def retain(self) -> bool:
        """Whether retain items are drawn."""
        return self.retain_weight > 0

    def loss(self, step: Step) -> LossTerms:
        each = adjusted_distillation(
            step.logits("forget"), step.start_logits("forget"), step.answers("forget"), self.beta
        )
        return with_retain(step, step.mean("forget", each), self.retain_weight)


method(
    "fo-undial",
    "self-distillation with the true token's logit lowered, first order (arXiv:2402.10052)",
    objective="undial",
    optimizer="adamw",
    family="distillation",
)
