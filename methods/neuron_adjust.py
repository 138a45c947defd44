"""Neuron Adjust: neurons that a skill drives are moved to where other texts have them. arXiv:2503.21730."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from bench.api import attachment, param, transform
from bench.errors import BenchError
from bench.model.architecture import Layer, layers
from bench.model.attachments import Attachment, attach

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

    from bench.contracts import LM, Context, Encoded

GATES = ("mlp.gate_proj", "mlp.fc1", "mlp.dense_h_to_4h", "mlp.c_fc", "fc1")
"""The map whose outputs an MLP's activation reads, a number a neuron: its gate or, without one, its first map."""


class Moments(NamedTuple):
    """Mean and standard deviation of each neuron over tokens, float64 [neurons]."""

    mean: Tensor
    std: Tensor


@attachment("neuron-adjust")
@dataclass(frozen=True)
class Adjusted(Attachment):
    """Hooks behind the maps that make pre-activations.

    Attributes:
        neurons: map's name -> int64 [k], the neurons that may be moved.
        moments: map's name -> [4, k]: their mean and deviation on forget texts, then on retain texts.
    """

    neurons: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]

    def hooks(self, model: PreTrainedModel, gate: Tensor, place: Tensor) -> Iterable[RemovableHandle]:
        """Move the neurons of every token, of prompts and answers alike; no gate."""
        for name, chosen in self.neurons.items():
            moved = partial(_moved, chosen=chosen, moments=self.moments[name])
            yield model.get_submodule(name).register_forward_hook(moved)


def _moved(module: nn.Module, given: tuple[Tensor, ...], out: Tensor, *, chosen: Tensor, moments: Tensor) -> Tensor:
    """The map's outputs [..., neurons] with the chosen ones adjusted."""
    return out.index_copy(-1, chosen, adjusted(out.index_select(-1, chosen).float(), *moments).to(out))


def adjusted(x: Tensor, forget_mean: Tensor, forget_std: Tensor, retain_mean: Tensor, retain_std: Tensor) -> Tensor:
    """Pre-activations [..., k], those that forget texts explain better mapped to where retain texts have them.

    x becomes m_r - s_r (x - m_f) / s_f where N(x; m_f, s_f) > N(x; m_r, s_r), and stays elsewhere.
    """
    apart, usual = (x - forget_mean) / forget_std, (x - retain_mean) / retain_std
    likelier = usual.square() / 2 + retain_std.log() > apart.square() / 2 + forget_std.log()
    return torch.where(likelier, retain_mean - retain_std * apart, x)


@transform(
    "neuron-adjust",
    "pre-activations of the forget set are moved to where retain texts have them (arXiv:2503.21730)",
    family="inference",
    detachable=True,
)
@dataclass(frozen=True)
class NeuronAdjust:
    """Moves pre-activations that look like the forget set's to their mirror image under the retain set's distribution.

    Claim: a skill drives neurons of its own; moved to where other texts have them they no longer say it.

    x becomes m_r - s_r (x - m_f) / s_f if N(x; m_f, s_f) > N(x; m_r, s_r), with m and s = mean and deviation of a
    chosen neuron's pre-activation x over the tokens of forget and of retain texts.

    Chosen is the share of neurons of the whole model with the largest m_f - m_r, signed. Every token is looked at. No
    weight changes, nothing is trained.

    Deviations: this is the deterministic variant. The source replaces x only with probability N_f / (N_f + N_r) where
    N_f >= N_r; what it draws is another each time, so no score would repeat. Deviations are true ones: the released
    code has m_f in place of s_f, and a variance where it says deviation. The map is mirrored as there; the unmirrored
    one has the same distribution. Made for skills, not for facts: on single authors it is a stress test.

    Cost: a forward pass over `texts` texts of each set when it is made. Kept: four numbers a chosen neuron.
    """

    share: float = param(
        0.015,
        "share of all neurons that may be moved; the source tries 0.005, 0.015, 0.03",
        ge=0,
        le=1,
        search=(0.005, 0.05, "log"),
    )
    texts: int = param(200, "texts of each set that the statistics are taken from", ge=1)

    def __call__(self, context: Context) -> LM:
        """The model with its hooks."""
        model = context.lm.model
        maps = gates(model)
        order = context.stream("neuron-adjust")
        forget, retain = (
            moments(model, maps, [items[i] for i in order.permutation(len(items))[: self.texts]])
            for items in (context.forget, context.retain)
        )
        neurons = top(forget, retain, self.share)
        stacked = {
            name: torch.stack([*forget[name], *retain[name]])[:, chosen].float() for name, chosen in neurons.items()
        }
        return attach(context.lm, Adjusted(neurons, stacked))


def gates(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The map of each layer that makes the pre-activations, by qualified name.

    Raises:
        BenchError: a layer without a recognisable one.
    """
    return dict(_gate(layer) for layer in layers(model))


def _gate(layer: Layer) -> tuple[str, nn.Module]:
    modules = dict(layer.module.named_modules())
    name = next((name for name in GATES if name in modules), None)
    if name is None:
        raise BenchError(
            f"{layer.name} ({type(layer.module).__name__}) has no map that makes a pre-activation a neuron: looked for "
            f"{' or '.join(GATES)}. Neuron Adjust does not fit this model."
        )
    return f"{layer.name}.{name}", modules[name]


@torch.no_grad()
def moments(model: PreTrainedModel, maps: Mapping[str, nn.Module], items: Sequence[Encoded]) -> dict[str, Moments]:
    """Mean and standard deviation of what each map gives out, over all tokens of the items, run one by one."""
    sums: dict[str, Tensor] = {}

    def add(name: str, module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        x = out.detach().flatten(0, -2).double()
        found = torch.stack([x.sum(0), x.square().sum(0), x.new_full(x.shape[1:], len(x))])
        sums[name] = sums[name] + found if name in sums else found

    handles = [module.register_forward_hook(partial(add, name)) for name, module in maps.items()]
    try:
        for item in items:
            model.base_model(input_ids=torch.tensor([item.prompt + item.answer], device=model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    means = {name: (total / count, square / count) for name, (total, square, count) in sums.items()}
    return {name: Moments(mean, (square - mean**2).clamp(min=0).sqrt()) for name, (mean, square) in means.items()}


def top(forget: Mapping[str, Moments], retain: Mapping[str, Moments], share: float) -> dict[str, Tensor]:
    """The neurons, int64 by map, with the largest m_f - m_r: exactly round(share * N) of all N that vary in both sets.

    Of equal ones the first are taken.
    """
    gaps = torch.cat([
        (forget[name].mean - retain[name].mean).masked_fill((forget[name].std * retain[name].std) == 0, -torch.inf)
        for name in forget
    ])  # fmt: skip
    chosen = torch.zeros(len(gaps), dtype=torch.bool, device=gaps.device)
    chosen[gaps.argsort(descending=True, stable=True)[: round(share * len(gaps))]] = True
    chosen &= gaps.isfinite()
    parts = chosen.split([len(found.mean) for found in forget.values()])
    return {name: part.nonzero()[:, 0] for name, part in zip(forget, parts, strict=True) if bool(part.any())}
