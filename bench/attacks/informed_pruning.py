"""Pruning by who knows part of the forget set: weights that matter for it and not for what is kept are set to 0.

Set difference: the most important p % of each matrix for forget texts without the most important q % for retain texts,
importance by weight times gradient, as Lucki et al., arXiv:2409.18025, prune what hides knowledge. Removing W_ij
changes the loss by -W_ij dL/dW_ij to first order; two lines differ in what they take of it, mean over texts:

    by size     |W_ij dL/dW_ij|, as there
    by sign     W_ij dL/dW_ij: only weights go without which the forget answers are likelier; ours, the stronger

For retain texts it is the size in both. The attacker has the answers of some authors, never of those who are scored,
and looks at the bare model. Linear layers of the decoder only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from bench.api import Pair, Reading, attack
from bench.attacks._subject import Subject, linear
from bench.model.models import LM
from bench.model.precision import arithmetic
from bench.train.batches import collate, label_logps

Masks = Mapping[str, Tensor]
"""Of each linear layer by name, which weights: bool [out, in]."""


@attack("informed-pruning")
@dataclass(frozen=True)
class InformedPruning:
    """Remove the weights that matter for the forget texts one holds and not for what is kept."""

    title: ClassVar = "informed pruning"
    light: ClassVar = False
    needs: ClassVar = "weights"
    injects: ClassVar = "forget facts"
    axis: ClassVar = "percent"
    at: ClassVar = None
    from_plain: ClassVar = True

    forget: tuple[float, ...] = (0.5, 1.0)  # percent of each matrix
    retain: tuple[float, ...] = (1.0, 5.0)

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each percentage of what matters for the forget set and, as a setting, for what is spared.

        None where the forget set is of one author, whose answers cannot be given and scored.
        """
        given, scored = subject.parts
        if not given:
            return
        retained = [Pair(each.prompt, each.answer, each.raw) for each in subject.kept]
        signed, sizes = importance(subject, given)
        _, spared = importance(subject, retained)
        spare = {percent: top(spared, percent) for percent in self.retain}
        for line, scores in (("by size", sizes), ("by sign", signed)):
            for percent in self.forget:
                gone = top(scores, percent)
                for kept, masks in spare.items():
                    lm = without(subject, gone, masks)
                    known = np.where(scored, subject.known(lm), np.nan)
                    yield Reading(line, f"sparing {kept:g} %", percent, known, subject.keeps(lm))


def importance(subject: Subject, pairs: Sequence[Pair]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of each linear layer [out, in]: W dL/dW and |W dL/dW|, L one answer's mean loss, their means over pairs."""
    lm = subject.copy()
    lm.model.requires_grad_(False)
    weights = {name: module.weight.requires_grad_(True) for name, module in linear(lm.model)}
    turned = {name for name, module in linear(lm.model) if isinstance(module, Conv1D)}
    signed, sizes = ({name: torch.zeros_like(w, dtype=torch.float32) for name, w in weights.items()} for _ in range(2))
    for done, pair in enumerate(pairs):
        batch = collate([lm.encode(pair.prompt, pair.answer, pair.raw)], lm.pad).to(lm.device)
        with arithmetic(subject.precision, lm.device):
            labels = label_logps(lm.model, batch)
        for name, slope in zip(weights, torch.autograd.grad(labels.cross_entropy(), [*weights.values()]), strict=True):
            change = weights[name].detach().float() * slope / len(pairs)
            signed[name] += change
            sizes[name] += change.abs()
        subject.progress("weighing weights", done + 1, len(pairs))
    return tuple({name: s.T if name in turned else s for name, s in of.items()} for of in (signed, sizes))  # type: ignore[return-value]


def top(scores: Mapping[str, Tensor], percent: float) -> Masks:
    """The highest `percent` of each matrix's scores, rounded down; of equal ones those that come first."""
    found = {}
    for name, of in scores.items():
        best = of.flatten().argsort(descending=True, stable=True)[: int(percent / 100 * of.numel())]
        found[name] = (
            torch.zeros(of.numel(), dtype=torch.bool, device=of.device).index_fill(0, best, True).view(of.shape)
        )
    return found


def without(subject: Subject, gone: Masks, spared: Masks) -> LM:
    """The model with the weights set to 0 that are `gone` and not `spared`."""
    return subject.changed(lambda name, weight: weight.masked_fill(gone[name] & ~spared[name], 0.0))
