"""Integrated gradients of MLP neurons over next-token samples, exact and fast (SIMU, arXiv:2510.07822, stage 1).

Sample i is a prefix and the answer token that follows it; it scales neurons at its own last position only. Because the
model is causal, nothing before that position changes. So all samples of a sequence run at once, in a *modified stream*:
layers above the scaled one see, at each label position p, a query that attends to the ORIGINAL keys and values of the
positions before p, which one plain forward pass has recorded, and to its OWN modified key and value at p. Each label's
loss then depends on its own modified position alone, and one backward pass of the summed loss gives every sample's
gradient. The m steps lie side by side in the stream; layers below the scaled one are not run again; prompt positions
that predict no label are not in the stream at all.

The down-projection is linear, so scaling its input scales its output (bias aside), and the gradients with respect to
the neurons follow from the sum over steps of those with respect to the output: neither the scaled activations nor
their gradients are ever held.

Shape key: B batch, T time, P label positions of a chunk, S steps, D width, N neurons, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from bench.errors import BenchError
from bench.model.architecture import Layer, head, layers, neuron_axis, weight

BUDGET = 2048  # positions, of the plain pass and of the modified stream, that are in memory at once
_NAME = "recorded-keys"
_LOGITS = 1 << 22  # logits that are in memory at once, in no fewer than 256 rows


@dataclass
class _Tape:
    """What the plain pass leaves behind, and where the modified stream stands.

    Attributes:
        seen: attention module -> its keys [B, H, T, d], values [B, H, T, d] and mask [B, 1, T, T] (0 is allowed).
        calls: how each layer was called: hidden states [B, T, D] and the other arguments.
        positions: [B, Q] positions of the stream's queries; None during the plain pass.
        allowed: the last `_past` with the positions and the mask that it was made for.
    """

    seen: dict[nn.Module, tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=dict)
    calls: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    positions: Tensor | None = None
    allowed: tuple[Tensor, Tensor | None, Tensor] | None = None


_tape: ContextVar[_Tape] = ContextVar("tape")


def attribute(
    model: PreTrainedModel,
    items: Sequence[Encoded],
    *,
    steps: int = 5,
    quantity: str = "probability",
    down: str | None = None,
    budget: int = BUDGET,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Tensor]:
    """Attribution of every neuron, summed over all labels of `items` (answer tokens and EOS).

        Att(l, k) = (1/m) sum_{j=1..m} sum_i beta[l,k,i] * dF_i(a_j) / da[l,k],   a_j = (j/m) beta

    with beta[l,k,i] the activation of neuron k of layer l at the last position of prefix i, and F_i the loss
    -log p(y_i | prefix) or the probability p(y_i | prefix) of the token that follows. All neurons of one layer are
    scaled together; the other layers run on (Dai et al. 2022, arXiv:2104.08696).

    Args:
        model: a decoder of transformers; left as it was.
        items: token ids of prompts and answers. A label that nothing precedes (empty prompt) is left out.
        steps: m, the number of steps from 0 to the activation.
        quantity: F, "loss" or "probability".
        down: name of the down-projection within a layer, where it is not a usual one.
        budget: positions in memory at once; the result does not depend on it beyond rounding.
        progress: told of items done.

    Returns:
        One tensor [N] for each layer, float32, on the CPU.

    Raises:
        BenchError: the model's layers cannot be found or do not replay to the model's own log-probabilities, no item
            has a label, or the attributions are not finite.
    """
    found, tail = layers(model, down), head(model)
    batches = _batches([item for item in items if item.answer and len(item.prompt) + len(item.answer) > 1], budget)
    if not batches:
        raise BenchError("nothing to attribute: no item has an answer token that something precedes.")
    totals = [torch.zeros(layer.neurons, dtype=torch.float64) for layer in found]
    done, count = 0, sum(map(len, batches))
    with _replayable(model):
        _verify(model, found, tail, batches[0][0])
        for batch in batches:
            tape, where, labels = _record(model, found, batch)
            chunk = max(1, budget // (steps * len(batch)))
            for start in range(0, where.shape[1], chunk):
                columns = slice(start, start + chunk)
                at, of = where[:, columns], labels[:, columns]
                for index, total in enumerate(totals):
                    total += _attribute_layer(found, index, tail, tape, at, of, steps, quantity).to(total)
            done += len(batch)
            if progress:
                progress("attribution", done, count)
    if not all(bool(torch.isfinite(total).all()) for total in totals):
        raise BenchError("attribution: the gradients are not finite. Does the model itself give finite losses?")
    return [total.float() for total in totals]


# -- one layer -------------------------------------------------------------------------------------------------------


@torch.enable_grad()
def _attribute_layer(
    found: Sequence[Layer],
    index: int,
    tail: nn.Module,
    tape: _Tape,
    where: Tensor,
    labels: Tensor,
    steps: int,
    quantity: str,
) -> Tensor:
    """Attribution [N] of one layer's neurons over the labels [B, P] at positions `where` [B, P] (label -1 is none)."""
    scales = torch.arange(1, steps + 1, device=where.device) / steps
    beta, leaf, stream = _scaled(found[index], index, tape, where, scales)
    stream = _run(found[index + 1 :], index + 1, tape, where, stream, steps)
    rows, targets = _labelled(stream, labels, steps)
    (gradient,) = torch.autograd.grad(rows, leaf, _head_gradient(tail, rows.detach(), targets, quantity))
    matrix = weight(found[index].down)
    per_neuron = gradient.sum(0) @ (matrix if neuron_axis(found[index].down) == 1 else matrix.t())
    return (per_neuron * beta).flatten(0, -2).sum(0) / steps


def _scaled(layer: Layer, index: int, tape: _Tape, where: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Replay one layer with its neurons scaled.

    Returns:
        The activations beta [B, P, N], the down-projection's scaled output as a leaf [S, B, P, D], and the layer's
        output as a stream [B, S * P, D].
    """
    caught: list[Tensor] = []

    def scale(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        bias = getattr(module, "bias", None)
        bias = output.new_zeros(()) if bias is None else bias
        factor = scales.to(output.dtype).view(-1, *[1] * output.ndim)
        caught.extend((inputs[0], (factor * (output - bias) + bias).requires_grad_()))
        return caught[1]

    handle = layer.down.register_forward_hook(scale)
    try:
        output = _replay(layer, index, tape, where, _gather(tape.calls[index][0], where))
    finally:
        handle.remove()
    return caught[0], caught[1], output.transpose(0, 1).flatten(1, 2)


def _run(found: Sequence[Layer], first: int, tape: _Tape, where: Tensor, stream: Tensor, steps: int) -> Tensor:
    """Run the stream [B, S * P, D] through the layers `found`, the first of which has index `first`."""
    repeated = where.repeat(1, steps)
    for index, layer in enumerate(found, first):
        stream = _replay(layer, index, tape, repeated, stream)
    return stream


def _replay(layer: Layer, index: int, tape: _Tape, where: Tensor, hidden: Tensor) -> Tensor:
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


def _head_gradient(tail: nn.Module, rows: Tensor, targets: Tensor, quantity: str) -> Tensor:
    """Gradient [R, D] of the summed quantity with respect to the last layer's rows [R, D]; `targets` [R]."""
    gradient = torch.empty_like(rows)
    size = max(256, _LOGITS // _vocabulary(tail))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        with torch.enable_grad():
            hidden = rows[part].requires_grad_()
            logp = _label_logps(tail, hidden, targets[part])
            total = -logp.sum() if quantity == "loss" else logp.exp().sum()
            gradient[part] = torch.autograd.grad(total, hidden)[0]
    return gradient


def _label_logps(tail: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    """log p [R] of the targets [R] from hidden states [R, D], in float32."""
    return -nn.functional.cross_entropy(tail(hidden).float(), targets, reduction="none")


def _labelled(stream: Tensor, labels: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The rows [R, D] of a stream [B, S * P, D] that have a label, and these labels [R]."""
    repeated = labels.repeat(1, steps)
    index = (repeated >= 0).flatten().nonzero().squeeze(1)
    return stream.flatten(0, 1).index_select(0, index), repeated.flatten()[index]


def _vocabulary(tail: nn.Module) -> int:
    return int(weight(cast(nn.Sequential, tail)[1]).shape[0])


# -- the plain pass --------------------------------------------------------------------------------------------------


@torch.no_grad()
def _record(model: PreTrainedModel, found: Sequence[Layer], batch: Sequence[Encoded]) -> tuple[_Tape, Tensor, Tensor]:
    """Run a batch as it is and keep what the stream needs.

    Returns:
        The tape, the label positions [B, P] and the labels [B, P], which are -1 where an item has fewer than P.
    """
    ids = [torch.tensor((item.prompt + item.answer)[:-1]) for item in batch]
    where = [torch.arange(max(len(item.prompt), 1) - 1, len(row)) for item, row in zip(batch, ids, strict=True)]
    labels = [torch.tensor((item.prompt + item.answer)[1:])[at] for item, at in zip(batch, where, strict=True)]
    padded = pad_sequence(ids, batch_first=True).to(model.device)
    mask = (torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in ids])[:, None]).long().to(model.device)
    tape = _Tape()

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = dict(kwargs)
        tape.calls.append((args[0] if args else rest.pop("hidden_states"), args[1:], rest))

    _tape.set(tape)
    handles = [layer.module.register_forward_pre_hook(keep, with_kwargs=True) for layer in found]
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
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The registered attention function: records in the plain pass, attends to what it recorded in the stream.

    query [B, H, Q, d], key and value [B, H', Q, d] with H a multiple of H'; returns [B, Q, H, d].
    """
    tape = _tape.get()
    if tape.positions is None:
        tape.seen[module] = (key, value, attention_mask)
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling)
        return output, None
    keys, values, mask = tape.seen[module]
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    if tape.allowed is None or tape.allowed[0] is not tape.positions or tape.allowed[1] is not mask:
        tape.allowed = tape.positions, mask, _past(tape.positions, keys.shape[2], mask)
    return _own_and_past(query * factor, key, value, keys, values, tape.allowed[2]), None


def _own_and_past(query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
    """Attention of each query to recorded keys where `allowed` [B, Q, T], and to the one key at its own position.

    query [B, H, Q, d] (already scaled), key and value [B, H', Q, d], keys and values [B, H', T, d]; gives [B, Q, H, d].
    """
    batch, heads, count, width = query.shape
    grouped = query.view(batch, keys.shape[1], -1, count, width)  # [B, H', G, Q, d]
    past = (grouped.flatten(2, 3) @ keys.transpose(-1, -2)).view(*grouped.shape[:-1], -1)  # [B, H', G, Q, T]
    past = past.masked_fill_(~allowed[:, None, None], -torch.inf)
    own = (grouped * key.unsqueeze(2)).sum(-1, keepdim=True)  # [B, H', G, Q, 1]
    shares = torch.cat((past, own), -1).softmax(-1, dtype=torch.float32).to(query.dtype)
    mixed = (shares[..., :-1].flatten(2, 3) @ values).view(grouped.shape) + shares[..., -1:] * value.unsqueeze(2)
    return mixed.view(batch, heads, count, width).transpose(1, 2)


def _past(where: Tensor, length: int, mask: Tensor | None) -> Tensor:
    """[B, Q, T]: which recorded positions a query at `where` [B, Q] may attend to, its own excluded."""
    before: Tensor = torch.arange(length, device=where.device) < where[..., None]
    if mask is None:
        return before
    rows = _gather(mask[:, 0].expand(len(where), -1, -1), where)  # a sliding window forbids some of the past
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
        return _gather(value.expand(batch, *value.shape[1:]), where)
    return value


def _gather(value: Tensor, where: Tensor) -> Tensor:
    """Entries [B, Q, ...] of a tensor [B, T, ...] at positions `where` [B, Q]."""
    return value[torch.arange(len(where), device=where.device)[:, None], where]


# -- around it -------------------------------------------------------------------------------------------------------


def _batches(items: list[Encoded], budget: int) -> list[list[Encoded]]:
    """Items of similar length in batches of at most `budget` padded positions (or of one item)."""
    batches: list[list[Encoded]] = []
    for item in sorted(items, key=lambda i: (len(i.prompt) + len(i.answer), len(i.answer)), reverse=True):
        longest = len(batches[-1][0].prompt) + len(batches[-1][0].answer) if batches else 0
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(item)
        else:
            batches.append([item])
    return batches


@contextmanager
def _replayable(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode, the recording attention, no weight gradients; all put back at the end."""
    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, eager_mask)
    before, training = model.config._attn_implementation, model.training
    flags = [(p, p.requires_grad) for p in model.parameters()]
    model.set_attn_implementation(_NAME)
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        _tape.set(_Tape())
        model.set_attn_implementation(before)
        model.train(training)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _verify(model: PreTrainedModel, found: Sequence[Layer], tail: nn.Module, item: Encoded) -> None:
    """Raise unless the stream, with nothing scaled, gives the model's own log-probabilities on one item."""
    tape, where, labels = _record(model, found, [item])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([(item.prompt + item.answer)[:-1]], device=model.device)).logits
        want = _label_logps(nn.Identity(), logits[0, where[0]], labels[0])
        try:
            stream = _scaled(found[0], 0, tape, where, torch.ones(1, device=where.device))[2]
            stream = _run(found[1:], 1, tape, where, stream, 1)
            got = _label_logps(tail, stream[0], labels[0])
        except (RuntimeError, TypeError) as error:
            raise BenchError(f"{type(model).__name__}: its layers cannot be replayed one by one: {error}") from error
    gap = float((got - want).abs().mean())
    if not gap <= 10 * torch.finfo(model.dtype).eps ** 0.5 * (1 + float(want.abs().mean())):
        raise BenchError(
            f"{type(model).__name__}: replaying its layers gives log-probabilities that differ by {gap:.2g} from its "
            "own, so exact attribution would be wrong. Its attention or its head does more than layers and final norm."
        )
