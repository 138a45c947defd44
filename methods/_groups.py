"""Which weights decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn


def decay_groups(params: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups in which matrices decay and vectors (norms and biases) do not, as in SOUL."""
    groups = [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
