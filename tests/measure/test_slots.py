"""The cache against lists: whatever rows join, leave and take back, each is seen to hold its own tokens in order."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

import bench.measure.prompts as engine
from bench.measure.forward import Forward, evaluating
from bench.measure.prompts import LONGEST_GUESS, SLOTS_PER_TOKEN, Row, generate
from bench.measure.slots import GROWTH, Slots, _Layer
from tests.measure.conftest import naive_greedy, tiny

LONGEST = 40


def fed(cache: Slots, tokens: Tensor, real: Tensor) -> list[list[float]]:
    """What each row is seen to hold once `tokens` [B, T] have passed both of two layers."""
    with cache.feeding(real) as seen:
        assert cache.get_seq_length() == seen.shape[1] - tokens.shape[1]
        states = tokens[:, None, :, None].expand(-1, 3, -1, 2).float()
        held = [each for layer in (0, 1) for each in cache.update(states + layer, -states - layer, layer)]
        shown = [held[0], -held[1], held[2] - 1, -held[3] - 1]
        assert all(each.shape[0] == len(tokens) and each.shape[2] == seen.shape[1] for each in shown)
        assert not any(each.isnan().any() for each in shown), "what is not seen is weighed with 0, and must be a number"
        rows = [row[mask].tolist() for row, mask in zip(shown[0][:, 0, :, 0], seen, strict=True)]
        for each in shown:
            assert [row[mask].tolist() for row, mask in zip(each[:, 2, :, 1], seen, strict=True)] == rows
    return rows


@pytest.mark.parametrize("seed", range(12))
def test_rows_hold_their_tokens_whatever_happens(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random rows of random lengths join where there is room, grow by kept and refused tokens, and leave."""
    draw, number, rows = random.Random(seed), iter(range(1, 1 << 20)), list[list[float]]()
    cache = Slots(5, LONGEST + GROWTH)
    make = _Layer.lazy_initialization

    def spoilt(layer: _Layer, *states: Tensor) -> None:
        make(layer, *states)
        layer.keys.fill_(torch.nan)  # as memory may hold where nobody has written
        layer.values.fill_(torch.nan)

    monkeypatch.setattr(_Layer, "lazy_initialization", spoilt)
    for _ in range(120):
        free = cache.shape[0] - len(rows)
        if (free and draw.random() < 0.4) or not rows:
            fresh = [[float(next(number)) for _ in range(draw.randint(1, LONGEST // 2))] for _ in range(free)]
            size = max(map(len, fresh))
            ids = torch.tensor([[0.0] * (size - len(row)) + row for row in fresh])
            with cache.joining(len(fresh), size):
                assert fed(cache, ids, ids > 0) == fresh
            rows += fresh
        else:
            width = draw.randint(1, 1 + LONGEST_GUESS)
            counts = [draw.randint(1, width) for _ in rows]
            ids = torch.tensor([[float(next(number)) for _ in range(width)] for _ in rows])
            real = torch.arange(width)[None] < torch.tensor(counts)[:, None]
            assert fed(cache, ids, real) == [r + i[:n].tolist() for r, i, n in zip(rows, ids, counts, strict=True)]
            kept = [draw.randint(1, count) for count in counts]
            cache.keep(torch.arange(width)[None] < torch.tensor(kept)[:, None])
            rows = [r + i[:n].tolist() for r, i, n in zip(rows, ids, kept, strict=True)]
        gone = [i for i, row in enumerate(rows) if len(row) > LONGEST - LONGEST_GUESS or draw.random() < 0.1]
        if gone:
            named = [Row([int(row[0])], 1) for row in rows]
            left = engine._drop(named, gone, cache)
            by_first = {row[0]: row for row in rows}
            rows = [by_first[row.prompt[0]] for row in left]
        assert cache.rows == len(rows)
        assert [int(n) for n in cache.real.sum(1)[: len(rows)]] == [len(row) for row in rows]
    assert {tuple(layer.keys.shape) for layer in cache.layers} == {(5, 3, LONGEST + GROWTH, 2)}


def test_the_longest_guess_fits_in_what_a_row_has_beyond_its_tokens() -> None:
    assert 1 + LONGEST_GUESS <= GROWTH


@pytest.mark.parametrize("budget", [1, 40, 200])
def test_the_cache_is_as_large_as_the_budget_says(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of all rows together; one row has what it needs. Much longer prompts have a cache of their own."""
    made: list[Slots] = []
    make = Slots.__init__

    def note(self: Slots, rows: int, slots: int) -> None:
        make(self, rows, slots)
        made.append(self)

    monkeypatch.setattr(Slots, "__init__", note)
    lm = tiny("llama", seed=1, spread=0.3)
    prompts = ["ada is?", "who was ada of lima?", "b", "a baker is", "once " * 30]
    rows = [Row(lm.encode_prompt(p, raw=True), 30) for p in prompts]
    with evaluating(lm):
        generate(Forward(lm), rows, budget, lambda n: None)
    assert [(row.new, row.finished) for row in rows] == [naive_greedy(lm, p, 30, raw=True) for p in prompts]
    _trial, *caches = made
    needed = [max(len(row.prompt) + row.room for row in part) + GROWTH for part in (rows[:4], rows[4:])]
    assert [cache.shape[1] for cache in caches] == needed
    for cache in caches:
        assert cache.shape[0] == 1 or cache.shape[0] * cache.shape[1] <= budget * SLOTS_PER_TOKEN
        assert all(tuple(layer.keys.shape[::2]) == cache.shape for layer in cache.layers)


def test_a_row_without_numbers_leaves_no_trace() -> None:
    """It leaves at once, and those that take its slots say what they say alone."""
    lm = tiny("llama", seed=21, spread=0.3)
    tiny.cache_clear()
    prompts = ["ada zis of lima?", "b", "zebra", "ada is?", "a baker in oslo is", "z", "who?", "was born"]
    with torch.no_grad():
        (z,) = lm.encode_prompt("z", raw=True)
        lm.model.get_input_embeddings().weight[z] = torch.nan
        head = lm.model.get_output_embeddings()
        head.bias = torch.nn.Parameter(torch.zeros(len(head.weight)).index_fill(0, torch.tensor([z]), -1e9))
    rows = [Row(lm.encode_prompt(p, raw=True), 60) for p in prompts]
    with evaluating(lm):
        generate(Forward(lm), rows, 40, lambda n: None)
    assert [row.valid for row in rows] == ["z" not in p for p in prompts]
    for row, prompt in zip(rows, prompts, strict=True):
        assert not row.valid or (row.new, row.finished) == naive_greedy(lm, prompt, 60, raw=True)
