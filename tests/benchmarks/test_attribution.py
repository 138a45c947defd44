"""The cost of exact attribution, side by side with the naive loop and with the inexact shortcut, in one run.

A random Llama of the small model's shape and pairs of TOFU's lengths: about 22 tokens of prompt, 45 of answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM

from bench.contracts import Encoded
from bench.model.architecture import layers
from methods import _attribution
from methods._attribution import attribute
from tests.benchmarks._timing import Clock

STEPS, VOCABULARY = 5, 4096
pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **shape, tie_word_embeddings=True)).eval()


@pytest.fixture(scope="module")
def pairs() -> list[Encoded]:
    random = np.random.default_rng(0)
    prompts, answers = (
        random.normal(22, 5, 32).clip(8, 45).astype(int),
        random.normal(45, 15, 32).clip(5, 100).astype(int),
    )
    draw = [random.integers(2, VOCABULARY, p + a).tolist() for p, a in zip(prompts, answers, strict=True)]
    return [Encoded(ids[:p], ids[p:]) for ids, p in zip(draw, prompts, strict=True)]


def naive(model: LlamaForCausalLM, item: Encoded, down: nn.Module) -> Tensor:
    """One layer by the definition: one forward and backward pass for each answer token and step."""
    total, ids = torch.zeros(688), item.prompt + item.answer
    for end in range(len(item.prompt), len(ids)):
        for j in range(1, STEPS + 1):
            caught: list[Tensor] = []

            def scale(
                _: nn.Module, inputs: tuple[Tensor, ...], share: float = j / STEPS, caught: list[Tensor] = caught
            ) -> tuple[Tensor]:
                caught.extend((inputs[0][0, -1], (share * inputs[0][0, -1]).requires_grad_()))
                return (torch.cat((inputs[0][0, :-1], caught[1][None]))[None],)

            with down.register_forward_pre_hook(scale):
                value = model(torch.tensor([ids[:end]])).logits[0, -1].log_softmax(-1)[ids[end]].exp()
            total += caught[0] * torch.autograd.grad(value, caught[1])[0] / STEPS
    return total


def shortcut(model: LlamaForCausalLM, items: list[Encoded]) -> list[Tensor]:
    """All positions scaled at once, which is not the definition: the steps in the batch, logits at labels only."""
    totals = [torch.zeros(688) for _ in layers(model)]
    for batch in _attribution._batches(items, _attribution.BUDGET // STEPS):
        ids = [torch.tensor((item.prompt + item.answer)[:-1]) for item in batch]
        targets = [torch.tensor([-1] * (len(item.prompt) - 1) + item.answer) for item in batch]
        padded = pad_sequence(ids, batch_first=True).repeat(STEPS, 1)
        labels = pad_sequence(targets, batch_first=True, padding_value=-1).repeat(STEPS, 1)
        mask = (torch.arange(padded.shape[1]) < torch.tensor([len(i) for i in ids])[:, None]).long().repeat(STEPS, 1)
        shares = (torch.arange(1, STEPS + 1) / STEPS).repeat_interleave(len(batch))[:, None, None]
        for total, layer in zip(totals, layers(model), strict=True):
            caught: list[Tensor] = []

            def scale(
                _: nn.Module, inputs: tuple[Tensor, ...], shares: Tensor = shares, caught: list[Tensor] = caught
            ) -> tuple[Tensor]:
                caught.extend((inputs[0], (shares * inputs[0]).requires_grad_()))
                return (caught[1],)

            with layer.down.register_forward_pre_hook(scale):
                hidden = model.model(padded, attention_mask=mask, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[labels >= 0])
            value = (-nn.functional.cross_entropy(logits, labels[labels >= 0], reduction="none")).exp().sum()
            total += (caught[0] * torch.autograd.grad(value, caught[1])[0]).sum((0, 1)) / STEPS
    return totals


@pytest.fixture(autouse=True)
def frozen(model: LlamaForCausalLM) -> None:
    """No gradients of weights for anybody, so that the comparison is of the algorithms."""
    model.requires_grad_(False)


def test_fifty_times_faster_than_the_naive_loop(
    model: LlamaForCausalLM, pairs: list[Encoded], benchmark: Any, clock: Clock
) -> None:
    """The naive loop runs on the two middle layers of four, for two pairs of median length; times are per label."""
    few = sorted(pairs, key=lambda item: len(item.answer))[15:17]
    second, third = (layer.down for layer in layers(model)[1:3])
    labels = sum(len(item.answer) for item in few)
    clock.time("naive loop", lambda: [naive(model, item, down) for item in few for down in (second, third)])
    for _ in range(3):
        clock.time("exact", lambda: attribute(model, pairs, steps=STEPS))
    slow, fast = clock.cpu("naive loop") / labels / 2, clock.cpu("exact") / sum(len(item.answer) for item in pairs)
    times = slow / fast * len(layers(model))
    benchmark.extra_info["times faster than the naive loop"] = times
    exact = benchmark(lambda: attribute(model, few, steps=STEPS))[2]
    assert (
        exact - torch.stack([naive(model, item, third) for item in few]).sum(0)
    ).abs().max() <= 1e-5 * exact.abs().max()
    clock.only_if_quiet()
    assert times >= 50


def test_no_slower_than_the_shortcut(
    model: LlamaForCausalLM, pairs: list[Encoded], benchmark: Any, clock: Clock
) -> None:
    """At most 1.2 times its time, medians of three alternating runs each."""
    for _ in range(3):
        clock.time("exact", lambda: attribute(model, pairs, steps=STEPS))
        clock.time("shortcut", lambda: shortcut(model, pairs))
    share = clock.cpu("exact") / clock.cpu("shortcut")
    benchmark.extra_info["share of the shortcut's time"] = share
    benchmark(lambda: attribute(model, pairs[:4], steps=STEPS))
    clock.only_if_quiet()
    assert share <= 1.2
