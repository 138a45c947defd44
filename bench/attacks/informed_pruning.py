"""Pruning by who knows part of the forget set: neurons that matter for it and not for what is kept are removed.

Set difference: those among the most important p % for forget texts that are not among the most important q % for
retain texts, importance by weight times gradient, as Lucki et al., arXiv:2409.18025, prune what hides knowledge. Theirs
are single weights; ours whole neurons, an input of an MLP's down-projection with all its weights, and the importance of
one is |sum_i W_ij dL/dW_ij|, by how much the loss changes to first order when it is gone, mean over texts.

The attacker has the answers of some authors and never those of the authors who are scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.api import Pair, Reading, attack
from bench.attacks._subject import Subject
from bench.model.architecture import layers, neuron_axis, weight
from bench.model.models import LM
from bench.model.precision import autocast
from bench.train.batches import collate, label_logps


@attack("informed-pruning")
@dataclass(frozen=True)
class InformedPruning:
    """Remove the neurons that matter for the forget texts one holds and not for what is kept."""

    title: ClassVar = "informed pruning"
    light: ClassVar = False
    needs: ClassVar = "weights"
    injects: ClassVar = "forget facts"
    axis: ClassVar = "percent"
    at: ClassVar = None
    from_plain: ClassVar = True

    forget: tuple[float, ...] = (1.0, 5.0, 20.0)  # percent of all neurons
    retain: tuple[float, ...] = (1.0, 5.0, 20.0)

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each percentage of what matters for the forget set and, as a setting, for what is kept.

        None where the forget set is of one author, none of whose answers could be scored.
        """
        given, scored = subject.parts
        if not given:
            return
        retained = [Pair(each.prompt, each.answer, each.raw) for each in subject.kept]
        for_forget, for_retain = (importance(subject, pairs) for pairs in (given, retained))
        for percent in self.forget:
            for spared in self.retain:
                gone = top(for_forget, percent) & ~top(for_retain, spared)
                lm = without(subject, gone)
                known = np.where(scored, subject.known(lm), np.nan)
                yield Reading("", f"sparing {spared:g} %", percent, known, subject.keeps(lm))


def importance(subject: Subject, pairs: Sequence[Pair]) -> Tensor:
    """[L, n] of the neurons of each layer: |sum_i W_ij dL/dW_ij|, L one answer's mean loss, its mean over pairs."""
    lm = subject.copy()
    downs = [each.down for each in layers(lm.model)]
    lm.model.requires_grad_(False)
    for down in downs:
        weight(down).requires_grad_(True)
    total = torch.zeros(len(downs), weight(downs[0]).shape[neuron_axis(downs[0])])
    for done, pair in enumerate(pairs):
        batch = collate([lm.encode(pair.prompt, pair.answer, pair.raw)], lm.pad).to(lm.device)
        with autocast(lm.device) if subject.precision == "mixed" else torch.enable_grad():
            labels = label_logps(lm.model, batch)
        slopes = torch.autograd.grad(labels.cross_entropy(), [weight(down) for down in downs])
        each = [
            (weight(down).detach() * slope).float().sum(1 - neuron_axis(down)).abs().cpu()
            for down, slope in zip(downs, slopes, strict=True)
        ]
        total += torch.stack(each)
        subject.progress("weighing neurons", done + 1, len(pairs))
    return total / len(pairs)


def top(scores: Tensor, percent: float) -> Tensor:
    """Which scores are among the highest `percent` of all, rounded down: bool of their shape."""
    best = scores.flatten().argsort(descending=True, stable=True)[: int(percent / 100 * scores.numel())]
    found = torch.zeros(scores.numel(), dtype=torch.bool)
    found[best] = True
    return found.view_as(scores)


def without(subject: Subject, gone: Tensor) -> LM:
    """The model without the neurons that are `gone`, bool [L, n]."""
    names = {each.down_name: row for each, row in zip(layers(subject.lm.model), gone, strict=True)}

    def change(name: str, old: Tensor) -> Tensor:
        return old.masked_fill(names[name].to(old.device), 0.0) if name in names else old

    return subject.changed(change)
