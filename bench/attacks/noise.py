"""Noise on the weights: what was forgotten in a narrow minimum comes back when the weights are shaken.

W + N(0, (c sigma_W)^2) with sigma_W the deviation of each matrix's own weights. Fan et al., arXiv:2502.05374, lay the
return of knowledge to sharp minima. Linear layers of the decoder only; the attacker knows nothing of the forget set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.api import Reading, attack
from bench.attacks._subject import Subject


@attack("noise")
@dataclass(frozen=True)
class Noise:
    """Shake the weights: normal noise of a share of each matrix's own deviation; the mean over several draws."""

    title: ClassVar = "noise"
    light: ClassVar = False
    needs: ClassVar = "weights"
    injects: ClassVar = "nothing"
    axis: ClassVar = "noise"
    at: ClassVar = None
    from_plain: ClassVar = True

    levels: tuple[float, ...] = (0.01, 0.05, 0.1)
    draws: int = 5

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each level; the draws are the same at all levels and for all models."""
        seeds = subject.stream("noise").integers(1 << 62, size=self.draws)
        for done, level in enumerate(self.levels):
            found = []
            for draw, seed in enumerate(seeds):
                lm = subject.changed(shaken(level, int(seed)))
                found.append((subject.known(lm), subject.keeps(lm)))
                subject.progress("shaking", done * self.draws + draw + 1, len(self.levels) * self.draws)
            known, kept = (np.mean(each, axis=0) for each in zip(*found, strict=True))
            yield Reading("", "", level, known, kept)


def shaken(level: float, seed: int) -> Callable[[str, Tensor], Tensor]:
    """A change of weights: normal noise of `level` times each matrix's deviation, matrix after matrix from one seed."""
    draws = dict[torch.device, torch.Generator]()

    def change(name: str, weight: Tensor) -> Tensor:
        if weight.device not in draws:
            draws[weight.device] = torch.Generator(weight.device).manual_seed(seed)
        noise = torch.empty(weight.shape, device=weight.device).normal_(generator=draws[weight.device])
        return (weight.float() + level * weight.float().std() * noise).to(weight.dtype)

    return change
