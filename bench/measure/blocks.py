"""The blocks of a Llama on the CPU, run by us on its own weights: the same sums in the same order, with fewer passes.

Beside its products a layer makes sums, gates and rotations, each a pass over memory into a tensor of its own. Here they
happen in place, rows of filler for the products are added once and not for each, and the mask is made once for all.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from bench.measure.products import available, filler, product


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
) -> Tensor:
    """What the head reads, [B, T, D].

    Args:
        ids, positions: [B, T]
        attention: None for plain causal, [B, S] true for real slots, or [B, 1, T, S] to be added to the scores.
    """
    trunk: Any = model.base_model
    shape, rows = ids.shape, ids.numel()
    more = filler(rows)
    attention = _added(attention, shape[1])
    x = _filled(trunk.embed_tokens(ids).flatten(0, 1), more)
    cos, sin = (part.unsqueeze(-2) for part in trunk.rotary_emb(x, positions))
    for number, layer in enumerate(trunk.layers):
        own = layer.self_attn
        normed = _normed(x, layer.input_layernorm)
        query, key, value = (
            _product(normed, linear)[:rows].view(*shape, -1, own.head_dim)
            for linear in (own.q_proj, own.k_proj, own.v_proj)
        )
        query, key, value = (y.transpose(1, 2) for y in (_turned(query, cos, sin), _turned(key, cos, sin), value))
        if cache is not None:
            key, value = cache.update(key, value, number)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attention,
            is_causal=attention is None, scale=own.scaling, enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
        x = _product(_filled(mixed.transpose(1, 2).reshape(rows, -1), more), own.o_proj).add_(x)
        normed = _normed(x, layer.post_attention_layernorm)
        gate = F.silu(_product(normed, layer.mlp.gate_proj), inplace=True)
        x = _product(gate.mul_(_product(normed, layer.mlp.up_proj)), layer.mlp.down_proj).add_(x)
    return _normed(x[:rows], trunk.norm).view(*shape, -1)


_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}


def _added(attention: Tensor | None, count: int) -> Tensor | None:
    """What is added to the scores of the last `count` slots' tokens; which slots are seen, if that is all there is."""
    if attention is None or attention.dim() == 4:
        return attention
    slots = attention.shape[1]
    seen = attention[:, None, None] & torch.ones(count, slots, dtype=torch.bool).tril_(slots - count)
    return torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)


def _filled(x: Tensor, more: int) -> Tensor:
    """[N, D] with so many rows of zeros behind it."""
    return F.pad(x, (0, 0, 0, more)) if more else x


def _normed(x: Tensor, norm: Any) -> Tensor:
    """Rows divided by their root mean square, times the weight."""
    scale = x.square().mean(-1, keepdim=True).add_(norm.variance_epsilon).rsqrt_()
    return (x * scale).mul_(norm.weight)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys [B, T, H, d] turned by their positions' angles [B, T, 1, d]."""
    half = x.shape[-1] // 2
    turned = x * cos
    turned[..., :half].sub_(x[..., half:] * sin[..., :half])
    turned[..., half:].add_(x[..., :half] * sin[..., half:])
    return turned


def _product(x: Tensor, linear: nn.Linear) -> Tensor:
    """x [N, K] times a layer's weight: [N, M].

    Sums and gates could be post-operations of it, but each is another product to compile: 60 MB for 3 % of the time.
    """
    return product(x, linear.weight, linear.bias)


def _linears(layer: Any) -> list[nn.Module]:
    own, mlp = layer.self_attn, layer.mlp
    return [own.q_proj, own.k_proj, own.v_proj, own.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def _changed(module: nn.Module) -> bool:
    """Whether somebody listens to a module."""
    return any((module._forward_hooks, module._forward_pre_hooks))
