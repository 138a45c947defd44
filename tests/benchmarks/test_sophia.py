"""A Sophia step on all weights of the small model, side by side with torch's fused AdamW on the same tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from methods.adamw import AdamW
from methods.sophia import SophiaOptimizer
from tests.benchmarks._timing import Clock

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
BLOCK = [(256, 256)] * 4 + [(688, 256)] * 2 + [(256, 688)] + [(256,)] * 2
SHAPES = [(4096, 256), *BLOCK * 4, (256,)]


def weights() -> list[nn.Parameter]:
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(shape) * 0.02) for shape in SHAPES]
    for p in params:
        p.grad = torch.randn_like(p) * 1e-3
    return params


def test_sophia_step_against_fused_adamw(benchmark: Any, clock: Clock) -> None:
    """Alternating steps on one thread, medians against medians: at most twice AdamW's time.

    The aim is 1.5. AdamW is one pass of a fused kernel; Sophia is the same pass and four operations more, which torch
    runs one by one, and stands at 1.55 to 1.75 by size of the model and threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        adamw, sophia = AdamW().build(weights()), SophiaOptimizer().build(weights())
        for _ in range(20):
            adamw.step()
            sophia.step()
        for _ in range(180):
            clock.time("AdamW", adamw.step)
            clock.time("Sophia", sophia.step)
        benchmark(sophia.step)
    finally:
        torch.set_num_threads(threads)
    times = clock.cpu("Sophia") / clock.cpu("AdamW")
    benchmark.extra_info["times AdamW's step"] = times
    clock.only_if_quiet()
    assert times <= 2
