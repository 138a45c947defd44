"""Which weights each scope lets move, and what SIMU says of its masks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from bench.contracts import Context, Encoded
from bench.errors import BenchError
from bench.model.architecture import chosen, layers
from methods import _attribution
from methods.scopes import MLP, All, Attention, Layers
from methods.simu import CriticalNeurons, RandomNeurons, Simu, critical, signed

Tiny = Callable[..., PreTrainedModel]
DOWN = "model.layers.{}.mlp.down_proj.weight"


def items(seed: int, count: int = 4) -> list[Encoded]:
    random = np.random.default_rng(seed)
    return [Encoded(random.integers(2, 50, 4).tolist(), [*random.integers(2, 50, 3).tolist(), 1]) for _ in range(count)]


def context(model: PreTrainedModel, cache: Path, seed: int = 0, **sets: Any) -> Context:
    lm: Any = SimpleNamespace(model=model)
    forget, retain = sets.get("forget", items(0)), sets.get("retain", items(1, 9))
    return Context(lm, forget, retain, "test", seed, cache, lambda what, done, total: None)


def test_all(tiny: Tiny, family: str, tmp_path: Path) -> None:
    model = tiny(family)
    assert All().select(context(model, tmp_path)) == {name: None for name, _ in model.named_parameters()}


def test_attention_is_the_projections_alone(tiny: Tiny, tmp_path: Path) -> None:
    """Qwen3's norms of queries and keys are no projections."""
    want = {f"model.layers.{i}.self_attn.{p}_proj.weight" for i in range(3) for p in "qkvo"}
    assert set(Attention().select(context(tiny("qwen3"), tmp_path))) == want


@pytest.mark.parametrize(
    ("family", "weights", "biases"),
    [("llama", 4, 0), ("phi", 4, 4), ("gpt-neox", 2, 2), ("gpt2", 2, 2), ("olmo2", 4, 0), ("qwen2-window", 4, 3)],
)
def test_attention_of_each_family(tiny: Tiny, family: str, weights: int, biases: int) -> None:
    for layer in layers(tiny(family)):
        assert sum(name.endswith(".weight") for name in layer.attention) == weights
        assert sum(name.endswith(".bias") for name in layer.attention) == biases


def test_chosen_layers(tiny: Tiny, tmp_path: Path) -> None:
    found = Layers(layers="0,-1").select(context(tiny("llama"), tmp_path))
    assert {name.split(".")[2] for name in found} == {"0", "2"} and len(found) == 2 * 7
    assert {name.split(".")[3] for name in MLP().select(context(tiny("llama"), tmp_path))} == {"mlp"}


@pytest.mark.parametrize(
    ("wanted", "indices"),
    [("", [0, 1, 2]), ("1", [1]), ("0-1", [0, 1]), ("2, 0", [0, 2]), ("-1", [2]), ("1,1-2", [1, 2])],
)
def test_layer_lists(tiny: Tiny, wanted: str, indices: list[int]) -> None:
    found = layers(tiny("llama"))
    assert chosen(found, wanted) == tuple(found[i] for i in indices)


@pytest.mark.parametrize("wanted", ["3", "-4", "x", "0-5", "1-x"])
def test_bad_layer_lists(tiny: Tiny, wanted: str) -> None:
    with pytest.raises(BenchError, match="layer"):
        chosen(layers(tiny("llama")), wanted)


def test_critical() -> None:
    """Strictly above t times the largest: 0.3 * 10 = 3 is not above 3, and with no positive score nothing is."""
    assert critical(torch.tensor([10.0, 3.0, 3.1, -20.0]), 0.3).tolist() == [0, 2]
    assert critical(torch.tensor([10.0, 3.0]), 1.0).tolist() == []
    assert critical(torch.tensor([-1.0, -2.0]), 0.3).tolist() == []
    assert critical(torch.tensor([0.0, -2.0]), 0.3).tolist() == []


def test_signed() -> None:
    values = torch.tensor([1.0, -2.0])
    assert [signed(values, s).tolist() for s in ("loss", "probability", "neg-loss", "absolute")] == [
        [1, -2], [1, -2], [-1, 2], [1, 2],
    ]  # fmt: skip


def test_simu_selects_attention_and_critical_neurons(tiny: Tiny, family: str, tmp_path: Path) -> None:
    model = tiny(family)
    found, scope = layers(model), Simu(score="neg-loss")
    selection = scope.select(context(model, tmp_path))
    raw = _attribution.attribute(model, items(0), quantity="loss")
    for layer, values in zip(found, raw, strict=True):
        kept = selection.pop(f"{layer.down_name}.weight")
        assert kept.tolist() == [k for k, v in enumerate(values) if -v > 0.3 * (-values).max()]
    assert selection == {name: None for layer in found for name in layer.attention}


def test_forget_only_leaves_out_what_retain_needs(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    here = context(model, tmp_path)
    dual, only = Simu().masks(here), Simu(mask="forget-only", retain_items=9).masks(here)
    retain = [critical(s, 0.3) for s in _attribution.attribute(model, here.retain)]
    for both, left, needed in zip(dual, only, retain, strict=True):
        assert set(left.tolist()) == set(both.tolist()) - set(needed.tolist())


def test_random_neurons_are_as_many_and_depend_on_the_seed(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    want = [len(k) for k in Simu().masks(context(model, tmp_path))]
    draws = [RandomNeurons().masks(context(model, tmp_path, seed)) for seed in (0, 0, 1)]
    for draw in draws:
        assert [len(k) for k in draw] == want
        assert all(len(set(k.tolist())) == len(k) and k.dtype == torch.int64 for k in draw)
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(draws[0], draws[2], strict=True))


def test_critical_neurons_alone(tiny: Tiny, tmp_path: Path) -> None:
    found = CriticalNeurons().select(context(tiny("llama"), tmp_path))
    assert set(found) == {DOWN.format(i) for i in range(3)}


def test_attributions_are_computed_once(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """t, mask and the sign of the loss need none anew; the model, the items, m and the quantity do."""
    model, calls = tiny("llama"), []
    original = _attribution.attribute
    monkeypatch.setattr(_attribution, "attribute", lambda *a, **k: calls.append(k["quantity"]) or original(*a, **k))
    first = Simu().masks(context(model, tmp_path))
    for scope in (Simu(), Simu(t=0.5), RandomNeurons(), CriticalNeurons()):
        scope.masks(context(model, tmp_path, seed=1))
    assert all(torch.equal(a, b) for a, b in zip(first, Simu().masks(context(model, tmp_path)), strict=True))
    assert calls == ["probability"]
    Simu(score="loss").masks(context(model, tmp_path))
    Simu(score="absolute").masks(context(model, tmp_path))
    assert calls == ["probability", "loss"]
    Simu(m=2).masks(context(model, tmp_path))
    Simu().masks(context(model, tmp_path, forget=items(5)))
    Simu().masks(context(tiny("llama", seed=1), tmp_path))
    assert len(calls) == 5


def test_says_when_a_layer_keeps_nothing_or_everything(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [torch.full((48,), -1.0), torch.full((48,), 2.0), torch.arange(48.0)]
    monkeypatch.setattr(_attribution, "attribute", lambda *a, **k: values)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Simu().select(context(tiny("llama"), tmp_path))
    said = [str(w.message) for w in caught]
    assert any("no neuron of layer 0 " in s for s in said) and any("every neuron of layer 1 " in s for s in said)


@pytest.mark.filterwarnings("ignore:SIMU keeps no neuron")
def test_nothing_to_move_is_an_error(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="selects no weight at all"):
        CriticalNeurons(t=1.0).select(context(tiny("llama"), tmp_path))


def test_empty_answers(tiny: Tiny, tmp_path: Path) -> None:
    empty = [Encoded([2, 3], [1])] * 2
    with pytest.raises(BenchError, match="of 2 items, 2 have an empty answer"):
        Simu().masks(context(tiny("llama"), tmp_path, forget=empty))
    with pytest.raises(BenchError, match="of 0 items"):
        Simu().masks(context(tiny("llama"), tmp_path, forget=[]))
    with pytest.warns(UserWarning, match="2 of 6 items have an empty answer"):
        Simu().masks(context(tiny("llama"), tmp_path, forget=[*empty, *items(0)]))
    with pytest.raises(BenchError, match="needs retain items"):
        Simu(mask="forget-only").masks(context(tiny("llama"), tmp_path, retain=[]))


def test_a_down_projection_of_another_name() -> None:
    """The message lists what was looked for and what is there; naming it helps."""
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    mlp = model.model.layers[0].mlp
    mlp.w2 = mlp.down_proj
    del mlp.down_proj
    with pytest.raises(BenchError, match=r"looked for .*mlp\.down_proj or mlp\.fc2.*found .*mlp\.w2.*down=NAME"):
        layers(model)
    assert layers(model, "mlp.w2")[0].down is mlp.w2
