"""Representation misdirection (RMU). Li et al. 2024, arXiv:2403.03218, section 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.api import LossTerms, Selection, hidden, method, objective, param, scope
from bench.errors import UsageError
from methods.scopes import Layers

if TYPE_CHECKING:
    from bench.contracts import Context, Step
    from bench.needs import Need


def apart(states: Tensor, wanted: Tensor) -> Tensor:
    """Claim: what an early layer says of the forget set can be driven to a random direction, where later layers find
    nothing to work with, while what it says of the retain set is held in place.

    L = mean_i mean_t |h_it - c u|^2 / D over the forget set
        + retain_weight mean_i mean_t |h_it - h_start,it|^2 / D over the retain set

    with h the D hidden states behind the layer at the labels t of answer i, c the steering coefficient and u a random
    vector of length 1, drawn once.

    Args:
        states: hidden states at each label [N, D].
        wanted: where they should be [N, D] or [D], without gradient.

    Returns:
        The mean squared difference of each label [N].
    """
    return (states.float() - wanted.float()).square().mean(-1)


def control_vector(width: int, length: float, random: np.random.Generator) -> Tensor:
    """[width] uniform(0, 1) in every coordinate, scaled to `length`."""
    drawn = torch.from_numpy(random.random(width))
    return (drawn * (length / drawn.norm())).float()


@objective("rmu")
@dataclass(frozen=True)
class RMU:
    """Steer what a layer holds of the forget set to a random direction, and keep what it holds of the retain set.

    Defaults: layer, steering coefficient and retain weight are the paper's for Zephyr-7B: 7 of 32, 6.5 and 1200,
    and fo-rmu moves layers 5 to 7 (scope rmu). open-unlearning has 2 and 1 for the same layer and moves all weights.

    Deviations: the states are those at the answers' labels; the paper, whose sets are plain texts, takes all tokens.
    The squared distance is divided by D, as in the authors' code, for which the paper's numbers were chosen.
    open-unlearning divides each answer's sum S_i by all label counts n_j of its batch in turn, so that its term is
    mean(S) mean(1 / n) and long answers count for more: as_in = "open-unlearning".

    Cost: layers above the steered one and the head never run.
    """

    reference: ClassVar[bool] = False

    layer: int = param(7, "decoder layer behind which states are steered; negative from the end")
    steering: float = param(6.5, "length of the random direction", gt=0)
    retain_weight: float = param(1200.0, "weight of the retain set's states; with 0 that set is not seen", ge=0)
    as_in: str = param(
        "paper",
        "'open-unlearning' takes its product of means over the batch, which must then be run as a whole",
        choices=("paper", "open-unlearning"),
    )

    @property
    def retain(self) -> bool:
        """Whether retain items are drawn."""
        return self.retain_weight > 0

    @property
    def needs(self) -> Need:
        """The states behind the layer, and the start model's of the retain set."""
        return hidden(self.layer, *(["retain"] if self.retain else []))

    def loss(self, step: Step) -> LossTerms:
        states = step.hidden("forget")
        towards = control_vector(states.shape[-1], self.steering, step.stream("control vector")).to(states.device)
        forget = self._mean(step, "forget", apart(states, towards))
        if not self.retain:
            return LossTerms(forget, {"forget": forget})
        retain = self._mean(step, "retain", apart(step.hidden("retain"), step.start_hidden("retain")))
        return LossTerms(forget + self.retain_weight * retain, {"forget": forget, "retain": retain})

    def _mean(self, step: Step, which: str, values: Tensor) -> Tensor:
        if self.as_in == "paper":
            return step.answer_means(which, values).mean()
        if step.totals:
            raise UsageError(
                "rmu.as_in='open-unlearning' is a product of means over the batch, and this one does not fit into "
                "memory as a whole or is shared out. Take a smaller batch_size, one process, or as_in='paper'."
            )
        return step.rows(which, values).sum(-1).mean() * (1 / step.batches[which].filled.sum(-1)).mean()


@scope("rmu")
@dataclass(frozen=True)
class UpToSteered:
    """Attention projections and MLP of the layer that RMU steers and of the two below it, nothing else.

    Defaults: the paper's layers 5 to 7; set them with the objective's `layer`.

    Deviations: the authors' code moves the down-projections of these layers alone.
    """

    layers: str = param("5-7", "layers that may move: indices and ranges such as 0,2-4, negative from the end")

    def select(self, context: Context) -> Selection:
        return Layers(self.layers).select(context)


method(
    "fo-rmu",
    "hidden states of the forget set steered to a random direction, first order (arXiv:2403.03218)",
    objective="rmu",
    optimizer="adamw",
    scope="rmu",
    family="representation",
)
