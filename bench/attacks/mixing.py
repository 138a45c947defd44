"""Mixing back towards the target: how far from it a method went, and how much of that way forgetting takes.

theta(a) = (1 - a) theta_target + a theta_unlearned, all weights. a = 1 is the attacked model and a = 0 the target, so
the curve shows whether the last tenth of the way was needed at all. It takes someone who holds both models: its use is
to see a method overshoot, not to break in. Of a method whose weights are the target's, and what it adds is attached,
the curve is flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.api import Reading, attack
from bench.attacks._inside import check_alike
from bench.attacks._subject import Subject
from bench.model.models import LM


@attack("mixing")
@dataclass(frozen=True)
class Mixing:
    """Move the weights part of the way back to the target's, as who holds both can."""

    title: ClassVar = "mixing with the target"
    light: ClassVar = False
    needs: ClassVar = "target"
    injects: ClassVar = "nothing"
    axis: ClassVar = "share"
    at: ClassVar = 0.9
    from_plain: ClassVar = True

    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)  # of the attacked model's weights

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each share of the attacked model's weights.

        Raises:
            BenchError: the target has other weights, not only other values of them.
        """
        target = subject.target()
        check_alike(target, subject.lm, "mixing")
        for share in self.shares:
            lm = mixed(subject, target, share)
            yield Reading("", "", share, subject.known(lm), subject.keeps(lm))


@torch.no_grad()
def mixed(subject: Subject, target: LM, share: float) -> LM:
    """A copy of the attacked model, all of whose weights lie at `share` of the way from the target's to its own.

    At 0 and at 1 they are the target's and its own bit for bit.
    """
    lm = subject.copy()
    start = dict(target.model.named_parameters())
    for name, own in lm.model.named_parameters():
        own.copy_(torch.lerp(start[name].to(own), own, share))
    return lm
