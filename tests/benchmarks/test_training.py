"""GradDiff and NPO on the small model, each in a process of its own: seconds of the processor, and memory.

    pytest tests/benchmarks/test_training.py --benchmark-enable -m '' -s

A random Llama of the small model's shape, and items as long as TOFU's. The plain loop gets our batches, so its losses
have to be ours.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bench.api import Schedule
from bench.contracts import Context, Encoded
from bench.model.models import LM
from bench.model.recipes import SCRATCH
from bench.train.unlearning import _drawn, unlearn
from methods.adamw import AdamW
from methods.graddiff import GradDiff
from methods.npo import NPO
from methods.scopes import All
from tests.benchmarks._timing import Clock, Spent, spent
from tests.benchmarks.plain_training import graddiff

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
BATCH, STEPS, LR, VOCABULARY = 32, 5, 1e-4, 4096
SCHEDULE = Schedule(epochs=1, batch_size=BATCH)


class Run(NamedTuple):
    """Seconds, most memory beyond what was taken before the first step (bytes), losses by step."""

    spent: Spent
    bytes: int
    losses: list[tuple[float, float]]


def items(seed: int) -> list[Encoded]:
    """As long as TOFU's: about 22 tokens of prompt and 41 of answer, some three times as many."""
    random = np.random.default_rng(seed)
    prompts = random.normal(22, 5, BATCH * STEPS).clip(8, 45).astype(int)
    answers = random.lognormal(3.6, 0.45, BATCH * STEPS).clip(4, 130).astype(int)
    return [Encoded(*(random.integers(2, VOCABULARY, n).tolist() for n in both)) for both in zip(prompts, answers)]


def lm() -> LM:
    torch.manual_seed(0)
    small = SCRATCH["small"]
    shape = {"hidden_size": small.hidden_size, "intermediate_size": small.intermediate_size}
    depth = {"num_hidden_layers": small.layers, "num_attention_heads": small.heads}
    config = LlamaConfig(vocab_size=VOCABULARY, **shape, **depth, tie_word_embeddings=True)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token="</s>", pad_token="<pad>")
    return LM(LlamaForCausalLM(config).eval(), tokenizer)


def context(model: LM) -> Context:
    return Context(model, items(0), items(1), "test", 0, Path(), lambda *_: None)


def ours(objective: Any, precision: Any) -> list[tuple[float, float]]:
    given = context(lm())
    curve, _ = unlearn(given, objective, AdamW(lr=LR, weight_decay=0.01), All(), SCHEDULE, trace=0, precision=precision)
    return [(line["forget"], line["retain"]) for line in curve.lines]


def plain(micro: int) -> list[tuple[float, float]]:
    given = context(lm())
    drawn = _drawn(given, SCHEDULE, ("forget", "retain"))
    return graddiff(given.lm, given.forget, given.retain, drawn, LR, micro)


def apart(clock: Clock, side: str, run: Callable[..., list[tuple[float, float]]], *arguments: Any) -> Run:
    """A run in a fresh process on one thread."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(_watched, (run, arguments))
    clock.add(side, found.spent)
    return found


def _watched(run: Callable[..., list[tuple[float, float]]], arguments: tuple[Any, ...]) -> Run:
    torch.set_num_threads(1)
    context(lm())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses, seconds = spent(lambda: run(*arguments))
    return Run(seconds, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before), losses)


def test_graddiff_against_a_plain_loop(benchmark: Any, clock: Clock) -> None:
    """At most 0.6 of the processor's time of padded batches of 32, and 0.4 of their memory; the same losses.

    Against the field's default, four parts of eight rows, 0.9 of its time and no more memory.
    """
    own = apart(clock, "ours", ours, GradDiff(), "float32")
    padded, parts = (apart(clock, f"plain, {micro} rows", plain, micro) for micro in (BATCH, 8))
    benchmark.extra_info |= {
        "share of a plain loop's time, batches of 32": own.spent.cpu / padded.spent.cpu,
        "share of its memory": own.bytes / padded.bytes,
        "share of a plain loop's time, four times 8": own.spent.cpu / parts.spent.cpu,
        "share of its memory, four times 8": own.bytes / parts.bytes,
        "MB": own.bytes / 1e6,
    }
    benchmark.pedantic(lambda: None)
    np.testing.assert_allclose(own.losses, padded.losses, rtol=1e-5)
    assert own.bytes <= 0.4 * padded.bytes and own.bytes <= parts.bytes
    clock.only_if_quiet()
    assert own.spent.cpu <= 0.6 * padded.spent.cpu and own.spent.cpu <= 0.9 * parts.spent.cpu


def test_half_precision(benchmark: Any, clock: Clock) -> None:
    """NPO under autocast takes at most 0.8 of float32's time."""
    narrow, wide = (apart(clock, precision, ours, NPO(), precision) for precision in ("mixed", "float32"))
    benchmark.extra_info["share of float32's time"] = narrow.spent.cpu / wide.spent.cpu
    benchmark.pedantic(lambda: None)
    np.testing.assert_allclose(narrow.losses, wide.losses, rtol=2e-2)
    clock.only_if_quiet()
    assert narrow.spent.cpu <= 0.8 * wide.spent.cpu
