"""The fast exact attribution against the naive loop that defines it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from bench.contracts import Encoded
from bench.errors import BenchError
from bench.model.architecture import head, layers
from methods import _attribution, _stream
from methods._attribution import attribute

Tiny = Callable[..., PreTrainedModel]
VOCABULARY = 50
QUANTITIES = ("loss", "probability")


def sequences(count: int = 5, seed: int = 0) -> list[Encoded]:
    """Prompts of 1 to 6 and answers of 1 to 7 random tokens."""
    random = np.random.default_rng(seed)
    return [
        Encoded(random.integers(2, VOCABULARY, p).tolist(), [*random.integers(2, VOCABULARY, a).tolist(), 1])
        for p, a in zip(random.integers(1, 7, count), random.integers(0, 7, count), strict=True)
    ]


def naive(model: PreTrainedModel, items: list[Encoded], steps: int, quantity: str) -> list[Tensor]:
    """The definition, one pass for each answer token, layer and step: Att = 1/m sum_j sum_i beta dF(a_j)/da."""
    found = layers(model)
    totals = [torch.zeros(layer.neurons) for layer in found]
    for item in items:
        ids = item.prompt + item.answer
        for end in range(len(item.prompt), len(ids)):
            prefix, target = torch.tensor([ids[:end]]), ids[end]
            for total, layer in zip(totals, found, strict=True):
                for j in range(1, steps + 1):
                    beta, slope = scaled_gradient(model, layer.down, prefix, target, j / steps, quantity)
                    total += beta * slope / steps
    return totals


def scaled_gradient(
    model: PreTrainedModel, down: torch.nn.Module, prefix: Tensor, target: int, scale: float, quantity: str
) -> tuple[Tensor, Tensor]:
    """beta [N] at the prefix's last position, and dF/da [N] at a = scale * beta there."""
    caught: list[Tensor] = []

    def replace(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        rows = inputs[0].detach().flatten(0, -2)  # OPT hands its MLP rows
        caught.extend((rows[-1], (scale * rows[-1]).requires_grad_()))
        return (torch.cat((rows[:-1], caught[1][None])).view(inputs[0].shape),)

    with down.register_forward_pre_hook(replace):
        logp = model(prefix).logits[0, -1].log_softmax(-1)[target]
    value = -logp if quantity == "loss" else logp.exp()
    return caught[0], torch.autograd.grad(value, caught[1])[0]


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_equals_the_naive_loop(tiny: Tiny, family: str, quantity: str) -> None:
    """To 1e-5 of the layer's largest attribution, in one padded batch of different lengths."""
    model, items = tiny(family), sequences()
    found = attribute(model, items, steps=3, quantity=quantity)
    for fast, slow in zip(found, naive(model, items, 3, quantity), strict=True):
        assert slow.abs().max() > 1e-4
        assert (fast - slow).abs().max() <= 1e-5 * slow.abs().max()


@pytest.mark.parametrize("budget", [1, 7, 40])
def test_the_budget_does_not_matter(tiny: Tiny, budget: int) -> None:
    """One item and one label at a time, or everything at once: the same numbers."""
    model, items = tiny("llama"), sequences(7)
    found = attribute(model, items, steps=2, budget=budget)
    for small, large in zip(found, attribute(model, items, steps=2), strict=True):
        torch.testing.assert_close(small, large, rtol=0, atol=1e-6 * float(large.abs().max()))


def test_completeness(tiny: Tiny) -> None:
    """As m grows the sum over a layer's neurons tends to F(beta) - F(0) summed over the labels, the theorem of
    integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365, prop. 1); 200 steps are within 2%."""
    model, items = tiny("llama"), sequences(2)
    found = attribute(model, items, steps=200, quantity="loss")
    for layer, total in zip(layers(model), found, strict=True):
        want = 0.0
        for item in items:
            ids = item.prompt + item.answer
            for end in range(len(item.prompt), len(ids)):
                want += label_loss(model, layer.down, ids, end, 1.0) - label_loss(model, layer.down, ids, end, 0.0)
        assert float(total.sum()) == pytest.approx(want, rel=0.02, abs=0.02)


@torch.no_grad()
def label_loss(model: PreTrainedModel, down: torch.nn.Module, ids: list[int], end: int, scale: float) -> float:
    def shrink(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (torch.cat((inputs[0][:, :-1], scale * inputs[0][:, -1:]), 1),)

    with down.register_forward_pre_hook(shrink):
        return -float(model(torch.tensor([ids[:end]])).logits[0, -1].log_softmax(-1)[ids[end]])


def test_leaves_the_model_as_it_was(tiny: Tiny) -> None:
    model = tiny("llama").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.model.norm.requires_grad_(False)
    how = model.config._attn_implementation
    attribute(model, sequences(2))
    assert model.training and model.config._attn_implementation == how
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["model.norm.weight"]
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_that_does_more_than_its_layers_is_refused(tiny: Tiny) -> None:
    """Logits that the model scales after its head would make the gradients wrong: caught, not returned."""
    model = tiny("llama")
    model.register_forward_hook(lambda _, args, output: type(output)(logits=output.logits * 3))
    with pytest.raises(BenchError, match="replaying its layers"):
        attribute(model, sequences(2))


def leave_out_attention_cap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_stream, "_attention", without(_stream._attention, "softcap"))


def leave_out_attention_cap_above(patch: pytest.MonkeyPatch) -> None:
    """In the stream alone: the plain pass, which it is recorded from, is right."""
    original = _stream._own_and_past
    patch.setattr(_stream, "_own_and_past", lambda *args: original(*args[:6], None))


def leave_out_final_cap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_attribution, "head", lambda model: head(model)[:2])


def leave_out_the_window(patch: pytest.MonkeyPatch) -> None:
    original = _stream._past
    patch.setattr(_stream, "_past", lambda where, length, mask: original(where, length, None))


def scale_the_bias(patch: pytest.MonkeyPatch) -> None:
    """With nothing scaled there is no gap at all."""
    patch.setattr(_attribution, "_bias", lambda module, output: output.new_zeros(()))


def leave_out_scaling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_stream, "_attention", without(_stream._attention, "scaling"))


def without(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    return lambda *args, **named: function(*args, **{k: v for k, v in named.items() if k != name})


@pytest.mark.parametrize(
    ("family", "plant"),
    [
        ("gemma2", leave_out_attention_cap),
        ("gemma2", leave_out_attention_cap_above),
        ("gemma2", leave_out_final_cap),
        ("gemma2", leave_out_the_window),
        ("gemma2-mild", leave_out_attention_cap),
        ("gemma2-mild", leave_out_attention_cap_above),
        ("gemma2-mild", leave_out_final_cap),
        ("gemma3-vision", leave_out_the_window),
        ("gpt2", scale_the_bias),
        ("opt", scale_the_bias),
        ("opt", leave_out_scaling),
    ],
)
def test_the_self_check_catches_a_gap(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, family: str, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Planted one by one; "gemma2-mild" has caps so wide that attributions are off by a percent or less."""
    attribute(tiny(family), sequences(3))
    plant(monkeypatch)
    with pytest.raises(BenchError, match="differ from the definition by .* of the largest") as caught:
        attribute(tiny(family), sequences(3))
    assert "\n" not in str(caught.value)


def test_a_layer_that_cannot_be_replayed_is_refused_in_one_line(tiny: Tiny) -> None:
    model = tiny("llama")
    forward = model.model.layers[1].forward

    def picky(hidden: Tensor, **named: Any) -> Tensor:
        if named["position_ids"][0, 0] != 0:
            raise ValueError("whole sequences only\nand more")
        return forward(hidden, **named)

    model.model.layers[1].forward = picky
    with pytest.raises(BenchError, match="cannot be replayed one by one: whole sequences only$"):
        attribute(model, sequences(2))


def test_own_attention_is_put_back_in_every_part(tiny: Tiny) -> None:
    model = tiny("gemma3-vision")
    model.set_attn_implementation({"vision_config": "eager"})
    attribute(model, sequences(2))
    found = [c._attn_implementation for c in (model.config, model.config.text_config, model.config.vision_config)]
    assert found == ["sdpa", "sdpa", "eager"]


def test_nothing_to_attribute(tiny: Tiny) -> None:
    with pytest.raises(BenchError, match="no item has an answer token"):
        attribute(tiny("llama"), [Encoded([3, 4], [])])


def test_memory_is_bounded_by_the_budget(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream never holds more positions than the budget, and activations are held for its label positions only,
    not for each step of them."""
    model, seen = tiny("llama"), []
    original = _attribution._scaled

    def watch(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
        beta, leaf, stream = original(*args)
        seen.append((beta.shape[0] * beta.shape[1], stream.shape[0] * stream.shape[1]))
        return beta, leaf, stream

    monkeypatch.setattr(_attribution, "_scaled", watch)
    attribute(model, sequences(4), steps=6, budget=60)
    assert max(stream for _, stream in seen) <= 60
    assert all(6 * positions == stream for positions, stream in seen[len(layers(model)) :])  # the self-check
