"""LoRA as a scope: the formula of Hu et al. (arXiv:2106.09685), and an ordinary model at the end."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bench import registry
from bench.conformance import of_method
from bench.conformance import toy as toys
from bench.contracts import Context
from bench.errors import BenchError
from bench.run.compose import compose
from bench.train.masking import adapted, trainable
from bench.train.unlearning import unlearn
from methods.adamw import AdamW
from methods.lora import LoRA
from methods.sophia import SophiaOptimizer

pytest.importorskip("peft")

Tiny = Callable[..., PreTrainedModel]
IDS = torch.arange(2, 26).view(2, 12)
DOWN = {"llama": "model.layers.1.mlp.down_proj", "gpt2": "transformer.h.1.mlp.c_proj"}


def context(model: PreTrainedModel, seed: int = 0) -> Context:
    lm: Any = SimpleNamespace(model=model)
    return Context(lm, [], [], "test", seed, Path("nowhere"), lambda *_: None)


@contextmanager
def training(model: PreTrainedModel, scope: LoRA, seed: int = 0) -> Iterator[list[nn.Parameter]]:
    """What `unlearn` enters, without its draws."""
    here = context(model, seed)
    with adapted(scope, here), trainable(model, scope.select(here)) as parameters:
        yield parameters


def loss(model: PreTrainedModel) -> Tensor:
    return nn.functional.cross_entropy(model(IDS).logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())


def descend(model: PreTrainedModel, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()


def values(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def built(model: PreTrainedModel) -> tuple[object, ...]:
    """Everything of a model but its values: modules, their kinds, attributes and hooks, and its parameters."""
    modules = [(name, type(m), sorted(vars(m)), len(m._forward_hooks), m.training) for name, m in model.named_modules()]
    return modules, [(name, id(p), p.requires_grad) for name, p in model.named_parameters(remove_duplicate=False)]


@pytest.mark.parametrize("family", DOWN)
def test_a_hand_made_update_is_added_to_the_weight(tiny: Tiny, family: str) -> None:
    """W + (alpha / rank) B A with alpha 3 and rank 2: entry (3, 0) gains 1.5 * 5 * 1, entry (4, 2) 1.5 * -1 * 2."""
    model, name = tiny(family), DOWN[family]
    before = values(model)
    with training(model, LoRA(rank=2, lora_alpha=3, projections="mlp")), torch.no_grad():
        down = model.get_submodule(name)
        a, b = down.lora_A["default"].weight.zero_(), down.lora_B["default"].weight
        assert (a.shape, b.shape) == ((2, 48), (32, 2))
        a[0, 0], a[1, 2], b[3, 0], b[4, 1] = 1, 2, 5, -1
    change = {key: now - before[key] for key, now in values(model).items()}
    change[f"{name}.weight"] = change[f"{name}.weight"].T if family == "gpt2" else change[f"{name}.weight"]
    moved = [(key, *place) for key, value in change.items() for place in value.nonzero().tolist()]
    assert moved == [(f"{name}.weight", 3, 0), (f"{name}.weight", 4, 2)]
    found = change[f"{name}.weight"][[3, 4], [0, 2]]
    torch.testing.assert_close(found, torch.tensor([7.5, -3.0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", DOWN)
def test_one_step_is_the_gradient_seen_through_a(tiny: Tiny, family: str) -> None:
    """With s = alpha / rank, dL/dB = s G A^T and, since B is 0, dL/dA = 0. So a step of lr moves W by
    -lr s^2 G A^T A, with G the gradient of the plain model."""
    plain, model = tiny(family).double(), tiny(family).double()
    loss(plain).backward()
    name, lr = DOWN[family], 0.3
    gradient = plain.get_parameter(f"{name}.weight").grad
    assert gradient is not None
    with training(model, LoRA(rank=4, lora_alpha=8.0)) as parameters:
        a = model.get_submodule(name).lora_A["default"].weight.detach().clone()
        descend(model, torch.optim.SGD(parameters, lr=lr), steps=1)
    g = gradient.T if family == "gpt2" else gradient
    want = -lr * 2.0**2 * g @ a.T @ a
    got = model.get_parameter(f"{name}.weight") - plain.get_parameter(f"{name}.weight")
    torch.testing.assert_close(got.T if family == "gpt2" else got, want, rtol=1e-9, atol=1e-15)
    assert want.abs().max() > 1e-3


def test_training_begins_at_the_model_itself(tiny: Tiny, family: str) -> None:
    """B is 0 and A is not: it lies within 1 / sqrt(inputs)."""
    model = tiny(family)
    with torch.no_grad():
        want = model(IDS).logits
        with training(model, LoRA()):
            torch.testing.assert_close(model(IDS).logits, want, rtol=0, atol=1e-6)
            for name, p in model.named_parameters():
                if ".lora_A." in name:
                    assert 0.9 < p.abs().max() * math.sqrt(p.shape[1]) <= 1
                assert ".lora_B." not in name or not p.any()
        assert torch.equal(model(IDS).logits, want)


@pytest.mark.parametrize("declared", [AdamW(lr=1e-2), SophiaOptimizer(lr=1e-2)])
def test_the_merged_model_is_the_one_that_was_trained(
    tiny: Tiny, family: str, declared: AdamW | SophiaOptimizer
) -> None:
    """In every family: probabilities to 1e-6, built as before, and all but the chosen weights the same to the bit."""
    model = tiny(family)
    model.get_input_embeddings().weight.requires_grad_(False)
    was, before = built(model), values(model)
    with training(model, LoRA(rank=2, projections="attention")) as parameters:
        descend(model, declared.build(parameters))
        with torch.no_grad():
            trained = model(IDS).logits.softmax(-1)
    assert built(model) == was
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits.softmax(-1), trained, rtol=0, atol=1e-6)
    targets = {f"{n}.weight" for n in adapted_modules(tiny(family), "attention")}
    moved = {name for name, now in values(model).items() if not torch.equal(now, before[name])}
    assert moved == targets


def adapted_modules(model: PreTrainedModel, projections: str) -> list[str]:
    with training(model, LoRA(projections=projections)):
        return [n for n, m in model.named_modules() if hasattr(m, "base_layer")]


@pytest.mark.parametrize(
    ("family", "attention", "mlp"),
    [
        ("llama", 4, 3), ("phi", 4, 2), ("gpt-neox", 2, 2), ("gpt2", 2, 2), ("opt", 4, 2), ("gemma3", 4, 3),
        ("gemma3-vision", 4, 3),
    ],
)  # fmt: skip
def test_projections_of_each_family(tiny: Tiny, family: str, attention: int, mlp: int) -> None:
    """Of each of the three layers; never the head, the embeddings, or what sees pictures."""
    found = {which: adapted_modules(tiny(family), which) for which in ("attention", "mlp", "all")}
    assert {which: len(names) for which, names in found.items()} == {
        "attention": 3 * attention, "mlp": 3 * mlp, "all": 3 * (attention + mlp),
    }  # fmt: skip
    assert sorted(found["attention"] + found["mlp"]) == sorted(found["all"])
    assert not any("vision" in name or "head" in name for name in found["all"])


def test_no_adapter_is_left_after_an_error(tiny: Tiny) -> None:
    """What was learnt until then is merged, as it stays with other scopes."""
    model = tiny("llama")
    was, before = built(model), values(model)
    with pytest.raises(RuntimeError, match="boom"), training(model, LoRA(rank=2)) as parameters:
        descend(model, torch.optim.SGD(parameters, lr=0.1), steps=1)
        raise RuntimeError("boom")
    assert built(model) == was
    assert sum(not torch.equal(now, before[name]) for name, now in values(model).items()) == 3 * 7


@pytest.mark.parametrize("optimizer", ["adamw", "sophia"])
@pytest.mark.parametrize("objective", registry.names("objective"))
def test_every_objective_and_optimizer(objective: str, optimizer: str, tmp_path: Path) -> None:
    name = f"{objective}+{optimizer}+lora"
    toy = toys.run(name, tmp_path)
    of_method.stays_finite(name, toy)
    of_method.leaves_the_model_as_it_was_built(name, toy)
    of_method.keeps_to_its_scope(name, toy)
    of_method.can_be_saved(name, toy, tmp_path / "saved")
    of_method.lowers_its_own_loss(name, tmp_path)
    assert toy.selection is not None and len(toy.selection) == 2 * 7  # a weight of each projection, no bias
    before = dict(toy.before.model.named_parameters())
    assert all(not torch.equal(before[key], toy.after.model.get_parameter(key)) for key in toy.selection)


def test_the_weights_that_move_are_the_adapters(tmp_path: Path) -> None:
    """Rank times inputs and outputs of each projection, as records count them; the toy is 32 wide with 48 neurons."""
    parts = compose("npo+adamw+lora", "tiny", {"rank": 2}).parts
    moved = unlearn(toys.context(tmp_path), *(parts[k] for k in ("objective", "optimizer", "scope", "schedule")))[1]
    assert moved == 2 * 2 * (4 * (32 + 32) + 3 * (32 + 48))


def test_the_first_draw_is_the_cells(tiny: Tiny) -> None:
    """The same whatever the global generator holds, which it does not move; another for another seed."""

    def drawn(seed: int, globally: int) -> Tensor:
        torch.manual_seed(globally)
        state = torch.get_rng_state()
        with training(tiny("llama"), LoRA(), seed) as parameters:
            found = torch.cat([p.detach().flatten() for p in parameters])
        assert torch.equal(torch.get_rng_state(), state)
        return found

    assert torch.equal(drawn(0, 1), drawn(0, 2))
    assert not torch.equal(drawn(0, 1), drawn(1, 1))


def test_without_peft_the_message_says_what_to_type(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing but its use asks for it: names, parameters and plans do without."""
    monkeypatch.setitem(sys.modules, "peft", None)
    assert compose("npo+adamw+lora@rank=4", "tiny").parameters["rank"] == 4
    model = tiny("llama")
    was = built(model)
    says = r"scope 'lora' needs peft.*pip install 'unlearning-bench\[lora\]'"
    with pytest.raises(BenchError, match=says), training(model, LoRA()):
        pass
    assert built(model) == was


def test_conv1d_is_told_to_peft(tiny: Tiny, recwarn: pytest.WarningsRecorder) -> None:
    """GPT-2 stores its projections the other way round; peft would say so in the record of every cell."""
    model = tiny("gpt2")
    with training(model, LoRA()):
        assert isinstance(model.get_submodule(DOWN["gpt2"]).base_layer, Conv1D)
    assert not recwarn.list
