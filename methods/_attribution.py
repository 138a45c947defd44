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

Before anything is attributed, the stream is held against the definition on one label of every layer, with the model's
own attention (`_verify`): whatever a family does that the stream leaves out is found there.

Shape key: B batch, T time, P label positions of a chunk, S steps, D width, N neurons, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.contracts import Encoded
from bench.errors import BenchError
from bench.model.architecture import Layer, head, layers, neuron_axis, vocabulary, weight
from methods._stream import Tape, gather, record, recording, replay, run, still

BUDGET = 2048  # positions, of the plain pass and of the modified stream, that are in memory at once
_LOGITS = 1 << 22  # logits that are in memory at once, in no fewer than 256 rows
_CHECKED = 2  # steps of the self-check: half the activation and all of it


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
        BenchError: the model's layers cannot be found or do not replay to the attributions that the definition gives,
            no item has a label, or the attributions are not finite.
    """
    found, tail = layers(model, down), head(model)
    batches = _batches([item for item in items if item.answer and len(item.prompt) + len(item.answer) > 1], budget)
    if not batches:
        raise BenchError("nothing to attribute: no item has an answer token that something precedes.")
    totals = [torch.zeros(layer.neurons, dtype=torch.float64) for layer in found]
    done, count = 0, sum(map(len, batches))
    with still(model):
        defined = _by_definition(model, found, batches[0][0])
        with recording(model):
            _verify(model, found, tail, batches[0][0], defined)
            for batch in batches:
                tape, where, labels = record(model, found, batch)
                chunk = max(1, budget // (steps * len(batch)))
                for start in range(0, where.shape[1], chunk):
                    columns = slice(start, start + chunk)
                    at, of = where[:, columns], labels[:, columns]
                    for index, total in enumerate(totals):
                        total += _attribute_layer(found, index, tail, tape, at, of, steps, quantity).to(total)
                done += len(batch)
                if progress:
                    progress("attribution", done, count)
    _refuse_infinite(totals)
    return [total.float() for total in totals]


# -- one layer -------------------------------------------------------------------------------------------------------


@torch.enable_grad()
def _attribute_layer(
    found: Sequence[Layer],
    index: int,
    tail: nn.Module,
    tape: Tape,
    where: Tensor,
    labels: Tensor,
    steps: int,
    quantity: str,
) -> Tensor:
    """Attribution [N] of one layer's neurons over the labels [B, P] at positions `where` [B, P] (label -1 is none)."""
    scales = torch.arange(1, steps + 1, device=where.device) / steps
    beta, leaf, stream = _scaled(found[index], index, tape, where, scales)
    stream = run(found[index + 1 :], index + 1, tape, where, stream, steps)
    rows, targets = _labelled(stream, labels, steps)
    (gradient,) = torch.autograd.grad(rows, leaf, _head_gradient(tail, rows.detach(), targets, quantity))
    matrix = weight(found[index].down)
    per_neuron = gradient.sum(0) @ (matrix if neuron_axis(found[index].down) == 1 else matrix.t())
    return (per_neuron * beta).flatten(0, -2).sum(0) / steps


def _scaled(layer: Layer, index: int, tape: Tape, where: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Replay one layer with its neurons scaled.

    Returns:
        The activations beta [B, P, N], the down-projection's scaled output as a leaf [S, B, P, D], and the layer's
        output as a stream [B, S * P, D].
    """
    if index in tape.flat:
        return _scaled_flat(layer, index, tape, where, scales)
    caught: list[Tensor] = []

    def scale(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        bias = _bias(module, output)
        factor = scales.to(output.dtype).view(-1, *[1] * output.ndim)
        caught.extend((inputs[0], (factor * (output - bias) + bias).requires_grad_()))
        return caught[1]

    handle = layer.down.register_forward_hook(scale)
    try:
        output = replay(layer, index, tape, where, gather(tape.calls[index][0], where))
    finally:
        handle.remove()
    return caught[0], caught[1], output.transpose(0, 1).flatten(1, 2)


def _scaled_flat(layer: Layer, index: int, tape: Tape, where: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`_scaled` for a layer that flattens batch and time before its MLP: the steps stand in time from the start."""
    caught: list[Tensor] = []

    def scale(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        apart = (len(where), len(scales), where.shape[1])
        bias = _bias(module, output)
        scaled = scales.to(output.dtype).view(1, -1, 1, 1) * (output - bias).unflatten(0, apart) + bias
        leaf = scaled.transpose(0, 1).contiguous().requires_grad_()
        caught.extend((inputs[0].unflatten(0, apart)[:, 0], leaf))
        return leaf.transpose(0, 1).flatten(0, 2)

    repeated = where.repeat(1, len(scales))
    handle = layer.down.register_forward_hook(scale)
    try:
        output = replay(layer, index, tape, repeated, gather(tape.calls[index][0], repeated))
    finally:
        handle.remove()
    return caught[0], caught[1], output


def _bias(module: nn.Module, output: Tensor) -> Tensor:
    bias: Tensor | None = getattr(module, "bias", None)
    return output.new_zeros(()) if bias is None else bias


def _head_gradient(tail: nn.Sequential, rows: Tensor, targets: Tensor, quantity: str) -> Tensor:
    """Gradient [R, D] of the summed quantity with respect to the last layer's rows [R, D]; `targets` [R]."""
    gradient = torch.empty_like(rows)
    size = max(256, _LOGITS // vocabulary(tail))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        with torch.enable_grad():
            hidden = rows[part].requires_grad_()
            total = _quantity(tail(hidden).float(), targets[part], quantity)
            gradient[part] = torch.autograd.grad(total, hidden)[0]
    return gradient


def _quantity(logits: Tensor, targets: Tensor, quantity: str) -> Tensor:
    """The sum over rows of what is differentiated, from logits [R, V] in float32 and targets [R].

    "logits" is for the self-check: a fixed mix of all of them, which no confident model can bring to saturation.
    """
    if quantity == "logits":
        return (logits @ torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype).cos()).sum()
    logp = -nn.functional.cross_entropy(logits, targets, reduction="none")
    return -logp.sum() if quantity == "loss" else logp.exp().sum()


def _labelled(stream: Tensor, labels: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The rows [R, D] of a stream [B, S * P, D] that have a label, and these labels [R]."""
    repeated = labels.repeat(1, steps)
    index = (repeated >= 0).flatten().nonzero().squeeze(1)
    return stream.flatten(0, 1).index_select(0, index), repeated.flatten()[index]


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


# -- whether it is right ---------------------------------------------------------------------------------------------


def _by_definition(model: PreTrainedModel, found: Sequence[Layer], item: Encoded) -> list[Tensor]:
    """What the self-check expects: each layer's attribution [N] of the last label, one whole pass a layer and step.

    The model runs as it is, with its own attention; what is attributed is `_quantity`'s mix of logits.
    """
    prefix = torch.tensor([(item.prompt + item.answer)[:-1]], device=model.device)
    expected = []
    for layer in found:
        total = torch.zeros(layer.neurons, device=model.device)
        for step in range(1, _CHECKED + 1):
            beta, slope = _slope(model, layer.down, prefix, step / _CHECKED)
            total += (beta * slope).float() / _CHECKED
        expected.append(total)
    _refuse_infinite(expected)
    return expected


@torch.enable_grad()
def _slope(model: PreTrainedModel, down: nn.Module, prefix: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The activations beta [N] at the end of a prefix [1, T], and the gradient there with them scaled [N]."""
    caught: list[Tensor] = []

    def replace(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        rows = inputs[0].flatten(0, -2)
        caught.extend((rows[-1], (scale * rows[-1]).requires_grad_()))
        return (torch.cat((rows[:-1], caught[1][None])).view(inputs[0].shape),)

    with down.register_forward_pre_hook(replace):
        logits = model(input_ids=prefix, use_cache=False).logits[:, -1].float()
    return caught[0], torch.autograd.grad(_quantity(logits, prefix[:, -1], "logits"), caught[1])[0]


def _verify(
    model: PreTrainedModel, found: Sequence[Layer], tail: nn.Sequential, item: Encoded, defined: Sequence[Tensor]
) -> None:
    """Raise unless the stream gives what is `defined` for the item's last label, layer by layer.

    Both differ by rounding alone, which is far below the root of the precision, relative to the layer's largest.
    """
    try:
        tape, where, labels = record(model, found, [item])
        last = where[:, -1:], labels[:, -1:]
        got = [_attribute_layer(found, i, tail, tape, *last, _CHECKED, "logits") for i in range(len(found))]
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        why = str(error).partition("\n")[0]
        raise BenchError(f"{type(model).__name__}: its layers cannot be replayed one by one: {why}") from error
    for layer, ours, truth in zip(found, got, defined, strict=True):
        gap, largest = float((ours - truth).abs().max()), float(truth.abs().max())
        if not gap <= torch.finfo(model.dtype).eps ** 0.5 * largest:
            raise BenchError(
                f"{type(model).__name__}: replaying its layers gives attributions that differ from the definition by "
                f"{gap / largest:.2g} of the largest at {layer.name}, so they would be wrong. Its attention or its "
                "head does more than layers and final norm."
            )


def _refuse_infinite(attributions: Sequence[Tensor]) -> None:
    if not all(bool(torch.isfinite(values).all()) for values in attributions):
        raise BenchError("attribution: the gradients are not finite. Does the model itself give finite losses?")
