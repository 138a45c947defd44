"""The modified stream of the exact attribution (`methods/_attribution.py`): recorded in one pass, replayed by layer.

Shape key: B batch, T time, P label positions, Q queries of the stream, D width, H heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask

from bench.contracts import Encoded
from bench.model.architecture import Layer, soft_cap

_NAME = "recorded-keys"


@dataclass
class Tape:
    """What the plain pass leaves behind, and where the modified stream stands.

    Attributes:
        seen: attention module -> its keys [B, H, T, d], values [B, H, T, d] and mask [B, 1, T, T] (0 is allowed).
        calls: how each layer was called: hidden states [B, T, D] and the other arguments.
        flat: layers whose down-projection is handed rows [B * T, N] in place of [B, T, N], as in OPT.
        positions: [B, Q] positions of the stream's queries; None during the plain pass.
        allowed: the last `_past` with the positions and the mask that it was made for.
    """

    seen: dict[nn.Module, tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=dict)
    calls: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    flat: set[int] = field(default_factory=set)
    positions: Tensor | None = None
    allowed: tuple[Tensor, Tensor | None, Tensor] | None = None


_tape: ContextVar[Tape] = ContextVar("tape")


@contextmanager
def still(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode and no weight gradients; both put back at the end."""
    training, flags = model.training, [(p, p.requires_grad) for p in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def recording(model: PreTrainedModel) -> Iterator[None]:
    """The recording attention in place of the model's own, which is put back at the end."""
    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, eager_mask)
    parts = {name: getattr(model.config, name) for name in model.config.sub_configs}
    before = {name: part._attn_implementation for name, part in parts.items() if part is not None}
    before[""] = model.config._attn_implementation
    try:
        model.set_attn_implementation(_NAME)
        yield
    finally:
        _tape.set(Tape())
        model.set_attn_implementation(before)


@torch.no_grad()
def record(model: PreTrainedModel, found: Sequence[Layer], batch: Sequence[Encoded]) -> tuple[Tape, Tensor, Tensor]:
    """Run a batch as it is and keep what the stream needs.

    Returns:
        The tape, the label positions [B, P] and the labels [B, P], which are -1 where an item has fewer than P.
    """
    ids = [torch.tensor((item.prompt + item.answer)[:-1]) for item in batch]
    where = [torch.arange(max(len(item.prompt), 1) - 1, len(row)) for item, row in zip(batch, ids, strict=True)]
    labels = [torch.tensor((item.prompt + item.answer)[1:])[at] for item, at in zip(batch, where, strict=True)]
    padded = pad_sequence(ids, batch_first=True).to(model.device)
    mask = (torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in ids])[:, None]).long().to(model.device)
    tape = Tape()

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = dict(kwargs)
        tape.calls.append((args[0] if args else rest.pop("hidden_states"), args[1:], rest))

    def shape(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        if args[0].ndim == 2:
            tape.flat.add(len(tape.calls) - 1)

    _tape.set(tape)
    handles = [layer.module.register_forward_pre_hook(keep, with_kwargs=True) for layer in found]
    handles += [layer.down.register_forward_pre_hook(shape) for layer in found]
    try:
        model.base_model(input_ids=padded, attention_mask=mask, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    at = pad_sequence(where, batch_first=True).to(model.device)
    return tape, at, pad_sequence(labels, batch_first=True, padding_value=-1).to(model.device)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The registered attention function: records in the plain pass, attends to what it recorded in the stream.

    query [B, H, Q, d], key and value [B, H', Q, d] with H a multiple of H'; returns [B, Q, H, d].
    """
    tape = _tape.get()
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    if tape.positions is None:
        tape.seen[module] = (key, value, attention_mask)
        if softcap is not None:
            return _capped(query * factor, key, value, attention_mask, softcap), None
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling)
        return output, None
    keys, values, mask = tape.seen[module]
    if tape.allowed is None or tape.allowed[0] is not tape.positions or tape.allowed[1] is not mask:
        tape.allowed = tape.positions, mask, _past(tape.positions, keys.shape[2], mask)
    return _own_and_past(query * factor, key, value, keys, values, tape.allowed[2], softcap), None


def _capped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, softcap: float) -> Tensor:
    """Attention whose scores are capped before the mask, which no fused kernel has; gives [B, T, H, d]."""
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    scores = soft_cap(query @ key.transpose(-1, -2), softcap)
    shares = (scores if mask is None else scores + mask).softmax(-1, dtype=torch.float32).to(query.dtype)
    return (shares @ value).transpose(1, 2)


def _own_and_past(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, allowed: Tensor, softcap: float | None
) -> Tensor:
    """Attention of each query to recorded keys where `allowed` [B, Q, T], and to the one key at its own position.

    query [B, H, Q, d] (already scaled), key and value [B, H', Q, d], keys and values [B, H', T, d]; gives [B, Q, H, d].
    """
    batch, heads, count, width = query.shape
    grouped = query.view(batch, keys.shape[1], -1, count, width)  # [B, H', G, Q, d]
    past = (grouped.flatten(2, 3) @ keys.transpose(-1, -2)).view(*grouped.shape[:-1], -1)  # [B, H', G, Q, T]
    own = (grouped * key.unsqueeze(2)).sum(-1, keepdim=True)  # [B, H', G, Q, 1]
    if softcap is not None:
        past, own = soft_cap(past, softcap), soft_cap(own, softcap)
    past = past.masked_fill_(~allowed[:, None, None], -torch.inf)
    shares = torch.cat((past, own), -1).softmax(-1, dtype=torch.float32).to(query.dtype)
    mixed = (shares[..., :-1].flatten(2, 3) @ values).view(grouped.shape) + shares[..., -1:] * value.unsqueeze(2)
    return mixed.view(batch, heads, count, width).transpose(1, 2)


def _past(where: Tensor, length: int, mask: Tensor | None) -> Tensor:
    """[B, Q, T]: which recorded positions a query at `where` [B, Q] may attend to, its own excluded."""
    before: Tensor = torch.arange(length, device=where.device) < where[..., None]
    if mask is None:
        return before
    rows = gather(mask[:, 0].expand(len(where), -1, -1), where)  # a sliding window forbids some of the past
    return before & (rows == 0)


def _at(value: Any, where: Tensor, batch: int, length: int) -> Any:
    """An argument of a layer, cut to the positions `where`; attention masks and caches become None."""
    if isinstance(value, tuple | list):
        return type(value)(_at(part, where, batch, length) for part in value)
    if not isinstance(value, Tensor) or value.ndim < 2:
        return value
    if value.ndim == 4 and value.shape[-1] == length and value.shape[-2] == length:
        return None
    if value.shape[0] in (1, batch) and value.shape[1] == length:
        return gather(value.expand(batch, *value.shape[1:]), where)
    return value


def gather(value: Tensor, where: Tensor) -> Tensor:
    """Entries [B, Q, ...] of a tensor [B, T, ...] at positions `where` [B, Q]."""
    return value[torch.arange(len(where), device=where.device)[:, None], where]


# -- the stream -------------------------------------------------------------------------------------------------------


def run(found: Sequence[Layer], first: int, tape: Tape, where: Tensor, stream: Tensor, steps: int) -> Tensor:
    """Run the stream [B, S * P, D] through the layers `found`, the first of which has index `first`."""
    repeated = where.repeat(1, steps)
    for index, layer in enumerate(found, first):
        stream = replay(layer, index, tape, repeated, stream)
    return stream


def replay(layer: Layer, index: int, tape: Tape, where: Tensor, hidden: Tensor) -> Tensor:
    """Call a layer on hidden states [B, Q, D] that stand at positions `where` [B, Q], as the plain pass called it."""
    _, args, kwargs = tape.calls[index]
    batch, length = tape.calls[index][0].shape[:2]
    tape.positions = where
    output = layer.module(
        hidden,
        *(_at(value, where, batch, length) for value in args),
        **{name: _at(value, where, batch, length) for name, value in kwargs.items()},
    )
    return cast(Tensor, output[0] if isinstance(output, tuple) else output)
