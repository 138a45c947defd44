"""Cross-entropy unlearning (CE-U). Yang 2025, arXiv:2503.01224, section 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import LossTerms, method, objective, param

if TYPE_CHECKING:
    from bench.contracts import Step


def cross_entropy_without(logits: Tensor, answers: Tensor) -> Tensor:
    """Claim: descent towards what the model itself would say were the true token impossible has no gradient that
    vanishes where a model is sure or explodes where it is not.

    L = mean_t KL(q_t || p_t) = mean_t -log(1 - p_t(y_t)), q_t = softmax(z_t with the true token's logit at -infinity),
    the mean over all labels of the forget batch but the first of each answer.

    Its gradient in the logits is p - q: p(y) at the true token, -p(v) p(y) / (1 - p(y)) at any other. It falls to 0 as
    the true token becomes improbable, and never asks for more.

    Args:
        logits: the model's, at each label [N, V].
        answers: the labels [N].

    Returns:
        One divergence a label [N], in nats; finite however sure the model is.
    """
    others = logits.scatter(-1, answers[:, None], -torch.inf).logsumexp(-1)
    own = logits.gather(-1, answers[:, None]).squeeze(-1)
    return F.softplus(own - others)  # log(1 + p / (1 - p)), exact where p is close to 0 and to 1


@objective("ceu")
@dataclass(frozen=True)
class CEU:
    """Descent on the forget set towards the model's own prediction without the true token; no retain set, no reference.

    Defaults: the first token of an answer is left alone, as a footnote of the paper has it: it is where the model
    says in what form it answers.

    Deviations: the paper writes the cross-entropy of q and p, with q held constant; we report it less the entropy of
    q, which has no gradient then, so that value and gradient belong together. The gradient is the same, and that of
    unlikelihood training (arXiv:1908.04319).
    """

    reference: ClassVar[bool] = False
    retain: ClassVar[bool] = False

    skip: int = param(1, "tokens at the beginning of an answer that are left alone, none or one", ge=0, le=1)

    def loss(self, step: Step) -> LossTerms:
        each = step.rows("forget", cross_entropy_without(step.logits("forget"), step.answers("forget")))
        labels = step.forget
        # Every answer has a first label, so what is left out of a part is in proportion to its rows, as its total is.
        total = (float(labels.mask.sum()) if labels.total is None else labels.total) - self.skip * len(each)
        forget = labels._replace(total=total or 1.0).mean(each[:, self.skip :])
        return LossTerms(forget, {"forget": forget})


method(
    "fo-ceu",
    "cross-entropy to the model's own prediction without the true token, first order (arXiv:2503.01224)",
    objective="ceu",
    optimizer="adamw",
    family="distillation",
)
