"""LoRA as a scope. Hu et al. 2021, arXiv:2106.09685, section 4.1; through the package peft."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import nn
from transformers.pytorch_utils import Conv1D

from bench.api import Selection, param, scope
from bench.model.architecture import Layer, layers
from methods._optional import needed

if TYPE_CHECKING:
    from bench.contracts import Context

PROJECTIONS = ("all", "attention", "mlp")


@scope("lora")
@dataclass(frozen=True)
class LoRA:
    """A low-rank update of every projection, merged into it at the end; all else is frozen (needs peft).

    W x becomes W x + (alpha / rank) B A x, with A [rank, inputs] drawn uniformly within 1 / sqrt(inputs), as peft draws
    it, and B [outputs, rank] zero, so that training starts from the model as it is. A and B move in place of W, biases
    are frozen, and A and B decay where an optimizer decays matrices. When training ends W becomes
    W + (alpha / rank) B A, and the model is an ordinary one.

    Defaults: alpha is 32 in TOFU's and SOUL's code, and SOUL's rank is 8; both have LoRA switched off. TOFU adapts
    every linear map but the head, which is "all" here, SOUL queries and values alone.

    Deviations: their dropout of 0.05 is 0 here, where objectives see the model as it answers. alpha is `lora_alpha`, as
    in peft, for objectives have alphas of their own.

    Cost: gradient and state are of A and B alone, rank (inputs + outputs) numbers a projection.
    """

    package: ClassVar[tuple[str, str]] = ("peft", "lora")

    rank: int = param(8, "rank of the update of each matrix", ge=1)
    lora_alpha: float = param(32.0, "the update is scaled by this over the rank", gt=0)
    projections: str = param("all", "which linear maps of each decoder layer are updated", choices=PROJECTIONS)

    @contextmanager
    def adapters(self, context: Context) -> Iterator[None]:
        """A and B beside every chosen projection; at the end they are merged into its weight and gone.

        Raises:
            BenchError: peft is not installed, or the model's layers are not recognised.
        """
        peft = needed(*self.package, "the scope 'lora'")
        model = context.lm.model
        found = {name: module for layer in layers(model) for name, module in self._projections(layer).items()}
        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=0.0,
            target_modules="|".join(map(re.escape, found)),
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in found.values()),
        )
        flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        tuner = peft.LoraModel(model, config, "default")
        try:
            yield
        finally:
            tuner.merge_and_unload()
            for parameter, flag in flags:
                parameter.requires_grad_(flag)

    def select(self, context: Context) -> Selection:
        """Every A and B, which are there within `adapters` only."""
        return dict.fromkeys(name for name, _ in context.lm.model.named_parameters() if ".lora_" in name)

    def _projections(self, layer: Layer) -> dict[str, nn.Module]:
        """The chosen linear maps of a layer by qualified name; what does not belong to attention is the MLP's."""
        linear = {f"{layer.name}.{n}": m for n, m in layer.module.named_modules() if isinstance(m, nn.Linear | Conv1D)}
        attends = {name.rpartition(".")[0] for name in layer.attention}
        chosen = {"all": linear.keys(), "attention": attends, "mlp": linear.keys() - attends}[self.projections]
        return {name: module for name, module in linear.items() if name in chosen}
