"""The last layer's MLP on the positions that the head reads: what it makes of the others, nobody looks at.

Attention mixes positions, so every layer below has to run on all of them; the last MLP works on each by itself. Of a
model of two layers whose labels are a third of its tokens that is a quarter of all products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from transformers import PreTrainedModel

from bench.errors import BenchError
from bench.model.architecture import layers
from bench.model.shapes import rounded

_known: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@contextmanager
def last_mlp_at(model: PreTrainedModel, at: Tensor) -> Iterator[None]:
    """Within it the last MLP runs on the positions `at` of its input [B, T, D], flattened, and gives 0 elsewhere.

    Does nothing where there is no such module, where it is not seen to treat each position alone, and where somebody
    listens to what is in the layer or runs it again on the way back (hooks, checkpointing).
    """
    mlp = last_mlp(model)
    if mlp is None:
        yield
        return
    whole, before = mlp.forward, vars(mlp).get("forward")

    def chosen(x: Tensor) -> Tensor:
        rows = whole(rounded(x.flatten(0, -2).index_select(0, at)))[: len(at)]
        return rows.new_zeros(x.numel() // x.shape[-1], rows.shape[-1]).index_copy(0, at, rows).view(*x.shape[:-1], -1)

    mlp.forward = chosen
    try:
        yield
    finally:
        del mlp.forward
        if before is not None:
            mlp.forward = before


def last_mlp(model: PreTrainedModel) -> nn.Module | None:
    """The module that `last_mlp_at` confines, or None where it does nothing; what is found out is remembered."""
    try:
        last = layers(model)[-1]
    except BenchError:
        return None
    own, _, _ = last.down_name.removeprefix(f"{last.name}.").rpartition(".")
    if not own or "forward" in vars(last.module) or any(map(_listened_to, last.module.modules())):
        return None
    mlp = last.module.get_submodule(own)
    if mlp not in _known:
        _known[mlp] = _alone(mlp, model)
    return mlp if _known[mlp] else None


def _listened_to(module: nn.Module) -> bool:
    return any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks))


@torch.no_grad()
def _alone(mlp: nn.Module, model: PreTrainedModel) -> bool:
    """Whether a module gives a position the same whatever stands beside it, as one tensor for one tensor."""
    width = model.config.get_text_config(decoder=True).hidden_size
    x = torch.linspace(-1, 1, 3 * width, device=model.device, dtype=model.dtype).view(1, 3, width)
    try:
        whole: Any = mlp(x)
        parts = [mlp(x[0, i : i + 1]) for i in (2, 0)]
        if isinstance(whole, FakeTensor):  # there are no numbers to look at, only costs to count
            return bool(whole.shape == x.shape)
        return bool(torch.allclose(whole[0, [2, 0]], torch.cat(parts), rtol=1e-3, atol=1e-3 * float(whole.abs().max())))
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False
