"""Looking into a model while it reads: its residual stream behind each layer, and two models' likeness.

Only the bare model is looked into. What is attached acts in passes that name a prompt, and its owner can be asked for
the weights without it; so a model that is attacked twice shows the same inside both times.

Shapes: L layers, N places of a batch, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import Batch
from bench.errors import BenchError
from bench.model.architecture import blocks
from bench.model.heads import seen
from bench.model.models import LM


def places(batch: Batch, wanted: Sequence[np.ndarray]) -> Tensor:
    """[N] where, in a flattened batch, the tokens are that predict the wanted tokens of each row's answer.

    Args:
        wanted: of each row, bool [T_i], one for each token of its answer.
    """
    return batch.at[torch.from_numpy(np.concatenate(wanted)).to(batch.at.device)]


@torch.no_grad()
def residuals(lm: LM, batch: Batch, at: Tensor) -> list[Tensor]:
    """[N, D] for each of the L layers: the residual stream behind it at the places `at` of the bare model."""
    found: list[Tensor] = []

    def read(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        found.append(_stream(output).flatten(0, 1)[at])

    with _hooked((block, read) for block in blocks(lm.model)[1]):
        lm.model.base_model(input_ids=batch.ids, attention_mask=seen(batch.mask), use_cache=False)
    return found


@contextmanager
def patched(lm: LM, layer: int, at: Tensor, states: Tensor) -> Iterator[None]:
    """Within it, the bare model's residual stream behind a layer is `states` [N, D] at the places `at` of a batch."""

    def write(module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
        old = _stream(output)
        new = old.flatten(0, 1).index_copy(0, at, states.to(old)).view_as(old)
        return (new, *output[1:]) if isinstance(output, tuple) else new

    with _hooked([(blocks(lm.model)[1][layer], write)]):
        yield


def check_alike(one: LM, other: LM, what: str) -> None:
    """Two models have the same weights by name and shape, and read the same tokens.

    Raises:
        BenchError: they have not; the message says what differs first.
    """
    shapes = [{name: tuple(p.shape) for name, p in lm.model.named_parameters()} for lm in (one, other)]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        a, b = (of.get(name) for of in shapes)
        if a != b:
            raise BenchError(
                f"{what} needs models of one architecture: {name} is {a or 'absent'} in one and {b or 'absent'} in the "
                "other. Leave this attack out for that model."
            )
    if one.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise BenchError(f"{what} needs models that read the same tokens. Leave this attack out for that model.")


def _stream(output: Any) -> Tensor:
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


@contextmanager
def _hooked(hooks: Any) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
