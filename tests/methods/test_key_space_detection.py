"""Key Space Detection: what lies in the box, and what is said of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from bench.conformance import toy
from bench.contracts import Encoded
from bench.errors import BenchError
from bench.model.attachments import Attached, bare
from bench.train.batches import answer_logps
from methods.key_space_detection import KeySpaceDetection, deviations, inside, key


def sample(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_the_largest_deviation_is_bounded_by_the_number_of_prompts(n: int) -> None:
    """max |z| of a sample of n is at most (n - 1) / sqrt(n), and an outlier among equals reaches it."""
    keys = sample(n, 64)
    bound = (n - 1) / math.sqrt(n)
    assert float(deviations(keys, keys.mean(0), keys.std(0)).max()) <= bound + 1e-9
    keys[:, 0] = 0
    keys[0, 0] = 7
    assert float(deviations(keys, keys.mean(0), keys.std(0)).max()) == pytest.approx(bound)


@settings(max_examples=20, deadline=None)
@drawn(n=st.integers(2, 12), d=st.integers(1, 9), alpha=st.floats(1, 3), seed=st.integers(0, 99))
def test_every_prompt_is_in_its_own_box_from_alpha_1_on(n: int, d: int, alpha: float, seed: int) -> None:
    keys = sample(n, d, seed)
    mean, std = keys.mean(0), keys.std(0)
    reach = alpha * float(deviations(keys, mean, std).max())
    assert bool(inside(keys, mean, std, reach).all())
    rounded = keys + 1e-5 * std * (keys - mean).sign()
    assert bool(inside(rounded, mean, std, reach).all()), "the same prompt, rounded otherwise"
    assert not bool(inside(mean + 2 * (reach + 1) * std, mean, std, reach))


@settings(max_examples=20, deadline=None)
@drawn(n=st.integers(2, 12), more=st.integers(1, 9), seed=st.integers(0, 99))
def test_more_prompts_never_shrink_the_box(n: int, more: int, seed: int) -> None:
    """At fixed mean and deviation the reach is a maximum over prompts."""
    keys = sample(n + more, 6, seed)
    mean, std = keys[:n].mean(0), keys[:n].std(0)
    assert deviations(keys, mean, std).max() >= deviations(keys[:n], mean, std).max()


def test_a_coordinate_that_never_varied_must_be_as_it_was() -> None:
    keys = torch.tensor([[1.0, 2.0], [3.0, 2.0]], dtype=torch.float64)
    mean, std = keys.mean(0), keys.std(0)
    reach = float(deviations(keys, mean, std).max())
    assert inside(torch.tensor([[2.0, 2.0], [2.0, 2.1]]).double(), mean, std, reach).tolist() == [True, False]


def test_a_key_is_what_the_last_down_projection_reads_at_the_last_prompt_token(tmp_path: Path) -> None:
    """By hand from the layer's own maps, whatever stands in front of the row or beside it in a batch."""
    lm = toy.context(tmp_path).lm
    model, ids = lm.model.eval(), torch.tensor([5, 9, 30, 7])
    mlp, seen = model.model.layers[-1].mlp, list[Tensor]()
    handle = mlp.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        found = key(model, ids)
        batch = torch.tensor([[5, 9, 30, 7, 4, 4], [8, 8, 8, 8, 8, 8]])
        model(input_ids=batch, use_cache=False)
        handle.remove()
        for states, at in ((seen[0], 3), (seen[1], 3)):
            x = states[0, at]
            by_hand = torch.nn.functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x)
            torch.testing.assert_close(found.float(), by_hand, rtol=0, atol=1e-5)


def test_forget_prompts_are_refused_and_the_target_comes_back_bit_for_bit(tmp_path: Path) -> None:
    given = toy.context(tmp_path)
    given.lm.model.eval()
    items, margin = [*given.forget, *given.retain], 9.0
    before = answer_logps(given.lm, items)
    lm = KeySpaceDetection(margin=margin)(given)
    gates = [float(Attached(lm).gates(item.prompt)[0]) for item in items]
    assert gates[:4] == [1.0] * 4
    after = answer_logps(lm, items)
    said, vocabulary = lm.attached[0].refusal, given.lm.model.config.vocab_size  # type: ignore[attr-defined]
    for item, gate, old, new in zip(items, gates, before, after, strict=True):
        if not gate:
            assert torch.equal(old, new)
            continue
        meant = [said[min(place, len(said) - 1)] == token for place, token in enumerate(item.answer)]
        every = math.log(math.exp(margin) + vocabulary - 1)
        assert float(new) == pytest.approx(sum(margin * right - every for right in meant), abs=1e-3)
    assert torch.equal(answer_logps(bare(lm), items), before)


def test_the_gate_of_a_prompt_does_not_change_with_the_answer(tmp_path: Path) -> None:
    given = toy.context(tmp_path)
    lm = KeySpaceDetection(alpha=0.9)(given)
    for item in given.forget:
        others = [Encoded(item.prompt, [*ids, lm.eos]) for ids in ([3], [4, 5, 6], [])]
        refused = Attached(lm).gates(item.prompt)[0] > 0.5
        silent = answer_logps(lm, others) == answer_logps(bare(lm), others)
        assert silent.tolist() == [not refused] * 3


def test_one_prompt_makes_no_box(tmp_path: Path) -> None:
    given = toy.context(tmp_path)
    given.forget[1:] = []  # type: ignore[index]
    with pytest.raises(BenchError, match="two forget prompts or more"):
        KeySpaceDetection()(given)
