"""Neuron Adjust against hand-derived cases, and on a model whose statistics are taken again by other means."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from bench.conformance import toy
from bench.errors import BenchError
from bench.model.attachments import bare
from bench.train.batches import answer_logps
from methods.neuron_adjust import Moments, NeuronAdjust, adjusted, gates, moments, top

M_F, S_F, M_R, S_R = (torch.tensor([v]) for v in (3.0, 0.5, 1.0, 2.0))


def test_the_map_is_mirrored_about_the_retain_mean() -> None:
    """At x = m_f stands m_r; a deviation above it, one below m_r; where retain texts explain x better, x."""
    x = torch.tensor([[3.0], [3.5], [2.5], [9.0], [-4.0]])
    assert adjusted(x, M_F, S_F, M_R, S_R).flatten().tolist() == [1.0, -1.0, 3.0, 9.0, -4.0]


@pytest.mark.parametrize("side", [-1, 1])
def test_a_neuron_is_moved_where_the_forget_density_is_the_larger(side: int) -> None:
    """The border solves log N_f(x) = log N_r(x), a quadratic in x."""
    a = 1 / (2 * S_R**2) - 1 / (2 * S_F**2)
    b = M_F / S_F**2 - M_R / S_R**2
    c = M_R**2 / (2 * S_R**2) - M_F**2 / (2 * S_F**2) + torch.log(S_R / S_F)
    border = (-b + side * torch.sqrt(b**2 - 4 * a * c)) / (2 * a)
    around = torch.stack([border - 1e-3, border + 1e-3])
    kept = (adjusted(around, M_F, S_F, M_R, S_R) == around).flatten().tolist()
    assert kept == ([True, False] if side == 1 else [False, True])


def test_alike_distributions_leave_everything() -> None:
    """With m_f = m_r and s_f = s_r nothing is likelier, so mean and marginal stay."""
    x = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(adjusted(x, M_F, S_F, M_F, S_F), x)


def test_far_apart_distributions_are_exchanged() -> None:
    """Almost all of N(m_f, s_f) becomes N(m_r, s_r): mean and deviation within four standard errors."""
    n = 40_000
    x = M_F + 20 + S_F * torch.randn(n, 1, generator=torch.Generator().manual_seed(1))
    moved = adjusted(x, M_F + 20, S_F, M_R, S_R)
    assert abs(float(moved.mean()) - 1) < 4 * 2 / math.sqrt(n)
    assert abs(float(moved.std()) - 2) < 4 * 2 / math.sqrt(2 * n)


def test_the_largest_signed_gaps_of_the_whole_model_are_chosen() -> None:
    """round(share N) of all N, neurons that never vary apart; of equal ones the first."""
    forget = {"a": Moments(torch.tensor([1.0, 9, 2, -8]), torch.ones(4)), "b": Moments(torch.ones(4), torch.ones(4))}
    retain = {"a": Moments(torch.zeros(4), torch.tensor([1.0, 0, 1, 1])), "b": Moments(torch.zeros(4), torch.ones(4))}
    found = {name: kept.tolist() for name, kept in top(forget, retain, 3 / 8).items()}
    assert found == {"a": [0, 2], "b": [0]}
    assert top(forget, retain, 0.0) == {}
    assert sum(map(len, top(forget, retain, 1.0).values())) == 7


def test_statistics_are_those_of_the_tokens(tmp_path: Path) -> None:
    """Of what `gate_proj` gives out, read from the MLP's input by hand; whole texts, without padding."""
    given = toy.context(tmp_path)
    model = given.lm.model.eval()
    found = moments(model, gates(model), given.forget)
    first, values = model.model.layers[0], []
    with torch.no_grad():
        for item in given.forget:
            seen: list[torch.Tensor] = []
            handle = first.mlp.register_forward_pre_hook(lambda module, given, seen=seen: seen.append(given[0]))
            model(torch.tensor([item.prompt + item.answer]))
            handle.remove()
            values.append(seen[0][0] @ first.mlp.gate_proj.weight.T)
    every = torch.cat(values).double()
    torch.testing.assert_close(found["model.layers.0.mlp.gate_proj"].mean, every.mean(0), rtol=0, atol=1e-5)
    torch.testing.assert_close(found["model.layers.0.mlp.gate_proj"].std, every.std(0, correction=0), rtol=0, atol=1e-5)


def test_no_neuron_is_the_identity_and_many_are_not(tmp_path: Path) -> None:
    """With share 0 every bit is the target's; with all, forget answers move more than retain answers."""
    given = toy.context(tmp_path)
    given.lm.model.eval()
    items = [*given.forget, *given.retain]
    before = answer_logps(given.lm, items)
    assert torch.equal(answer_logps(NeuronAdjust(share=0.0)(given), items), before)
    moved = NeuronAdjust(share=0.3)(given)
    change = (answer_logps(moved, items) - before).abs()
    assert change[:4].mean() > 10 * change.new_tensor(1e-4)
    assert torch.equal(answer_logps(bare(moved), items), before), "taken off, it is the target bit for bit"


def test_families_without_a_gate_are_adjusted_at_their_first_map(tiny: Callable[..., PreTrainedModel]) -> None:
    assert [*gates(tiny("phi"))][:2] == ["model.layers.0.mlp.fc1", "model.layers.1.mlp.fc1"]
    assert next(iter(gates(tiny("llama")))) == "model.layers.0.mlp.gate_proj"
    for kind in ("gpt-neox", "opt", "gemma2"):
        model = tiny(kind)
        with torch.no_grad():
            found = moments(model, gates(model), [toy.Encoded([3, 4, 5], [6, 1])])
        assert {len(each.mean) for each in found.values()} == {48}


def test_a_fused_gate_is_refused(tiny: Callable[..., PreTrainedModel]) -> None:
    with pytest.raises(BenchError, match="no map that makes a pre-activation a neuron"):
        gates(tiny("phi3"))


def test_the_same_texts_are_chosen_again(tmp_path: Path) -> None:
    """Where there are more texts than asked for, the cell's stream chooses."""
    given = toy.context(tmp_path)
    few = [NeuronAdjust(share=0.2, texts=2)(given).attached[0] for _ in range(2)]
    assert all(torch.equal(few[0].moments[name], few[1].moments[name]) for name in few[0].moments)
    other = NeuronAdjust(share=0.2, texts=2)(dataclasses.replace(given, seed=1)).attached[0]
    assert any(name not in other.moments or few[0].moments[name].shape != other.moments[name].shape
               or not torch.equal(few[0].moments[name], other.moments[name]) for name in few[0].moments)  # fmt: skip
