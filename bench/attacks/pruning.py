"""Pruning by who knows nothing of the forget set: the weights that seem to do least are set to 0.

By magnitude within each matrix, or by Wanda, arXiv:2306.11695: |W_ij| times the norm of input j over texts that should
be kept, within each output row. All norms are of the dense model: it is not pruned layer after layer. Linear layers of
the decoder only. Who knows the forget set does `informed-pruning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.api import Reading, attack
from bench.attacks._asked import Ready
from bench.attacks._subject import Subject, linear
from bench.model.heads import seen
from bench.model.models import LM
from bench.model.precision import Precision, arithmetic


@attack("pruning")
@dataclass(frozen=True)
class Pruning:
    """Remove a share of the weights, as who makes a model smaller does."""

    title: ClassVar = "pruning"
    light: ClassVar = False
    needs: ClassVar = "weights"
    injects: ClassVar = "nothing"
    axis: ClassVar = "share"
    at: ClassVar = None
    from_plain: ClassVar = True

    shares: tuple[float, ...] = (0.1, 0.3, 0.5)

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each rule and share."""
        norms = input_norms(subject.lm, subject.ready(subject.kept), subject.precision)
        rules: dict[str, Callable[[str, Tensor, float], Tensor]] = {
            "magnitude": lambda name, weight, share: without_least(weight, weight.abs().flatten(), share),
            "Wanda": lambda name, weight, share: without_least(weight, weight.abs() * norms[name], share),
        }
        for line, rule in rules.items():
            for share in self.shares:
                lm = subject.changed(lambda name, weight, r=rule, s=share: r(name, weight, s))  # type: ignore[misc]
                yield Reading(line, "", share, subject.known(lm), subject.keeps(lm))


def without_least(weight: Tensor, scores: Tensor, share: float) -> Tensor:
    """[out, in] with the lowest `share` of the scores in each row [R, S] set to 0, rounded down, in the order they lie.

    Args:
        scores: as many as there are weights; one row of all is [out * in].
    """
    rows = scores.reshape(-1, scores.shape[-1])
    least = rows.argsort(dim=1, stable=True)[:, : int(share * rows.shape[1])]
    kept = torch.ones_like(rows, dtype=torch.bool).scatter(1, least, False)
    return torch.where(kept.view_as(weight), weight, 0.0)


@torch.no_grad()
def input_norms(lm: LM, ready: Ready, precision: Precision = "float32") -> dict[str, Tensor]:
    """The norm of each input over all tokens of some texts, of each linear layer of the bare decoder: float32 [in]."""
    squares: dict[str, Tensor] = {}
    mask = torch.empty(0)

    def add(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
            read = given[0].flatten(0, -2)[mask].float().square().sum(0)
            squares[name] = squares[name] + read if name in squares else read

        return hook

    handles = [module.register_forward_pre_hook(add(name)) for name, module in linear(lm.model)]
    try:
        with arithmetic(precision, lm.device):
            for _, batch in ready.batches:
                mask = batch.mask.flatten().bool()
                lm.model.base_model(input_ids=batch.ids, attention_mask=seen(batch.mask), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: found.sqrt() for name, found in squares.items()}
