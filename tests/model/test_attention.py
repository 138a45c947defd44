"""Attention under autocast: float32 on a CPU, handed on as it would have been."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bench.model.precision import arithmetic, autocast

CPU = torch.device("cpu")


def test_attention_computes_in_float32_and_gives_bfloat16() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 8).bfloat16().requires_grad_() for _ in range(3))
    wide = [x.detach().float().requires_grad_() for x in (query, key, value)]
    with autocast(CPU):
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    expected = F.scaled_dot_product_attention(*wide, is_causal=True)
    assert found.dtype == torch.bfloat16 and torch.equal(found, expected.bfloat16())
    found.float().square().sum().backward()
    expected.bfloat16().float().square().sum().backward()
    for narrow, whole in zip((query, key, value), wide, strict=True):
        assert narrow.grad is not None and whole.grad is not None
        assert torch.equal(narrow.grad, whole.grad.bfloat16())


def test_nothing_else_changes() -> None:
    """Products are bfloat16's as ever; without autocast attention is what it was."""
    x = torch.randn(4, 8)
    with arithmetic("mixed", CPU):
        assert (x @ x.T).dtype == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    with arithmetic("float32", CPU):
        assert (x @ x.T).dtype == torch.float32
