"""Maximising entropy (ME+GD). Yuan et al. 2024, arXiv:2410.08109, section 4.1."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective, param
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Step


def distance_to_uniform(logits: Tensor, forwards: bool = True) -> Tensor:
    """Claim: a model that has never seen an answer does not know it; what it says there should be anyone's guess.

    L = forget_weight mean_t KL(p_t || uniform) + retain_weight CE(retain), the mean over labels of the forget batch,
    KL(p || uniform) = log V - H(p) with V tokens and H the entropy.

    The divergence is 0 with zero gradient where all logits are equal, and log V where the model is sure. Its gradient
    in logit v is p(v) (log p(v) + H).

    Args:
        logits: the model's, at each label [N, V].
        forwards: otherwise KL(uniform || p) = -log V - mean_v log p(v), whose gradient is p - 1 / V.

    Returns:
        One divergence a label [N], in nats.
    """
    logp, size = logits.log_softmax(-1), logits.shape[-1]
    return (logp.exp() * logp).sum(-1) + log(size) if forwards else -logp.mean(-1) - log(size)


@objective("me")
@dataclass(frozen=True)
class MaximiseEntropy:
    """As much entropy as there can be on the forget set's answers, with descent on the retain set.

    Defaults: weights 0.1 and 1, those of the authors' runs on TOFU.

    Deviations: the authors' code (sail-sg/closer-look-LLM-unlearning) takes KL(uniform || p) where the paper has
    KL(p || uniform), so the published numbers are of the former: as_in = "closer-look". Both are least at the uniform
    distribution, but the former asks for every token of the vocabulary alike to become possible, also where the model
    is sure. Its floor of 1e-12 under probabilities is left out, for logarithms are taken before exponentials.
    """

    reference: ClassVar[bool] = False

    forget_weight: float = param(
        0.1, "weight of the distance to the uniform distribution", ge=0, search=[0.1, 0.5, 1.0]
    )
    retain_weight: float = param(1.0, "weight of the retain set's descent", ge=0, search=[1.0, 2.0, 5.0])
    as_in: str = param(
        "paper", "'closer-look' takes KL(uniform || p), as the authors' code does", choices=("paper", "closer-look")
    )

    def loss(self, step: Step) -> LossTerms:
        forget = step.mean("forget", distance_to_uniform(step.logits("forget"), self.as_in == "paper"))
        return with_retain(step, forget, self.retain_weight, self.forget_weight)


method(
    "fo-me",
    "maximise entropy with descent on the retain set (ME+GD), first order (arXiv:2410.08109)",
    objective="me",
    optimizer="adamw",
    family="distillation",
)
