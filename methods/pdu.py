"""Primal-dual unlearning (PDU). Entesari et al. 2025, arXiv:2506.05314: constrained entropic unlearning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from bench.api import LossTerms, method, objective, param

if TYPE_CHECKING:
    from bench.contracts import Step


def logit_margin(logits: Tensor) -> Tensor:
    """Claim: keeping is a bound to be met and no term to be weighed; the weight that meets it is found on the way, and
    forgetting by flat logits never stalls as entropy does.

    L = mean_i mean_t m_it^2 + lambda (CE(retain) - bound), m = max_v z(v) - mean_v z(v), z the logits at the labels of
    the forget set. Behind each step lambda becomes max(0, lambda + dual_step (CE(retain) - bound)).

    m^2 is 0 where all logits are equal, where p is uniform; its gradient is 2 m (e_max - 1 / V).

    Args:
        logits: the model's, at each label [N, V].

    Returns:
        m^2 of each label [N].
    """
    return (logits.amax(-1) - logits.mean(-1)).square()


def dual_ascent(multiplier: Tensor, retain: Tensor, bound: float, rate: float) -> Tensor:
    """The multiplier after a step: up while the retain loss exceeds its bound, else down, at least to 0."""
    return (multiplier + rate * (retain - bound)).clamp(min=0)


@objective("pdu")
@dataclass(frozen=True)
class PDU:
    """Flat logits on the forget set, as long as the retain set's cross-entropy stays below a bound.

    Defaults: multiplier 100, dual step 5, bound 0.3 and a warm-up of half the run (5 epochs of 10) are those of the
    authors' runs on TOFU. The paper proposes 1 + tolerance times the start model's retain loss as the bound, which no
    default can know: set it for another model or task.

    Deviations: the multiplier is moved once a step, by the retain loss of the whole batch, as the paper's algorithm
    has it; open-unlearning moves it once a micro-batch, which is nearly a dual step that many times larger. It also
    takes the forget set's logits at the labels' own positions, one behind those that predict them.
    """

    reference: ClassVar[bool] = False

    bound: float = param(0.3, "what the retain set's mean cross-entropy may be at most", ge=0, search=[0.1, 0.3, 1.0])
    multiplier: float = param(
        100.0, "weight of the retain set at the start, and until the warm-up ends", ge=0, search=[10.0, 100.0]
    )
    dual_step: float = param(5.0, "how fast the weight follows the violated bound", ge=0)
    dual_warmup: float = param(0.5, "share of the run before the weight moves", ge=0, le=1)

    def begin(self) -> dict[str, float]:
        """The multiplier at the start."""
        return {"multiplier": self.multiplier}

    def loss(self, step: Step) -> LossTerms:
        forget = step.answer_means("forget", logit_margin(step.logits("forget"))).mean()
        retain, multiplier = step.retain.cross_entropy(), step.state["multiplier"].to(forget.device)
        total = forget + multiplier * (retain - self.bound)
        return LossTerms(total, {"forget": forget, "retain": retain, "multiplier": multiplier})

    def after(self, state: Mapping[str, Tensor], parts: Mapping[str, Tensor], done: float) -> dict[str, Tensor]:
        """The multiplier for the next step."""
        if done < self.dual_warmup:
            return {}
        return {"multiplier": dual_ascent(state["multiplier"], parts["retain"], self.bound, self.dual_step)}


method(
    "fo-pdu",
    "flat logits under a bound on the retain loss, primal-dual, first order (arXiv:2506.05314)",
    objective="pdu",
    optimizer="adamw",
    family="constrained",
)
