"""AdamW with its state in 8 bits. Dettmers et al. 2021, arXiv:2110.02861; through the package bitsandbytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import torch
from torch import nn

from bench.api import optimizer
from bench.errors import BenchError
from methods._groups import decay_groups
from methods._optional import needed
from methods.adamw import AdamW


@optimizer("adamw-8bit")
@dataclass(frozen=True)
class AdamW8bit(AdamW):
    """AdamW whose two averages take 8 bits each, 2 bytes a weight in place of 8 (needs bitsandbytes).

    Averages are quantised in blocks of 256 with a scale each; tensors of fewer
    than 4096 weights keep them in 32 bits, by bitsandbytes' rule. It is taken and not torchao because its step needs no
    compiler, on a CPU neither; there it serves to try things, being about 30 times as slow as AdamW's.

    There is no 8-bit Sophia: neither of these packages has one.

    Defaults: AdamW's.
    """

    package: ClassVar[tuple[str, str]] = ("bitsandbytes", "8bit")
    state_bytes: ClassVar[float] = 2 + 2 * 4 / 256

    def build(self, params: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        library = needed(*self.package, "the optimizer 'adamw-8bit'")
        _try(library, params[0])
        groups = decay_groups(params, self.weight_decay)
        made: torch.optim.Optimizer = library.optim.AdamW8bit(
            groups, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps
        )
        return made


def _try(library: ModuleType, like: torch.Tensor) -> None:
    """Take a step of 8 bits with a tensor of one's own: no list of devices says which of them this installation serves.

    Raises:
        BenchError: it cannot be done on the device of `like`, in its precision.
    """
    trial = nn.Parameter(torch.zeros(4096, device=like.device, dtype=like.dtype))
    trial.grad = torch.zeros_like(trial)
    try:
        library.optim.AdamW8bit([trial]).step()
    except (RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise BenchError(
            f"bitsandbytes takes no 8-bit step on {like.device.type} in {like.dtype} ({said}). "
            "Take the optimizer 'adamw' in place of 'adamw-8bit'."
        ) from error
