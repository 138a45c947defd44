"""Whole runs of each gradient method on a random model, through the one training loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.api import Schedule
from bench.contracts import Context, Encoded
from bench.model.architecture import layers, neuron_axis
from bench.model.models import LM
from bench.registry import load
from bench.train.batches import answer_logps
from bench.train.unlearning import unlearn
from methods.simu import Simu

FIRST = ("fo-ga", "fo-graddiff", "fo-npo")
SECOND = ("so-ga", "so-graddiff", "so-npo")
SIMU = ("simu-graddiff", "simu-npo")


def items(seed: int, count: int = 8) -> list[Encoded]:
    random = np.random.default_rng(seed)
    return [Encoded(random.integers(2, 50, 5).tolist(), [*random.integers(2, 50, 4).tolist(), 1]) for _ in range(count)]


def run(name: str, model: PreTrainedModel, cache: Path) -> Context:
    declared = load("method", name)
    lm = LM(model, SimpleNamespace(eos_token_id=1, pad_token_id=0))  # type: ignore[arg-type]
    context = Context(lm, items(0), items(1), "test", 0, cache, lambda what, done, total: None)
    rate: dict[str, Any] = {"lr": 1e-3} | ({"gamma": 1e-3} if declared.optimizer == "sophia" else {})
    parts = (load("objective", declared.objective)(), load("optimizer", declared.optimizer)(**rate))
    unlearn(context, *parts, load("scope", declared.scope)(), Schedule(epochs=3))
    return context


@pytest.mark.parametrize("name", [*FIRST, *SECOND, *SIMU])
def test_forget_likelihood_falls(tiny: Callable[..., PreTrainedModel], name: str, tmp_path: Path) -> None:
    context = run(name, tiny("llama"), tmp_path)
    before = answer_logps(LM(tiny("llama"), context.lm.tokenizer), context.forget)
    assert float(answer_logps(context.lm, context.forget).sum()) < float(before.sum())


@pytest.mark.parametrize("family", ["opt", "opt-350m", "gemma2", "gemma3-vision", "gpt2"])
def test_simu_runs_on_a_saved_checkpoint(tiny: Callable[..., PreTrainedModel], family: str, tmp_path: Path) -> None:
    """Loaded as a checkpoint of the hub is; where only some neurons may move, only their columns have."""
    tiny(family).save_pretrained(tmp_path / "model")
    fresh, model = (AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval() for _ in range(2))
    context = run("simu-npo", model, tmp_path)
    before = answer_logps(LM(fresh, context.lm.tokenizer), context.forget)
    assert float(answer_logps(context.lm, context.forget).sum()) < float(before.sum())
    moved = {n for (n, a), b in zip(model.named_parameters(), fresh.parameters(), strict=True) if not torch.equal(a, b)}
    allowed = {n for layer in layers(model) for n in (*layer.attention, f"{layer.down_name}.weight")}
    assert moved and moved <= allowed


@pytest.mark.parametrize("name", SIMU)
def test_simu_leaves_frozen_weights_bit_identical(
    tiny: Callable[..., PreTrainedModel], name: str, tmp_path: Path
) -> None:
    """Everything but attention projections and critical columns; and of those, something has moved."""
    start = dict(tiny("llama").named_parameters())
    context = run(name, tiny("llama"), tmp_path)
    untouched = Context(
        LM(tiny("llama"), context.lm.tokenizer), context.forget, context.retain, "test", 0, tmp_path, context.progress
    )
    selection = Simu().select(untouched)
    assert set(selection) == {
        n for layer in layers(context.lm.model) for n in (*layer.attention, f"{layer.down_name}.weight")
    }
    for key, value in context.lm.model.named_parameters():
        moved = value.detach() != start[key].detach()
        if key not in selection:
            assert not moved.any(), key
        elif (neurons := selection[key]) is not None:
            axis = neuron_axis(context.lm.model.get_submodule(key.rpartition(".")[0]))
            columns = moved.any(1 - axis)
            assert 0 < len(neurons) < len(columns)
            assert set(columns.nonzero().flatten().tolist()) <= set(neurons.tolist()), key
            assert columns[neurons].any(), key
        else:
            assert moved.any(), key


def test_a_run_repeats_to_the_bit(tiny: Callable[..., PreTrainedModel], tmp_path: Path) -> None:
    first, second = (run("simu-npo", tiny("llama"), tmp_path / str(i)).lm.model.state_dict() for i in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
