"""Faster matrix products on the CPU, in the same precision.

PyTorch multiplies float32 matrices on x86 with Intel's MKL, which leaves other makers' processors at less than half
of their speed. oneDNN, which every build of PyTorch carries, does not; and its sums depend less on the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 64
ROWS = 64


@contextmanager
def onednn(model: nn.Module) -> Iterator[None]:
    """Within it, the model's float32 linear layers on the CPU multiply through oneDNN, which passes no gradients on.

    Does nothing where this PyTorch has no such product. The choice depends on nothing that is measured, so that results
    repeat.
    """
    with ExitStack() as stack:
        for module in model.modules() if available() else ():
            if type(module) is nn.Linear and "forward" not in vars(module) and _fits(module.weight):
                stack.enter_context(forward_replaced(module, partial(_linear, module)))
        yield


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Within it, calling `module` calls `forward`; afterwards what was there before, another's replacement included."""
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def top(scores: Tensor) -> Tensor:
    """Where the largest entry of each row of [n, V] is: the first of equals, and that of a NaN if there is one.

    `argmax` walks a row entry by entry; a maximum alone is found many at a time. So blocks are compared first.
    """
    if scores.shape[-1] % BLOCK:
        return scores.argmax(-1)
    blocks = scores.unflatten(-1, (-1, BLOCK))
    best = blocks.amax(-1).argmax(-1)
    inside = blocks[torch.arange(len(blocks), device=scores.device), best].argmax(-1)
    return best * BLOCK + inside


def _fits(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


def _linear(module: nn.Linear, x: Tensor) -> Tensor:
    """x [..., K] times the layer's weight [N, K], plus its bias: [..., N]."""
    if x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return F.linear(x, module.weight, module.bias)
    return product(x, module.weight, module.bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same with the rows filled up to one of few numbers.

    oneDNN compiles each product for its exact shape and never gives that back: half a millisecond and half a megabyte.
    """
    rows = x.numel() // x.shape[-1]
    more = filler(rows)
    if not more:
        return _pointwise(x, weight, bias)
    filled = F.pad(x.flatten(0, -2), (0, 0, 0, more))
    return _pointwise(filled, weight, bias)[:rows].view(*x.shape[:-1], -1)


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def filler(rows: int) -> int:
    """Rows to add so that there are few numbers of them: a quarter more at most, and less than `ROWS`."""
    return -rows % min(ROWS, 1 << max(0, rows.bit_length() - 3))


def available() -> bool:
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    x, weight, bias = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3), torch.arange(4.0)
    try:
        return torch.equal(product(x, weight, bias), F.linear(x, weight, bias))
    except (RuntimeError, NotImplementedError):
        return False
