"""Refusals, also called preference optimisation (PO). Maini et al. 2024, arXiv:2401.06121, section 4.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bench.api import LossTerms, alternatives, method, objective, param
from methods._retain import with_retain

if TYPE_CHECKING:
    from bench.contracts import Step


@objective("idk")
@dataclass(frozen=True)
class IDK:
    """Fine-tuning on refusals in place of the forget set's answers, with descent on the retain set.

    Claim: a model that has been taught to say that it does not know says nothing else, and no ascent has harmed it.

    L = CE(refusal) + retain_weight CE(retain), CE the mean over the labels of the batch of -log p(y_t | x, y_<t), with
        the forget set's prompts x and another refusal y in each epoch.

    The true answers never enter, so that what they say may well stay known under the refusals.

    Defaults: retain weight 1, as in TOFU's paper; SOUL (arXiv:2404.18239) has 1 with AdamW and 5 with Sophia on TOFU.

    Deviations: the paper's two means weigh alike whatever their lengths, as here; TOFU's code takes one mean over the
    tokens of both, so that short refusals weigh less. A refusal ends with the end-of-sequence token, which SOUL's code
    leaves out, and has an attention mask of its own. SOUL draws one refusal an item for all epochs.

    Cost: the forget answers themselves are not run.
    """

    reference: ClassVar[bool] = False
    needs: ClassVar = (alternatives("refusal"),)

    retain_weight: float = param(1.0, "weight of the retain set's descent", ge=0, search=[1.0, 2.0, 5.0])

    def loss(self, step: Step) -> LossTerms:
        return with_retain(step, step.alternative.cross_entropy(), self.retain_weight)


method(
    "fo-idk",
    "refusals taught in place of the answers, first order (arXiv:2401.06121)",
    objective="idk",
    optimizer="adamw",
    family="refusal",
)
