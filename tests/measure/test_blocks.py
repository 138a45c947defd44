"""The blocks as we run them against the model's own: the same numbers, and left alone where they are not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.measure.blocks import fits, trunk_hidden
from bench.measure.forward import Forward, evaluating
from bench.measure.slots import Slots
from bench.model.models import LM
from tests.measure.conftest import SHAPES, tiny


def _inputs(rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 40, (rows, width), generator=torch.Generator().manual_seed(width))
    return ids, torch.arange(width).expand_as(ids)


@pytest.mark.parametrize("width", [1, 5, 16, 40])
@pytest.mark.parametrize("masked", [False, True])
def test_the_same_as_the_trunk(width: int, masked: bool) -> None:
    """With and without a mask, at numbers of rows that are filled up and that are not; keys shared by two heads."""
    lm = tiny("llama", seed=4)
    ids, positions = _inputs(3, width)
    mask = None
    if masked:
        mask = torch.zeros(3, 1, width, width).masked_fill_(torch.ones(width, width).triu(1) > 0, -torch.inf)
        mask[1, :, width // 2 :, : width // 3] = -torch.inf
    with evaluating(lm):
        assert fits(lm.model)
        plain = {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "use_cache": False}
        whole = lm.model.base_model(**plain).last_hidden_state
        found = trunk_hidden(lm.model, ids, positions, mask, None)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-6)


def test_the_same_with_a_cache_whose_rows_start_late() -> None:
    """Five tokens and then three, of rows with up to two slots of filler before them."""
    lm = tiny("llama", seed=4)
    ids, _ = _inputs(3, 8)
    real = torch.arange(8) >= torch.tensor([[0], [2], [1]])
    positions = (real.cumsum(1) - 1).clamp_(min=0)
    found = []
    for own in (True, False):
        cache, first, last = Slots(3, 80), slice(0, 5), slice(5, 8)
        with evaluating(lm):
            with cache.joining(3, 5), cache.feeding(real[:, first]) as seen:
                parts = [_run(lm, own, ids[:, first], positions[:, first], seen, cache)]
            with cache.feeding(real[:, last]) as seen:
                parts.append(_run(lm, own, ids[:, last], positions[:, last], seen, cache))
        found.append(torch.cat(parts, 1)[real])
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


def _run(lm: LM, own: bool, ids: Tensor, positions: Tensor, seen: Tensor, cache: Slots) -> Tensor:
    if own:
        return trunk_hidden(lm.model, ids, positions, seen, cache)
    plain = {"input_ids": ids, "position_ids": positions, "attention_mask": seen, "past_key_values": cache}
    return lm.model.base_model(**plain, use_cache=True).last_hidden_state


def test_only_where_they_agree() -> None:
    """Models with a window, other norms or other blocks run as they are; so does a Llama with another attention."""
    with torch.inference_mode():
        able = [kind for kind in SHAPES if Forward(tiny(kind)).own_blocks]
        assert able == ["llama", "qwen2"]
        assert not Forward(tiny("llama", attention="eager")).own_blocks
        assert not Forward(tiny("llama"), "mixed").own_blocks


def test_whoever_listens_to_a_block_is_heard() -> None:
    lm = tiny("llama")
    handle = lm.model.base_model.layers[0].mlp.register_forward_hook(lambda *args: None)
    try:
        assert not fits(lm.model)
    finally:
        handle.remove()
    assert fits(lm.model)


def test_a_block_that_does_something_else_is_found_out() -> None:
    """Its MLP's result is doubled behind the back of its weights."""
    lm = tiny("llama", seed=9)
    mlp = lm.model.base_model.layers[1].mlp
    plain = mlp.forward
    mlp.forward = lambda x: 2 * plain(x)
    try:
        with torch.inference_mode():
            assert not Forward(lm).own_blocks
    finally:
        del mlp.forward
