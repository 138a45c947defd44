"""Rounding: levels, steps and scales, and that what moved by less than half a step is undone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.attacks import rounding
from bench.attacks._served import WAYS, served, ways
from bench.attacks._subject import Subject, linear
from bench.attacks.rounding import BLOCK, NF4, normal_float, rounded
from bench.model.precision import Precision, dtype
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


def test_libraries_are_asked_where_they_are_and_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """bitsandbytes and int4 on CUDA alone, and what is not installed nowhere."""
    monkeypatch.setattr("bench.attacks._served.served", lambda of, way: None)

    def asked(device: str, installed: str) -> list[str]:
        monkeypatch.setattr("bench.attacks._served.find_spec", lambda name: name == installed or None)
        lm = SimpleNamespace(device=torch.device(device))
        of = SimpleNamespace(lm=lm, items=(), known=lambda lm, items: None)
        return [name for name, _, _ in ways(cast(Subject, of))]

    assert asked("cuda", "bitsandbytes") == ["bitsandbytes NF4", "bitsandbytes LLM.int8"]
    assert asked("cuda", "torchao") == ["torchao int8", "torchao int4"]
    assert asked("cpu", "torchao") == ["torchao int8"]
    assert asked("cpu", "bitsandbytes") == asked("cuda", "") == []


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(
    ("way", "package", "layer"),
    [("bitsandbytes LLM.int8", "bitsandbytes", "Linear8bitLt"), ("torchao int8", "torchao", "Linear")],
)
def test_what_libraries_serve_are_the_weights_at_hand(kind: str, way: str, package: str, layer: str) -> None:
    """8 bits, whose kernels a CPU has too: near the model itself, biases and turned weights among it."""
    pytest.importorskip(package)
    of = subject(tiny(kind, 0, 0.1))
    lm = served(of, way)
    names = {name for name, _ in linear(of.lm.model)}
    assert {type(lm.model.get_submodule(name)).__name__ for name in names} == {layer}
    np.testing.assert_allclose(of.known(lm), of.known(of.lm), rtol=0.05)
    assert (of.known(lm) != of.known(of.lm)).any()
    assert same_weights(of.lm, tiny(kind, 0, 0.1))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_torchao_s_int8_is_rounding_to_nearest_by_output_row(kind: str) -> None:
    """But that it has one step more on one side, so a row's largest weight may move: half a step of ours at most."""
    pytest.importorskip("torchao")
    of = subject(tiny(kind, 0, 0.1))
    lm, old = served(of, "torchao int8").model, of.lm.model
    for name, module in linear(old):
        weight = module.weight.T if kind == "gpt2" else module.weight
        made = lm.get_submodule(name).weight
        assert type(made).__name__ == "Int8Tensor"
        step = weight.abs().amax(1, keepdim=True) / 127
        assert ((made.dequantize() - rounded(weight, 8)).abs() <= step * (1 + 1e-4)).all()
        assert ((made.dequantize() - weight).abs() <= step * (0.5 + 1e-4)).all()


@pytest.mark.parametrize("precision", ["float32", "mixed", "bfloat16"])
def test_torchao_serves_whatever_a_model_computes_in(precision: Precision) -> None:
    pytest.importorskip("torchao")
    lm = tiny("llama", 0, 0.1)
    lm.model.to(dtype(precision))
    of = subject(lm, precision=precision)
    ((name, bits, made),) = ways(of)
    assert (name, bits) == ("torchao int8", 8)
    np.testing.assert_allclose(of.known(made), of.known(lm), rtol=0.2)


def test_what_torchao_refuses_is_no_reading_and_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mamba multiplies by a weight that has been made to look larger, which torchao does not know how to."""
    pytest.importorskip("torchao")
    with pytest.warns(UserWarning, match="torchao int8 does not serve this model: NotImplementedError"):
        lines = [each.line for each in rounding.Rounding(bits=(4,)).run(subject(tiny("mamba", 0, 0.1)))]
    assert lines == ["to nearest", "NF4"]


def test_a_refusal_of_torchao_is_told_and_one_of_bitsandbytes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(of: Subject, way: str) -> None:
        raise NotImplementedError("not of this kind\nat all")

    monkeypatch.setattr("bench.attacks._served.served", refuses)
    monkeypatch.setattr("bench.attacks._served.find_spec", lambda name: object())
    with pytest.warns(UserWarning, match="torchao int8 does not serve this model: .*Error: not of this kind$"):
        assert list(ways(subject())) == []
    monkeypatch.setitem(WAYS, "bitsandbytes NF4", WAYS["bitsandbytes NF4"]._replace(device=""))
    with pytest.raises(NotImplementedError):
        list(ways(subject()))


@pytest.mark.parametrize(("width", "group"), [(256, 128), (192, 64), (96, 32)])
def test_int4_has_the_largest_group_that_divides_the_width(width: int, group: int, monkeypatch) -> None:
    """torchao would leave a layer as it is whose width is no multiple, and say nothing."""
    asked: list[int] = []
    made = SimpleNamespace(
        quantize_=lambda module, config: asked.append(config.group_size), Int4WeightOnlyConfig=SimpleNamespace
    )
    monkeypatch.setattr("bench.attacks._served.import_module", lambda name: made)
    WAYS["torchao int4"].made(nn.Linear(width, 8))
    assert asked == [group]
    with pytest.raises(ValueError, match="48 wide, which is no multiple of 32"):
        WAYS["torchao int4"].made(nn.Linear(48, 8))


def test_what_can_be_served_has_lines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    of = subject()
    monkeypatch.setattr(rounding, "ways", lambda of: [(name, way.bits, of.lm) for name, way in WAYS.items()])
    lines = [(each.line, each.step) for each in rounding.Rounding(bits=(4,)).run(of)]
    assert lines == [
        ("to nearest", 4), ("NF4", 4), ("bitsandbytes NF4", 4), ("bitsandbytes LLM.int8", 8), ("torchao int8", 8),
        ("torchao int4", 4),
    ]  # fmt: skip
