"""Rounding the weights: what was moved by less than half a step comes back.

Zhang et al., arXiv:2410.16454: unlearning moves weights by so little that the rounded model is often the rounded
target. Symmetric rounding to nearest, one step an output row, step = max|W_row| / (2^(b-1) - 1); and NF4, whose 16
levels are the quantiles of a normal distribution, a block of 64 weights scaled by its largest (Dettmers et al.,
arXiv:2305.14314, appendix E). Linear layers of the decoder only; what is computed with them stays as it was. Libraries
that people serve with do it as well, each where it is installed: bitsandbytes on CUDA, NF4 and LLM.int8, which rounds
activations too; torchao, weights only, in 8 bits on any device, and in 4 bits on CUDA, in bfloat16. `_served` says what
of it was run on what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.api import Reading, attack
from bench.attacks._served import ways
from bench.attacks._subject import Subject

BLOCK = 64
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


@attack("rounding")
@dataclass(frozen=True)
class Rounding:
    """Round the weights to few bits, as who serves a model on a small machine does."""

    title: ClassVar = "rounding"
    light: ClassVar = True
    needs: ClassVar = "weights"
    injects: ClassVar = "nothing"
    axis: ClassVar = "bits"
    at: ClassVar = None
    from_plain: ClassVar = True

    bits: tuple[int, ...] = (8, 6, 4, 3)

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each number of bits, one of NF4, and of what libraries make of it that are there."""
        for bits in self.bits:
            lm = subject.changed(lambda name, weight, bits=bits: rounded(weight, bits))  # type: ignore[misc]
            yield Reading("to nearest", "", bits, subject.known(lm), subject.keeps(lm))
        lm = subject.changed(lambda name, weight: normal_float(weight))
        yield Reading("NF4", "", 4, subject.known(lm), subject.keeps(lm))
        for way, bits, lm in ways(subject):
            yield Reading(way, "", bits, subject.known(lm), subject.keeps(lm))


def rounded(weight: Tensor, bits: int) -> Tensor:
    """[out, in] at the nearest of 2^bits - 1 levels that lie evenly on both sides of 0, by row.

    A row's largest weight stays as it is to the bit, so that rounding again changes nothing.
    """
    levels = 2 ** (bits - 1) - 1
    largest = weight.float().abs().amax(dim=1, keepdim=True)
    shares = weight.float() / torch.where(largest > 0, largest, 1.0)
    return ((shares * levels).round() / levels * largest).to(weight.dtype)


def normal_float(weight: Tensor) -> Tensor:
    """[out, in] at the nearest of NF4's levels times the largest weight of its block."""
    flat = weight.float().flatten()
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    levels = torch.tensor(NF4, device=weight.device)
    between = (levels[1:] + levels[:-1]) / 2
    nearest = levels[torch.bucketize(blocks / torch.where(scale > 0, scale, 1.0), between)]
    return (nearest * scale).flatten()[: len(flat)].view_as(weight).to(weight.dtype)
