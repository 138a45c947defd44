"""Which shapes products are quick for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS = 64


def compiled(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether products are compiled for their shape, so that few shapes are better than exact ones.

    All are but float32's on a CPU: oneDNN, which multiplies bfloat16 there, keeps what it compiles.
    """
    return device.type != "cpu" or dtype != torch.float32 or torch.is_autocast_enabled("cpu")


def rounded(rows: Tensor) -> Tensor:
    """[N, D] with rows of zeros behind them, up to a multiple of `ROWS`, where that is of use."""
    return F.pad(rows, (0, 0, 0, -len(rows) % ROWS)) if compiled(rows.device, rows.dtype) else rows
