"""In what precision a model is held and computes. Imports no torch before it is asked for a type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "mixed", "bfloat16"]
PRECISIONS: Mapping[Precision, str] = {
    "float32": "weights and arithmetic in float32",
    "mixed": "float32 weights, forward and backward passes in bfloat16",
    "bfloat16": "bfloat16 weights; what rounding takes off a step is kept beside them in 16 bits",
}
"""What `--precision` knows."""


def dtype(precision: Precision) -> torch.dtype:
    """The type of the weights."""
    import torch

    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Within the block forward passes on `device` compute in that precision.

    Weights that were cast are not kept: a pass without gradients looks at each once.
    """
    return autocast(device, kept=False) if precision == "mixed" else nullcontext()


@contextmanager
def autocast(device: torch.device, kept: bool = True) -> Iterator[None]:
    """Within the block forward passes on `device` compute in bfloat16; `kept` weights are cast once for all of it.

    On a CPU attention stays in float32, where torch's way back through it takes a sixth of the time.
    """
    import torch

    from bench.model.attention import WideAttention

    wide = WideAttention() if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, cache_enabled=kept), wide:
        yield
