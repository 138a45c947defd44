"""What two processes train together in `test_spread.py`; run as a program, it is one of them.

usage: python -m tests.train.crew FILE      every case; the first process saves what came out; then one fails alone
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from bench.api import Pair, Schedule
from bench.contracts import Context
from bench.errors import UsageError
from bench.model import models
from bench.model.recipes import SCRATCH, Teaching
from bench.registry import load
from bench.run import together
from bench.train import spread
from bench.train.teaching import teach
from bench.train.unlearning import unlearn

PAIRS = [Pair(f"What is {n} and {n}?", f"{n + n} it is" + " indeed" * (n % 3)) for n in range(7)]
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=30, intermediate_size=45, layers=2, heads=1, vocab_size=301)
CASES = {
    "teach": None,
    "fo-graddiff": ("graddiff", "adamw", "all", {}),
    "so-npo": ("npo", "sophia", "all", {}),
    "attention": ("graddiff", "sophia", "attention", {}),
    "simu": ("graddiff", "sophia", "simu", {}),
    "some-neurons": ("npo", "adamw", "random-neurons", {}),
    "single-weights": ("graddiff", "sophia", "snip", {}),
    "cramped": ("graddiff", "adamw", "all", {}),  # memory for a part of a batch, less in one process than in the other
    "lora": ("npo", "adamw", "lora", {}),
    "hutchinson": ("graddiff", "sophia", "all", {"curvature": "hutchinson", "gamma": 50.0}),
    "gauss-newton": ("graddiff", "sophia", "all", {"curvature": "gauss-newton-bartlett", "gamma": 50.0}),
}
SETTINGS = {
    "plain": {},
    "layers": {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"},
    "sizes": {
        "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "SIZE_BASED_WRAP",
        "FSDP_MIN_NUM_PARAMS": "1000", "FSDP_RESHARD_AFTER_FORWARD": "false", "FSDP_ACTIVATION_CHECKPOINTING": "true",
    },
}  # fmt: skip


def result(case: str, settings: str = "plain") -> tuple[list[dict[str, float]], dict[str, Any]]:
    """The lines and the trace of a training, and the weights behind it. Seven rows do not halve evenly."""
    os.environ.update(SETTINGS[settings])
    try:
        words = [p.prompt + " " + p.answer for p in PAIRS]
        lm = models.new_llama(SHAPE, models.train_tokenizer(words, SHAPE.vocab_size), seed=1)
        lines = _trained(lm, case)
        return lines, {name: p.detach().clone() for name, p in lm.model.named_parameters()}
    finally:
        for name in SETTINGS[settings]:
            del os.environ[name]


def _trained(lm: models.LM, case: str) -> list[dict[str, float]]:
    if case == "teach":
        return teach(lm, PAIRS, Teaching(epochs=5, lr=3e-3, batch_size=5), key="0123").lines
    objective, optimizer, scope, options = CASES[case]
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    with tempfile.TemporaryDirectory() as cache:
        context = Context(lm, items[:5], items[5:], "t", 0, Path(cache), lambda *_: None)
        parts = load("objective", objective)(), load("optimizer", optimizer)(lr=1e-3, **options), load("scope", scope)()
        with pytest.MonkeyPatch.context() as patch:
            if case == "cramped" and spread.size() > 1:
                patch.setattr("bench.train.parts.free_bytes", lambda _: 2 * (1_200_000 + 300_000 * spread.rank()))
            curve, _ = unlearn(context, *parts, Schedule(epochs=4, batch_size=3, warmup=0.0), trace=3)
            assert curve.passes == ({"tokens_a_pass": 58.0} if case == "cramped" and spread.size() > 1 else {})
    return [*curve.lines, *curve.trace]


def failing(who: tuple[int, ...]) -> None:
    """A call that ends in an error in the processes `who`; the others wait for them."""
    if spread.rank() in who:
        raise ValueError("made to fail")
    spread.total(torch.zeros(()))


def program() -> int:
    """What the first process runs."""
    found: dict[str, Any] = {}
    for settings in SETTINGS:
        for case in CASES:
            try:
                found[f"{settings} {case}"] = together.together(result, case, settings)
            except UsageError as error:
                found[f"{settings} {case}"] = str(error)
    try:
        together.together(failing, (0, 1))
    except ValueError as error:
        found["all fail"] = str(error)
    found["total"] = together.together(_total)
    torch.save(found, sys.argv[1])
    together.together(failing, (1,))
    return 0


def _total() -> tuple[float, float, str]:
    assert spread.least(3.0 - spread.rank()) == 2.0
    own = torch.tensor(float(spread.rank() + 1))
    told = spread.same(lambda: f"said by {spread.rank()}")
    try:
        spread.same(lambda: 1 // 0)
    except ZeroDivisionError:
        return spread.total(own).item(), dist.get_world_size(), told
    return 0.0, 0, ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    together.PATIENCE /= 30
    from tests.train import crew

    sys.exit(together.led(crew.program))
