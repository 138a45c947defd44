"""The blocks of a Llama on the CPU, run by us: its own weights, with filler left out and nothing written twice.

What a layer does beside its products takes a third of the time where products are small: sums, gates and rotations, each
a pass over memory into a tensor of its own. Here they are the end of the product before (oneDNN's post-operations) or
happen in place. And tokens that are filler go through no product: attention alone sees the batch as a rectangle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from bench.measure.products import available, filler


def fits(model: PreTrainedModel) -> bool:
    """Whether `trunk_hidden` may be tried on a model: float32 on the CPU, built like a Llama, nobody listening.

    What else a layer of that build may do shows in the trial (`Forward.own_blocks`).
    """
    trunk, config = model.base_model, model.config.get_text_config()
    if not available() or model.device.type != "cpu" or config._attn_implementation != "sdpa":
        return False
    if any(p.dtype != torch.float32 for p in trunk.parameters()) or any(map(_changed, trunk.modules())):
        return False
    try:
        linears = [linear for layer in trunk.layers for linear in _linears(layer)]
    except AttributeError:
        return False
    known = all({name for name, _ in layer.named_children()} == _LAYER for layer in trunk.layers)
    return known and config.hidden_act == "silu" and all(type(linear) is nn.Linear for linear in linears)


def trunk_hidden(
    model: PreTrainedModel,
    ids: Tensor,
    positions: Tensor,
    attention: Tensor | None,
    cache: Cache | None,
    real: Tensor | None,
) -> Tensor:
    """What the head reads, [B, T, D]; 0 for filler.

    Args:
        ids, positions: [B, T]
        attention: None for plain causal, [B, S] true for real slots, or [B, 1, T, S] to be added to the scores.
        real: bool [B, T], the tokens that are no filler; None if all are.
    """
    trunk: Any = model.base_model
    chosen = _Chosen(real if real is not None else torch.ones_like(ids, dtype=torch.bool))
    attention = _added(attention, ids.shape[1])
    cos, sin = (part[0][:, None] for part in trunk.rotary_emb(trunk.norm.weight, chosen.pick(positions)[None]))
    x = trunk.embed_tokens(chosen.pick(ids))
    for number, layer in enumerate(trunk.layers):
        own, size = layer.self_attn, layer.self_attn.head_dim
        normed = _normed(x, layer.input_layernorm)
        query, key, value = (
            linear(normed).unflatten(-1, (-1, size)) for linear in map(_product, (own.q_proj, own.k_proj, own.v_proj))
        )
        states = [chosen.spread(each).transpose(1, 2) for each in (_turned(query, cos, sin), _turned(key, cos, sin), value)]
        if cache is not None:
            states[1:] = cache.update(states[1], states[2], number)
        mixed = F.scaled_dot_product_attention(
            *states,
            attn_mask=attention,
            is_causal=attention is None and cache is None,
            scale=own.scaling,
            enable_gqa=states[0].shape[1] != states[1].shape[1],
        )
        x = _product(own.o_proj)(chosen.pick(mixed.transpose(1, 2)).flatten(1), x, "add")
        normed = _normed(x, layer.post_attention_layernorm)
        gate = F.silu(_product(layer.mlp.gate_proj)(normed), inplace=True)
        x = _product(layer.mlp.down_proj)(_product(layer.mlp.up_proj)(normed, gate, "mul"), x, "add")
    return chosen.spread(_normed(x, trunk.norm))


_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}


class _Chosen:
    """The real tokens of a batch [B, T] as rows, with rows of zeros behind them for the sake of the products."""

    def __init__(self, real: Tensor) -> None:
        self._shape = real.shape
        self._at = real.flatten().nonzero()[:, 0]
        self._more = filler(len(self._at))
        self._all = len(self._at) == real.numel() and not self._more

    def pick(self, x: Tensor) -> Tensor:
        """[B, T, ...] to [rows, ...]"""
        flat = x.flatten(0, 1)
        if self._all:
            return flat
        rows = x.new_zeros(len(self._at) + self._more, *x.shape[2:])
        torch.index_select(flat, 0, self._at, out=rows[: len(self._at)])
        return rows

    def spread(self, rows: Tensor) -> Tensor:
        """[rows, ...] to [B, T, ...], 0 for filler."""
        if self._all:
            return rows.unflatten(0, self._shape)
        if self._more and self._shape.numel() == len(self._at):
            return rows[: len(self._at)].unflatten(0, self._shape)
        spread = rows.new_zeros(self._shape.numel(), *rows.shape[1:])
        return spread.index_copy_(0, self._at, rows[: len(self._at)]).unflatten(0, self._shape)


def _added(attention: Tensor | None, count: int) -> Tensor | None:
    """What is added to the scores of the last `count` slots' tokens; which slots are seen, if that is all there is."""
    if attention is None or attention.dim() == 4:
        return attention
    slots = attention.shape[1]
    seen = attention[:, None, None] & torch.ones(count, slots, dtype=torch.bool).tril_(slots - count)
    return torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)


def _normed(x: Tensor, norm: Any) -> Tensor:
    """Rows divided by their root mean square, times the weight."""
    scale = x.square().mean(-1, keepdim=True).add_(norm.variance_epsilon).rsqrt_()
    return (x * scale).mul_(norm.weight)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys [N, H, d] turned by their positions' angles [N, 1, d]."""
    half = x.shape[-1] // 2
    turned = x * cos
    turned[..., :half].sub_(x[..., half:] * sin[..., :half])
    turned[..., half:].add_(x[..., :half] * sin[..., half:])
    return turned


def _product(linear: nn.Linear) -> Callable[..., Tensor]:
    """x [N, K] times a layer's weight, and then `how`: a function of it, or joined with `other` [N, M]."""

    def product(x: Tensor, other: Tensor | None = None, how: str = "none") -> Tensor:
        op = torch.ops.mkldnn._linear_pointwise
        if other is None:
            return op(x, linear.weight, linear.bias, how, [], "")
        return op.binary(x, other, linear.weight, linear.bias, how)

    return product


def _linears(layer: Any) -> list[nn.Module]:
    own, mlp = layer.self_attn, layer.mlp
    return [own.q_proj, own.k_proj, own.v_proj, own.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def _changed(module: nn.Module) -> bool:
    """Whether somebody listens to a module."""
    return any((module._forward_hooks, module._forward_pre_hooks))
