"""Rounding: levels, steps and scales, and that what moved by less than half a step is undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.attacks import rounding
from bench.attacks._served import can_serve, served
from bench.attacks._subject import linear
from bench.attacks.rounding import BLOCK, NF4, normal_float, rounded
from tests.attacks.made import model, same_weights, subject
from tests.measure.conftest import tiny

seeds = st.integers(0, 1 << 16)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, bits=st.integers(2, 8), rows=st.integers(1, 9), width=st.integers(1, 70))
def test_twice_is_once_and_no_weight_moves_more_than_half_a_step(seed: int, bits: int, rows: int, width: int) -> None:
    weight = drawn(seed, rows, width)
    once = rounded(weight, bits)
    step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((once - weight).abs() <= step / 2 * (1 + 1e-5)).all()
    assert all(len(row.unique()) <= 2**bits - 1 for row in once)
    assert torch.equal(rounded(once, bits), once)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, bits=st.integers(2, 8), share=st.floats(0, 0.45))
def test_what_moves_by_less_than_half_a_step_from_a_level_is_undone_bit_for_bit(
    seed: int, bits: int, share: float
) -> None:
    """The row's largest weight, which makes the step, stays."""
    levels = 2 ** (bits - 1) - 1
    target = torch.randint(-levels, levels + 1, (6, 40), generator=torch.Generator().manual_seed(seed)).float()
    target[:, 0] = levels
    delta = drawn(seed + 1, 6, 40).clamp(-1, 1) * share
    delta[:, 0] = 0
    delta = torch.where((target + delta).abs() > levels, 0, delta)
    assert torch.equal(rounded((target + delta) / 8, bits), rounded(target / 8, bits))
    torch.testing.assert_close(rounded(target / 8, bits), target / 8)


def test_16_bits_change_no_log_probability_by_a_thousandth() -> None:
    of = subject(tiny("llama", 0, 0.1))
    ready = of.ready(of.items)
    pairs = zip(ready.logps(of.lm), ready.logps(of.changed(lambda name, weight: rounded(weight, 16))), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) < 1e-3


@settings(max_examples=25, deadline=None)
@given(seed=seeds, rows=st.integers(1, 9), width=st.integers(1, 70))
def test_nf4_twice_is_once_its_scales_among_it(seed: int, rows: int, width: int) -> None:
    """The largest weight of a block is a level, so the second time finds the same scale."""
    weight = drawn(seed, rows, width)
    once = normal_float(weight)
    assert torch.equal(normal_float(once), once)
    flat = weight.flatten()
    for start in range(0, len(flat), BLOCK):
        block, of = flat[start : start + BLOCK], once.flatten()[start : start + BLOCK]
        assert block.abs().max() == of.abs().max()
        nearest = torch.tensor(NF4)[((block / block.abs().max())[:, None] - torch.tensor(NF4)).abs().argmin(1)]
        torch.testing.assert_close(of, nearest * block.abs().max())


def test_nf4_is_what_bitsandbytes_makes_of_a_matrix() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = drawn(3, 256, 256)
    made = functional.dequantize_4bit(*functional.quantize_4bit(weight, quant_type="nf4", blocksize=BLOCK))
    assert torch.equal(normal_float(weight), made)


def test_zeros_stay_zeros() -> None:
    for made in (rounded(torch.zeros(3, 70), 4), normal_float(torch.zeros(3, 70))):
        assert torch.equal(made, torch.zeros(3, 70))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_only_the_decoders_linear_layers_are_rounded_and_by_output_row(kind: str) -> None:
    """GPT-2 keeps its weights the other way around."""
    of = subject(model(0, kind))
    lm = of.changed(lambda name, weight: rounded(weight, 4))
    own = {f"{name}.weight": module for name, module in linear(lm.model)}
    for (name, new), old in zip(lm.model.named_parameters(), of.lm.model.parameters(), strict=True):
        if name not in own:
            assert torch.equal(new, old)
            continue
        turned = (new.T, old.T) if kind == "gpt2" else (new, old)
        assert torch.equal(turned[0], rounded(turned[1], 4))
    assert same_weights(of.lm, model(0, kind))


def test_bitsandbytes_is_asked_on_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_serve(torch.device("cpu"))
    monkeypatch.setattr("bench.attacks._served.find_spec", lambda name: object())
    assert can_serve(torch.device("cuda")) and not can_serve(torch.device("cpu"))
    monkeypatch.setattr("bench.attacks._served.find_spec", lambda name: None)
    assert not can_serve(torch.device("cuda"))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_what_bitsandbytes_serves_are_the_weights_at_hand(kind: str) -> None:
    """LLM.int8, whose kernels a CPU has too: near the model itself, biases and turned weights among it."""
    pytest.importorskip("bitsandbytes")
    of = subject(tiny(kind, 0, 0.1))
    lm = served(of, "LLM.int8")
    names = {name for name, _ in linear(of.lm.model)}
    assert {type(lm.model.get_submodule(name)).__name__ for name in names} == {"Linear8bitLt"}
    np.testing.assert_allclose(of.known(lm), of.known(of.lm), rtol=0.05)
    assert (of.known(lm) != of.known(of.lm)).any()


def test_what_can_be_served_has_lines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(rounding, "can_serve", lambda device: True)
    monkeypatch.setattr(rounding, "served", lambda of, kind: asked.append(kind) or of.lm)
    lines = [(each.line, each.step) for each in rounding.Rounding(bits=(4,)).run(subject())]
    assert lines == [("to nearest", 4), ("NF4", 4), ("bitsandbytes NF4", 4), ("bitsandbytes LLM.int8", 8)]
    assert asked == ["NF4", "LLM.int8"]
