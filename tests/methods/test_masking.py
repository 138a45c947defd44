"""Compact training of a selection: equal to the paper's triple mask, and blind to what is frozen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.api import Selection
from bench.errors import BenchError
from bench.model.architecture import layers, neuron_axis
from bench.train.masking import trainable
from methods.adamw import AdamW
from methods.sophia import SophiaOptimizer

Tiny = Callable[..., PreTrainedModel]
IDS = torch.arange(2, 26).view(2, 12)


def selection(model: PreTrainedModel) -> dict[str, Tensor | None]:
    """Attention in full and every third neuron, from another one in each layer."""
    found = layers(model)
    chosen: dict[str, Tensor | None] = {name: None for layer in found for name in layer.attention}
    for index, layer in enumerate(found):
        chosen[f"{layer.down_name}.weight"] = torch.arange(index, layer.neurons, 3)
    return chosen


def loss(model: PreTrainedModel) -> Tensor:
    return nn.functional.cross_entropy(model(IDS).logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())


def masks(model: PreTrainedModel, chosen: Selection) -> dict[str, Tensor]:
    """1 where a weight may move, for every parameter."""
    full = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for name, neurons in chosen.items():
        if neurons is None:
            full[name].fill_(1)
        else:
            full[name].index_fill_(neuron_axis(model.get_submodule(name.rpartition(".")[0])), neurons, 1)
    return full


STEP = SophiaOptimizer(lr=2e-3, weight_decay=0.5, gamma=20.0, eps=1e-9)
"""Keys' biases have no gradient but rounding (a softmax does not see them): this eps stops Sophia amplifying it."""


def triple_mask(model: PreTrainedModel, chosen: Selection, steps: int) -> None:
    """SIMU's stage 2 as the paper states it: Sophia on all weights, with the old m, h and theta where the mask is 0."""
    mask = masks(model, chosen)
    m = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    h = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for _ in range(steps):
        model.zero_grad()
        loss(model).backward()
        with torch.no_grad():
            for name, p in model.named_parameters():
                keep = mask[name] == 0
                m[name] = torch.where(keep, m[name], 0.9 * m[name] + 0.1 * p.grad)
                h[name] = torch.where(keep, h[name], 0.95 * h[name] + 0.05 * p.grad**2)
                new = p * (1 - STEP.lr * STEP.weight_decay) if p.ndim >= 2 else p
                new = new - STEP.lr * torch.clamp(m[name] / torch.clamp(STEP.gamma * h[name], min=STEP.eps), -1, 1)
                p.copy_(torch.where(keep, p, new))


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_equals_the_triple_mask(tiny: Tiny, family: str) -> None:
    """20 Sophia steps with weight decay, in double precision: every weight to 1e-6, and something moved by 1e-2."""
    naive, compact = tiny(family).double(), tiny(family).double()
    start = {name: p.detach().clone() for name, p in naive.named_parameters()}
    chosen = selection(naive)
    triple_mask(naive, chosen, 20)
    with trainable(compact, chosen) as params:
        optimizer = STEP.build(params)
        for _ in range(20):
            optimizer.zero_grad()
            loss(compact).backward()
            optimizer.step()
    for (name, want), (_, got) in zip(naive.named_parameters(), compact.named_parameters(), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-6, msg=name)
    assert max(float((p - start[n]).detach().abs().max()) for n, p in compact.named_parameters()) > 1e-2


@pytest.mark.parametrize("declared", [AdamW(lr=1e-2, weight_decay=0.5), SophiaOptimizer(lr=1e-2, weight_decay=0.5)])
def test_frozen_weights_are_bit_identical(tiny: Tiny, family: str, declared: AdamW | SophiaOptimizer) -> None:
    model = tiny(family)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    chosen = selection(model)
    with trainable(model, chosen) as params:
        optimizer = declared.build(params)
        for _ in range(3):
            optimizer.zero_grad()
            loss(model).backward()
            assert {id(p) for p in model.parameters() if p.grad is not None} <= {id(p) for p in params}
            optimizer.step()
    for name, p in model.named_parameters():
        moves = masks(model, chosen)[name].bool()
        assert torch.equal(p[~moves], start[name][~moves]), name
        assert not moves.any() or not torch.equal(p[moves], start[name][moves]), name


def test_state_is_proportional_to_what_may_move(tiny: Tiny) -> None:
    """Bytes of optimizer state against Sophia on all weights, within 5% of the share that may move."""
    model = tiny("llama")
    chosen = selection(model)
    movable = sum(float(m.sum()) for m in masks(model, chosen).values())
    sizes = []
    for some in (chosen, dict.fromkeys(n for n, _ in model.named_parameters())):
        with trainable(model, some) as params:
            optimizer = SophiaOptimizer().build(params)
            loss(model).backward()
            optimizer.step()
            tensors = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
            sizes.append(sum(t.numel() * t.element_size() for t in tensors))
            assert sum(p.grad.numel() for p in params if p.grad is not None) <= movable or some is not chosen
    share = movable / sum(p.numel() for p in model.parameters())
    assert sizes[0] / sizes[1] == pytest.approx(share, rel=0.05)


def test_the_forward_pass_is_right_inside_the_block(tiny: Tiny, family: str) -> None:
    model = tiny(family)
    with torch.no_grad():
        want = model(IDS).logits
        with trainable(model, selection(model)):
            torch.testing.assert_close(model(IDS).logits, want, rtol=1e-5, atol=1e-5)
        assert torch.equal(model(IDS).logits, want)


def test_everything_is_put_back_after_an_error(tiny: Tiny) -> None:
    model = tiny("llama")
    model.lm_head.weight.requires_grad_(False)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    flags = [p.requires_grad for p in model.parameters()]
    with pytest.raises(RuntimeError, match="boom"), trainable(model, selection(model)):
        raise RuntimeError("boom")
    assert flags == [p.requires_grad for p in model.parameters()]
    assert all(torch.equal(p, start[name]) for name, p in model.named_parameters())
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"nowhere.weight": None}, "'nowhere.weight', which the model lacks"),
        ({}, "no weight at all"),
        ({"model.layers.0.mlp.down_proj.weight": torch.tensor([], dtype=torch.int64)}, "no weight at all"),
        ({"model.norm.weight": torch.tensor([1])}, "no projection"),
        ({"model.layers.0.mlp.down_proj.weight": torch.tensor([1, 1])}, "distinct"),
        ({"model.layers.0.mlp.down_proj.weight": torch.tensor([1.0])}, "distinct"),
        ({"model.layers.0.mlp.down_proj.weight": torch.tensor([48])}, "out of range"),
    ],
)
def test_bad_selections(tiny: Tiny, chosen: Selection, words: str) -> None:
    with pytest.raises(BenchError, match=words), trainable(tiny("llama"), chosen):
        pass
