"""Trials of a tuning are run one by one, on a thread each: four tiny models stacked as one take longer.

pytest tests/benchmarks/test_stacked.py --benchmark-enable -m '' -s
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from bench.model.models import llama_config
from bench.model.recipes import SCRATCH
from tests.benchmarks._timing import Clock

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
TRIALS, ROWS, LENGTH, ROUNDS = 4, 8, 48, 15


def _model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = llama_config(SCRATCH["tiny"], 2048, pad_token_id=0, eos_token_id=1)
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config).eval()


def _loss(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def test_four_trials_one_by_one_and_stacked(benchmark: Any, clock: Clock) -> None:
    """The same gradients to 1e-5; alternating, on one thread, one by one takes no longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    models = [_model(seed) for seed in range(TRIALS)]
    ids = torch.randint(2, 2048, (TRIALS, ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]

    def one(parameters: Any, buffers: Any, ids: Tensor) -> Tensor:
        given = {"input_ids": ids, "use_cache": False}
        return _loss(functional_call(models[0], (parameters, buffers), (), given).logits, ids)

    def stacked() -> dict[str, Tensor]:
        found: dict[str, Tensor] = vmap(grad(one))(parameters, buffers, ids)
        return found

    def alone(model: nn.Module, ids: Tensor) -> list[Tensor]:
        model.zero_grad()
        _loss(model(input_ids=ids, use_cache=False).logits, ids).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    def one_by_one() -> list[list[Tensor]]:
        return [alone(model, own) for model, own in zip(models, ids, strict=True)]

    try:
        together = stacked()
        for trial, gradients in enumerate(one_by_one()):
            for (name, _), gradient in zip(models[0].named_parameters(), gradients, strict=True):
                torch.testing.assert_close(together[name][trial], gradient, atol=1e-5, rtol=1e-5)
        for _ in range(ROUNDS):
            clock.time("one by one", one_by_one)
            clock.time("stacked", stacked)
        benchmark(one_by_one)
    finally:
        torch.set_num_threads(threads)
    benchmark.extra_info["of the stacked time"] = share = clock.cpu("one by one") / clock.cpu("stacked")
    clock.only_if_quiet()
    assert share < 1.05
