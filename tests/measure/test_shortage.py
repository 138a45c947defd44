"""Where memory runs out measuring goes on in smaller batches, and what comes out is the same."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bench.api import Probes, Prompt, Rows
from bench.errors import BenchError
from bench.measure import budget
from bench.measure.budget import MOST, ON_CPU, UNKNOWN, budget_within, cache_bytes, token_budget, token_bytes
from bench.measure.forward import Forward, evaluating
from bench.measure.one_pass import measure
from bench.measure.prompts import SLOTS_PER_TOKEN
from bench.measure.shortage import halved, unless_short
from bench.model.models import LM
from bench.train.footprint import SPARE, Uncounted
from tests.measure.conftest import tiny
from tests.measure.test_scoring import some_texts

WORDS = ("ada", "a baker", "the old man of lima", "once upon a time", "b", "of ships and oslo")
PROBES = Probes(some_texts(), tuple(Prompt("f", w, w, "question", f"who is {w}?", "x", 30) for w in WORDS))


class Short:
    """A machine whose memory holds `tokens` of a pass and `slots` of a cache, and says so when it is asked for more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tokens: int, slots: int) -> None:
        self.refused, self.ran = 0, 0
        whole = Forward.hidden

        def hidden(forward: Forward, ids: torch.Tensor, *rest: Any, **told: Any) -> torch.Tensor:
            self.ran += 1
            cache = rest[2] if len(rest) > 2 else None
            held = 0 if cache is None else cache.real.numel()
            # In the midst of the pass, so that what a cache held by then is no longer what it was.
            found = whole(forward, ids, *rest, **told)
            if ids.numel() > tokens or held > slots:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return found

        monkeypatch.setattr(Forward, "hidden", hidden)


def equal(one: Rows, other: Rows) -> None:
    """Texts, hits and generations to the letter; log-probabilities as other batch sizes round them."""
    pd.testing.assert_frame_equal(one.generations, other.generations)
    pd.testing.assert_frame_equal(one.texts, other.texts)
    np.testing.assert_array_equal(one.hit.flat, other.hit.flat)
    for name in ("logp", "mean", "var"):
        np.testing.assert_allclose(getattr(one, name).flat, getattr(other, name).flat, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "tokens", "slots"),
    [("llama", 150, 10_000), ("llama", 10_000, 150), ("gpt2", 100, 150), ("gemma2", 150, 10_000)],  # Gemma: no cache
)
def test_rows_are_those_of_an_undisturbed_run(monkeypatch, kind, tokens, slots):
    lm = tiny(kind, seed=1, spread=0.3)
    calls: list[tuple[str, int, int]] = []
    expected = measure(lm, PROBES, token_budget=4096)
    short = Short(monkeypatch, tokens, slots)
    found = measure(lm, PROBES, token_budget=4096, progress=lambda *call: calls.append(call))
    assert 0 < short.refused < short.ran / 4
    equal(found, expected)
    for phase in ("scoring", "generation"):
        told = [done for name, done, _ in calls if name == phase]
        assert told == sorted(told) and told[-1] == next(total for name, _, total in calls if name == phase)


@pytest.mark.parametrize("probes", [dataclasses.replace(PROBES, prompts=()), dataclasses.replace(PROBES, texts=())])
@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_one_text_that_does_not_fit_is_an_error(monkeypatch, kind, probes):
    Short(monkeypatch, 12, 10_000)
    with pytest.raises(BenchError, match=r"memory runs out over one text of \d+ tokens\. Take --precision"):
        measure(tiny(kind), probes, token_budget=4096)


def test_other_errors_pass():
    def fail() -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        unless_short(fail)


def test_half_of_what_there_was():
    assert halved(4096, 8, 1000) == 2048
    assert halved(4096, 3, 100) == 150


def test_the_budget_of_a_core_stays():
    forward = Forward(tiny("llama"))
    assert token_budget(forward, 500) == ON_CPU == 2048


def test_a_budget_that_cannot_be_counted_is_what_it_always_was(monkeypatch):
    def fail(*_: object) -> int:
        raise Uncounted("no")

    monkeypatch.setattr(budget, "token_bytes", fail)
    accelerated = SimpleNamespace(device=torch.device("meta"))
    monkeypatch.setattr(budget, "free_bytes", lambda device: 1 << 30)
    monkeypatch.setattr(budget, "logits_bytes", lambda forward: 0)
    assert token_budget(accelerated, 64) == UNKNOWN == 4096
    monkeypatch.setattr(budget, "token_bytes", lambda *_: 1000)
    assert token_budget(accelerated, 64) == MOST


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_a_budget_is_the_largest_power_of_two_that_fits(monkeypatch, kind):
    monkeypatch.setattr(budget, "logits_bytes", lambda forward: 0)
    forward = Forward(tiny(kind))
    each = token_bytes(forward, 64)
    with evaluating(forward.lm):
        assert token_bytes(forward, 64) == each
    monkeypatch.setattr(budget, "token_bytes", lambda *_: each)
    for power in (1, 64, 2048):
        enough = int(power * each / (1 - SPARE)) + 2
        assert budget_within(enough, forward, 64) == power
        assert budget_within(2 * enough - 10, forward, 64) == power
    assert budget_within(1 << 60, forward, 64) == MOST
    assert budget_within(0, forward, 64) == 1


def test_what_a_token_takes():
    """Keys and values of the gated models: 2 layers, one of them twice, one head of 16; and some hidden states."""
    forward = Forward(tiny("llama"))
    slots = SLOTS_PER_TOKEN * 2 * 3 * 16 * 4
    assert cache_bytes(forward.model.config, SLOTS_PER_TOKEN, 4) == slots
    assert slots + 4 * 32 * 4 < token_bytes(forward, 64) < slots + 20 * 48 * 4


def test_texts_take_what_is_found(monkeypatch):
    """On an accelerator every pass has the budget that was found for its longest text."""
    asked: list[int] = []

    def found(forward: Forward, longest: int) -> int:
        asked.append(longest)
        return 64

    monkeypatch.setattr("bench.measure.one_pass.find_budget", found)
    lm: LM = tiny("llama")
    rows = measure(lm, PROBES)
    assert len(asked) == 2 and asked[1] == max(len(lm.encode_prompt(p.prompt)) + 30 for p in PROBES.prompts)
    equal(rows, measure(lm, PROBES, token_budget=64))
