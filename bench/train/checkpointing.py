"""Gradient checkpointing: memory for time (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from bench.model.architecture import blocks


@contextmanager
def checkpointed(model: PreTrainedModel) -> Iterator[None]:
    """Within the block each decoder layer keeps its input alone and is run again on the way back.

    Transformers' own switch works in training mode only, and unlearning runs without dropout.
    """
    wrapped: list[tuple[nn.Module, Any]] = []
    try:
        for layer in blocks(model)[1]:
            wrapped.append((layer, vars(layer).get("forward")))
            run_again(layer)
        yield
    finally:
        for layer, before in wrapped:
            del layer.forward
            if before is not None:  # a layer that holds weights itself, some of which are trained
                layer.forward = before


def run_again(layer: nn.Module) -> None:
    """Have a layer keep its input alone; `del layer.forward` undoes it."""
    layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
