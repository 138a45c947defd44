"""The last MLP on label positions only: the same logits, fewer products, and never where somebody would notice."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from bench.model.heads import label_logits
from bench.model.last_layer import last_mlp, last_mlp_at
from bench.train.checkpointing import checkpointed
from tests.methods.conftest import _FAMILIES

AT = torch.tensor([3, 4, 9, 11, 17])
IDS = torch.arange(24).view(2, 12) % 7


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=30, **shape)).eval()


def whole(model: PreTrainedModel) -> Tensor:
    """The logits at the labels, of a pass in which every layer runs on every position."""
    return model(input_ids=IDS % model.config.get_text_config().vocab_size, use_cache=False).logits.flatten(0, 1)[AT]


def rows_of(model: PreTrainedModel) -> list[int]:
    """How many positions the last down-projection saw."""
    last, seen = model.model.layers[-1].mlp, list[int]()
    assert last_mlp(model) is last
    own = last.down_proj.forward

    def counted(x: Tensor) -> Tensor:
        seen.append(x.numel() // x.shape[-1])
        return own(x)

    last.down_proj.forward = counted
    label_logits(model, IDS, None, AT)
    del last.down_proj.forward
    return seen


@pytest.mark.parametrize("family", list(_FAMILIES))
def test_every_family_has_the_same_logits_and_gradients(family: str) -> None:
    model = _FAMILIES[family]().eval()
    twin = copy.deepcopy(model)
    ids = IDS % model.config.get_text_config().vocab_size
    expected, found = whole(twin).float(), label_logits(model, ids, None, AT).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * max(1.0, float(expected.abs().max())))
    for logits in (found, expected):
        logits.logsumexp(-1).sum().backward()
    for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None and b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=2e-5 * max(1.0, float(b.grad.abs().max())))


def test_it_runs_on_labels_alone(model: LlamaForCausalLM) -> None:
    assert rows_of(model) == [len(AT)]
    assert not any("forward" in vars(module) for module in model.modules())


def test_half_precision_keeps_to_round_numbers(model: LlamaForCausalLM) -> None:
    """And what fills them up has no part in a gradient."""
    with torch.autocast("cpu", torch.bfloat16):
        assert rows_of(model) == [64]
    mlp, x = model.model.layers[-1].mlp.bfloat16(), torch.randn(1, 24, 16).bfloat16().requires_grad_()
    with last_mlp_at(model, AT):
        out = mlp(x)
    out.sum().backward()
    assert x.grad is not None and set(x.grad[0].abs().sum(-1).nonzero().flatten().tolist()) == set(AT.tolist())


def test_somebody_who_listens_hears_every_position(model: LlamaForCausalLM) -> None:
    seen: list[torch.Size] = []
    handle = model.model.layers[-1].mlp.down_proj.register_forward_hook(lambda m, i, out: seen.append(out.shape))
    label_logits(model, IDS, None, AT)
    handle.remove()
    assert seen == [torch.Size([2, 12, 16])]
    with checkpointed(model):
        assert last_mlp(model) is None
    assert last_mlp(model) is model.model.layers[-1].mlp


class Shifted(nn.Module):
    """An MLP that looks at the position before, as RWKV's does."""

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.down_proj = mlp.down_proj
        self.up_proj = mlp.up_proj

    def forward(self, x: Tensor) -> Tensor:
        before = torch.cat([torch.zeros_like(x[..., :1, :]), x[..., :-1, :]], -2)
        return self.down_proj(self.up_proj(x + before))


def test_an_mlp_that_looks_beside_itself_runs_whole(model: LlamaForCausalLM) -> None:
    model.model.layers[-1].mlp = Shifted(model.model.layers[-1].mlp)
    assert last_mlp(model) is None
    torch.testing.assert_close(label_logits(model, IDS, None, AT), whole(model), rtol=0, atol=1e-5)
