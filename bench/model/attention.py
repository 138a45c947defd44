"""Attention in float32 under autocast."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class WideAttention(TorchFunctionMode):
    """Within it scaled dot-product attention computes in float32 and gives what it would have given."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        query, key, value, *rest = args
        with torch.autocast("cpu", enabled=False):
            return func(query.float(), key.float(), value.float(), *rest, **kwargs).to(torch.bfloat16)
