"""Single weights of a tensor: only they train, as under the triple mask, and the rest is the same to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.api import Optimizer
from bench.errors import BenchError, UsageError
from bench.train import spread
from bench.train.checkpointing import checkpointed
from bench.train.footprint import count
from bench.train.masking import trainable
from bench.train.remainders import Remainders, stepping
from methods.adamw import AdamW
from methods.adamw_8bit import AdamW8bit
from methods.sophia import SophiaOptimizer
from tests.methods.test_masking import IDS, loss

Tiny = Callable[..., PreTrainedModel]
ADAMW = AdamW(lr=1e-3, weight_decay=0.1)
SOPHIA = SophiaOptimizer(lr=1e-3, weight_decay=0.1, gamma=20.0, eps=1e-9)


def random_masks(model: nn.Module, share: float = 0.3) -> dict[str, Tensor]:
    """A mask of every tensor, embedding, norms and biases too; the last one has nothing that moves."""
    random = torch.Generator().manual_seed(1)
    masks = {name: torch.rand(p.shape, generator=random) < share for name, p in model.named_parameters()}
    masks[[*masks][-1]].zero_()
    return masks


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def train(model: PreTrainedModel, masks: Any, optimizer: Optimizer, steps: int, around: Any = nullcontext) -> None:
    """Steps with the gradient's norm clipped, as the loop takes them."""
    with trainable(model, masks) as params, around(model):
        stepper = stepping(params, optimizer.build)
        for _ in range(steps):
            for p in params:
                p.grad = None
            loss(model).backward()
            nn.utils.clip_grad_norm_(params, 1.0)
            stepper.step()


def triple_mask(model: PreTrainedModel, masks: dict[str, Tensor], optimizer: Any, steps: int) -> None:
    """The same by definition: every weight has gradient, state and decay, and what is frozen is set back each time."""
    whole = [p for p in model.parameters() if p.ndim >= 2], [p for p in model.parameters() if p.ndim < 2]
    stepper = optimizer.build([*whole[0], *whole[1]])
    start = values(model)
    for _ in range(steps):
        model.zero_grad()
        loss(model).backward()
        for name, p in model.named_parameters():
            p.grad = p.grad * masks[name]  # type: ignore[operator]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        stepper.step()
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(torch.where(masks[name], p, start[name]))


@pytest.mark.parametrize("optimizer", [ADAMW, SOPHIA])
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
def test_equals_the_triple_mask(tiny: Tiny, family: str, optimizer: Any) -> None:
    """20 clipped steps with decay in double precision: every weight to 1e-6, a tied embedding (llama, gpt2) too."""
    naive, compact = tiny(family).double(), tiny(family).double()
    start, masks = values(naive), random_masks(naive)
    triple_mask(naive, masks, optimizer, 20)
    train(compact, masks, optimizer, 20)
    for (name, want), (_, got) in zip(naive.named_parameters(), compact.named_parameters(), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-6, msg=name)
    assert max(float((p - start[n]).detach().abs().max()) for n, p in compact.named_parameters()) > 1e-3


@pytest.mark.parametrize("optimizer", [ADAMW, SOPHIA])
def test_frozen_weights_are_bit_identical_after_20_steps_with_decay(tiny: Tiny, family: str, optimizer: Any) -> None:
    model = tiny(family)
    start, masks = values(model), random_masks(model)
    train(model, masks, optimizer, 20)
    moved = {name: p.detach() != start[name] for name, p in model.named_parameters()}
    assert not any(bool((moved[name] & ~masks[name]).any()) for name in masks)
    assert any(bool(moved[name].any()) for name in masks)


def test_adamw_in_8_bits_moves_what_is_selected_alone(tiny: Tiny) -> None:
    pytest.importorskip("bitsandbytes")
    model = tiny("llama")
    start, masks = values(model), random_masks(model, 0.9)
    train(model, masks, AdamW8bit(lr=1e-3, weight_decay=0.1), 2)
    moved = {name: p.detach() != start[name] for name, p in model.named_parameters()}
    assert not any(bool((moved[name] & ~masks[name]).any()) for name in masks)
    assert all(bool(moved[name][masks[name]].any()) for name in masks if masks[name].sum() > 100)


def test_a_mask_that_leaves_nothing_out_is_the_whole_tensor(tiny: Tiny) -> None:
    """To the bit: the same parameters are handed to the optimizer."""
    every, masked = tiny("llama"), tiny("llama")
    train(every, dict.fromkeys(values(every)), SOPHIA, 5)
    train(masked, {name: torch.ones_like(p, dtype=torch.bool) for name, p in values(masked).items()}, SOPHIA, 5)
    assert all(torch.equal(a, b) for a, b in zip(every.parameters(), masked.parameters(), strict=True))


def test_state_is_of_what_moves_and_what_decays_is_told_by_its_axes(tiny: Tiny) -> None:
    model = tiny("llama-untied")
    masks = random_masks(model)
    with trainable(model, masks) as params:
        chosen = {name: mask for name, mask in masks.items() if mask.any()}
        assert [p.numel() for p in params] == [int(mask.sum()) for mask in chosen.values()]
        assert [p.ndim for p in params] == [min(mask.ndim, 2) for mask in chosen.values()]
        assert {p.ndim for p in params} == {1, 2}
        optimizer = ADAMW.build(params)
        loss(model).backward()
        optimizer.step()
        held = sum(t.numel() for state in optimizer.state.values() for t in state.values() if t.numel() > 1)
        assert held == 2 * sum(int(mask.sum()) for mask in masks.values() if mask.sum() > 1)
        assert not any(p.grad is not None for p in model.parameters())


def test_only_matrices_decay(tiny: Tiny) -> None:
    """Without a gradient decay alone moves weights: those of matrices by lr times decay, those of norms not at all."""
    model = tiny("llama")
    start, masks = values(model), random_masks(model)
    with trainable(model, masks) as params:
        for p in params:
            p.grad = torch.zeros_like(p)
        AdamW(lr=0.1, weight_decay=0.5).build(params).step()
    for name, p in model.named_parameters():
        shrunk = start[name] * torch.where(masks[name], 0.95, 1.0) if p.ndim >= 2 else start[name]
        torch.testing.assert_close(p.detach(), shrunk, rtol=1e-6, atol=0, msg=name)


def test_the_forward_pass_is_the_same_to_the_bit_and_all_is_put_back(tiny: Tiny, family: str) -> None:
    model = tiny(family)
    names = [name for name, _ in model.named_parameters()]
    model.get_parameter(names[0]).requires_grad_(False)
    start = values(model)
    with torch.no_grad():
        want = model(IDS).logits
        with trainable(model, random_masks(model)):
            assert torch.equal(model(IDS).logits, want)
    with pytest.raises(RuntimeError, match="boom"), trainable(model, random_masks(model)):
        raise RuntimeError("boom")
    assert [name for name, _ in model.named_parameters()] == names
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * (len(names) - 1)
    assert all(torch.equal(p, start[name]) for name, p in model.named_parameters())
    assert not any({"forward", "weight", "bias"} & vars(module).keys() for module in model.modules())


def test_tied_embeddings_move_together(tiny: Tiny) -> None:
    """Embedding and head are one tensor within the block too: its gradient is of both, and both see each step."""
    model, free = tiny("llama"), tiny("llama")
    name = "model.embed_tokens.weight"
    mask = torch.zeros_like(model.get_parameter(name), dtype=torch.bool)
    mask[5, 3] = mask[7] = True
    with trainable(model, {name: mask}) as (compact,):
        loss(model).backward()
        loss(free).backward()
        torch.testing.assert_close(compact.grad, free.get_parameter(name).grad[mask][None])
        with torch.no_grad():
            compact.add_(1.0)
            model(IDS)
        assert model.lm_head.weight is model.model.embed_tokens.weight
        torch.testing.assert_close(model.lm_head.weight[mask], free.lm_head.weight[mask] + 1)


def test_layers_that_are_run_again_and_curvature_by_differentiating_twice(tiny: Tiny) -> None:
    """Checkpointing gives the same steps; the Hessian's product is that of all weights, at the places."""
    plain, again = tiny("llama"), tiny("llama")
    train(plain, random_masks(plain), ADAMW, 3)
    train(again, random_masks(again), ADAMW, 3, around=checkpointed)
    for (name, one), (_, other) in zip(plain.named_parameters(), again.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7, msg=name)
    model, free = tiny("llama").double(), tiny("llama").double()
    name = "model.layers.1.mlp.down_proj.weight"
    mask = random_masks(model)[name]

    def curved(net: PreTrainedModel, weights: Tensor) -> Tensor:
        net.config._attn_implementation = "eager"  # the attention that can be differentiated twice
        (slope,) = torch.autograd.grad(loss(net), weights, create_graph=True)
        return torch.autograd.grad(slope[mask].sum() if slope.shape == mask.shape else slope.sum(), weights)[0]

    with trainable(model, {name: mask}) as (compact,):
        torch.testing.assert_close(curved(model, compact)[0], curved(free, free.get_parameter(name))[mask])


def test_checkpointing_gives_back_a_layer_that_holds_trained_weights_itself(tiny: Tiny) -> None:
    model = tiny("llama")
    layer = model.model.layers[0]
    layer.scale = nn.Parameter(torch.ones(4))
    with trainable(model, {"model.layers.0.scale": torch.tensor([True, False, True, True])}):
        own = layer.forward
        with checkpointed(model):
            assert layer.forward is not own
        assert layer.forward is own
    assert "forward" not in vars(layer)


def test_bfloat16_weights_have_remainders_of_what_moves(tiny: Tiny) -> None:
    """A step of 1e-5 on weights of 0.2 is lost in bfloat16; 20 of them with remainders are not."""
    model = tiny("llama").bfloat16()
    start, masks = values(model), random_masks(model)
    with trainable(model, masks) as params:
        stepper = stepping(params, AdamW(lr=1e-4, weight_decay=0.0).build)
        assert isinstance(stepper, Remainders)
        for _ in range(20):
            stepper.zero_grad()
            loss(model).backward()
            stepper.step()
    moved = {name: p.detach() != start[name] for name, p in model.named_parameters()}
    assert not any(bool((moved[name] & ~masks[name]).any()) for name in masks)
    name = "model.layers.0.mlp.down_proj.weight"
    assert float(moved[name][masks[name]].float().mean()) > 0.5


def test_a_copy_runs_on_its_own_weights_and_a_pass_can_be_counted(tiny: Tiny) -> None:
    model = tiny("llama")
    whole = count(model, 2, 16)
    with torch.no_grad():
        want = model(IDS).logits
        with trainable(model, random_masks(model)) as params:
            twin = copy.deepcopy(model)
            params[0].zero_()
            assert torch.equal(twin(IDS).logits, want)
            assert not torch.equal(model(IDS).logits, want)
            with torch.enable_grad():
                assert 0 < count(model, 2, 16).saved <= whole.saved


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"model.norm.weight": torch.ones(3, dtype=torch.bool)}, r"must have its shape \(32,\), not \(3,\)"),
        ({"model.norm.weight": torch.zeros(32, dtype=torch.bool)}, "no weight at all"),
        (
            dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), torch.eye(50, 32, dtype=torch.bool)),
            "which are one tensor",
        ),
    ],
)
def test_bad_masks(tiny: Tiny, masks: dict[str, Tensor], words: str) -> None:
    with pytest.raises(BenchError, match=words), trainable(tiny("llama"), masks):
        pass


def test_slices_of_tensors_are_refused(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under FSDP alone, and masks that leave nothing out are whole tensors."""
    model = tiny("llama")
    monkeypatch.setattr(spread, "sharded", lambda: True)
    with trainable(model, {"model.norm.weight": torch.ones(32, dtype=torch.bool)}) as params:
        assert len(params) == 1
    with pytest.raises(UsageError, match="FSDP.*--multi_gpu"), trainable(model, random_masks(model)):
        pass


def test_weights_that_another_module_reads_are_named(tiny: Tiny) -> None:
    """A layer that takes a matrix of its child without running it, as Mamba's does, would train nothing in silence."""

    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.inner.weight

    model = Reading()
    mask = torch.eye(3, dtype=torch.bool)
    said = pytest.warns(UserWarning, match=r"3 weights of inner\.weight may move and did not")
    with said, trainable(model, {"inner.weight": mask}):
        model(torch.ones(1, 3))
