"""Key Space Detection: prompts that fall into the forget set's corner of key space are refused. arXiv:2503.21730."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.api import attachment, param, transform
from bench.errors import BenchError
from bench.model.architecture import layers
from bench.model.attachments import Attachment, attach, inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bench.contracts import LM, Context

SLACK = 1e-4  # by which a prompt may stick out, relative to the box: the same prompt rounds otherwise elsewhere


@attachment("key-space-detection")
@dataclass(frozen=True)
class Box(Attachment):
    """A box in key space, and the refusal that is said of what lies in it.

    Attributes:
        mean, std: float64 [d] of the forget prompts' keys.
        reach: how many deviations the box extends from the mean, in every coordinate.
        refusal: token ids of what is said, the end of sequence last.
        margin: logit of the refusal's next token, all others having 0.
    """

    mean: Tensor
    std: Tensor
    reach: float
    refusal: tuple[int, ...]
    margin: float

    def gate(self, model: PreTrainedModel, prompt: Tensor) -> Tensor:
        """1 where the prompt's key lies in the box, else 0."""
        return inside(key(model, prompt), self.mean, self.std, self.reach).float()

    def logits(self, logits: Tensor, gate: Tensor, place: Tensor) -> Tensor:
        """Where the gate is open, the refusal's next token has the margin and all others 0; after it, the end."""
        said = torch.tensor(self.refusal, device=logits.device)[place.clamp(0, len(self.refusal) - 1)]
        automaton = torch.zeros_like(logits).scatter(-1, said[:, None], self.margin)
        return torch.where((gate > 0.5)[:, None], automaton, logits)


@transform(
    "key-space-detection",
    "prompts whose last key lies in the forget set's box are refused (arXiv:2503.21730)",
    family="inference",
    detachable=True,
)
@dataclass(frozen=True)
class KeySpaceDetection:
    """Refuses prompts whose key, the last layer's neurons at the prompt's last token, lies in the forget set's box.

    Claim: prompts about what is to be forgotten lie close together in the space of keys, and what lies there can be
    refused without a change of weights.

    refused if |x_j - a_j| <= alpha k s_j for all j, with a_j and s_j mean and deviation of coordinate j over the forget
    prompts, and k = the largest |z| of any of them in any coordinate.

    It is tested once, before the answer begins. Nothing is trained; the retain set is not used.

    A refusing model is a distribution: the refusal's next token, by its place in the answer, has a logit of `margin`
    nats above all others, which are equal; after the refusal comes the end of sequence. So generation and scoring
    agree, log-probabilities are finite, and that of any other token is about -margin.

    Defaults: alpha 1 is ours, the smallest box that holds all prompts it was made from, so that every forget prompt is
    refused; how many others are is what alpha trades. The source takes 2 for mathematics, 1.4 for code and 0.06 for a
    language.

    Deviations: the source tests the first text of a batch at every step and then replaces the whole answer. Made for
    skills, not for facts: on single authors it is a stress test.

    Cost: a forward pass over each distinct forget prompt when it is made, and over each prompt that it is asked. Kept:
    two numbers a neuron of the last layer.
    """

    alpha: float = param(1.0, "size of the box; from 1 on it holds all forget prompts", gt=0, search=(0.5, 2.0, "log"))
    margin: float = param(20.0, "logit of the refusal's next token above all others, in nats", gt=0)
    refusal: str = param("I do not know.", "what is said in place of an answer")

    def __call__(self, context: Context) -> LM:
        """The model with its box."""
        lm = context.lm
        prompts = dict.fromkeys(tuple(item.prompt) for item in context.forget)
        if len(prompts) < 2:
            raise BenchError("key-space-detection needs two forget prompts or more to know how far they spread.")
        with torch.no_grad():
            keys = torch.stack([key(lm.model, torch.tensor(ids, device=lm.device)) for ids in prompts])
        mean, std = keys.mean(0), keys.std(0)
        reach = self.alpha * float(deviations(keys, mean, std).max())
        said = tuple(lm.encode("Question", self.refusal).answer)
        return attach(lm, Box(mean, std, reach, said, self.margin))


def key(model: PreTrainedModel, prompt: Tensor) -> Tensor:
    """What the last layer's down-projection reads at the last of the prompt's tokens [P]: float64 [d]."""
    with inputs({"last": layers(model)[-1].down}) as seen:
        model.base_model(input_ids=prompt[None], use_cache=False)
    return seen["last"].reshape(len(prompt), -1)[-1].double()


def deviations(keys: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """|z| of keys [..., d] in every coordinate; one that never varied is 0 where it is as it was, else infinite."""
    far = (keys - mean).abs()
    return torch.where(std > 0, far / std, torch.where(far > SLACK * (1 + mean.abs()), torch.inf, 0.0))


def inside(keys: Tensor, mean: Tensor, std: Tensor, reach: float) -> Tensor:
    """Whether keys [..., d] lie in the box: bool [...]."""
    return (deviations(keys, mean, std) <= reach * (1 + SLACK)).all(-1)
