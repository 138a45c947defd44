"""Low-rank updates beside a model's weights, and how much their inputs overlap.

Hu et al. 2021, arXiv:2106.09685; the overlap is O3's, arXiv:2407.10223.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bench.api import Selection
from bench.model.architecture import layers, weight

if TYPE_CHECKING:
    from bench.contracts import Context

Update = tuple[Tensor, Tensor]
"""A [r, inputs] and B [outputs, r]: W x becomes W x + scale * B A x."""
_PLACE = "update"


def projections(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Every linear map of the decoder layers, by qualified name.

    Raises:
        BenchError: the model's layers are not recognised.
    """
    linear = ((layer, name, module) for layer in layers(model) for name, module in layer.module.named_modules())
    return {f"{layer.name}.{name}": m for layer, name, m in linear if isinstance(m, nn.Linear | Conv1D)}


def fresh(modules: Mapping[str, nn.Module], rank: int, generator: torch.Generator) -> dict[str, Update]:
    """Updates that change nothing yet: A uniform within 1 / sqrt(inputs), as peft draws it, and B zero; float32."""
    found = {}
    for name, module in modules.items():
        matrix = weight(module)
        outputs, inputs = reversed(matrix.shape) if isinstance(module, Conv1D) else matrix.shape
        drawn = torch.rand(rank, inputs, generator=generator, device=generator.device) * 2 - 1
        found[name] = drawn / math.sqrt(inputs), torch.zeros(outputs, rank, device=matrix.device)
    return found


@dataclass(frozen=True)
class Beside:
    """A scope that adds updates beside their linear maps and trains them alone; then the model is without them again.

    Attributes:
        updates: module -> A ("a") and B ("b").
        scale: what B A x is multiplied with.
    """

    updates: Mapping[str, nn.ParameterDict]
    scale: float

    @contextmanager
    def adapters(self, context: Context) -> Iterator[None]:
        """The updates beside their maps, in full."""
        modules = {name: context.lm.model.get_submodule(name) for name in self.updates}
        hooks = []
        try:
            for name, module in modules.items():
                held = self.updates[name]
                module.register_module(_PLACE, held)
                hooks.append(module.register_forward_hook(branch((held["a"], held["b"]), self.scale)))
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for module in modules.values():
                module._modules.pop(_PLACE, None)

    def select(self, context: Context) -> Selection:
        """Every A and B, which are in the model within `adapters` only."""
        return {f"{name}.{_PLACE}.{side}": None for name in self.updates for side in "ab"}


def branch(update: Update, scale: float | Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    """A forward hook that adds scale * B A x to what a linear map gives.

    Args:
        update: A and B.
        scale: a number, or one for each row of a batch [B].
    """

    def add(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = given[0]
        a, b = (matrix.to(x.dtype) for matrix in update)
        return output + (_by_row(scale, x) * (x @ a.T @ b.T)).to(output.dtype)

    return add


def _by_row(scale: float | Tensor, x: Tensor) -> float | Tensor:
    """A scale for each row, laid out for what a map reads: [B, T, N], or tokens [B * T, N] as in OPT."""
    if not isinstance(scale, Tensor):
        return scale
    each = scale.to(x.dtype).repeat_interleave(x.shape[0] // len(scale))
    return each.view(-1, *[1] * (x.ndim - 1))


def overlap(current: Mapping[str, Tensor], earlier: Sequence[Mapping[str, Tensor]], depth: int) -> Tensor:
    """The sum over modules and earlier requests of ||A_i A_t'||_F^2, over the number of layers; a scalar.

    It is 0 where the rows of every earlier A_i are orthogonal to those of A_t, and the rank for each module where
    A_t = A_i has orthonormal rows. Without an earlier request it is 0 and has no gradient.

    Args:
        current: module -> A_t [r, inputs].
        earlier: of each earlier request, module -> A_i [r_i, inputs].
        depth: how many decoder layers the modules belong to.
    """
    found = [(past[name] @ now.T).square().sum() for past in earlier for name, now in current.items() if name in past]
    return torch.stack(found).sum() / depth if found else torch.zeros(())
