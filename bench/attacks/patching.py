"""Activation patching depth: in how many layers the states of what answers differ from those of one who never knew.

States of a source S, the residual stream behind a layer at the tokens that predict the value of an answer, are put into
the target, the true answer being read along. Unlearning Depth Score of arXiv:2605.24614:

    D_l^S = mean_t [log p_target(y_t) - log p_patched(y_t)]          S1 = retrain, S2 = the attacked model
    K     = {l : D_l^S1 > 0.05}
    UDS   = sum_{l in K} D_l^S1 clip(D_l^S2 / D_l^S1, 0, 1) / sum_{l in K} D_l^S1

It is 0 for the target and 1 for retrain, by construction. Known is 1 - UDS; an item whose K is empty is not scored.
That a model goes further than retrain does not show. Cost: 1 + 2 L passes for L layers. What is put in are states of
the bare model: what is attached acts in passes that name a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.api import Reading, attack
from bench.attacks._asked import Ready
from bench.attacks._inside import check_alike, patched, places, residuals
from bench.attacks._subject import Subject
from bench.contracts import Batch
from bench.model.architecture import blocks, head
from bench.model.models import LM
from bench.model.precision import arithmetic


@attack("patching-depth")
@dataclass(frozen=True)
class PatchingDepth:
    """Put the bare model's states into the target, layer by layer, and see whether it can still answer."""

    title: ClassVar = "patching depth"
    light: ClassVar = False
    needs: ClassVar = "target"
    injects: ClassVar = "nothing"
    axis: ClassVar = "layer"
    at: ClassVar = None
    from_plain: ClassVar = False
    inside: ClassVar = True

    threshold: float = 0.05  # nats by which retrain's states must hurt at a layer for it to count

    def run(self, subject: Subject) -> Iterator[Reading]:
        """1 - UDS of each item, and the same of each layer alone, the first being 1.

        Raises:
            BenchError: the three models are not of one architecture.
        """
        target, retrain = subject.target(), subject.retrain()
        for other in (retrain, subject.lm):
            check_alike(target, other, "patching-depth")
        ready = subject.ready(subject.items)
        with arithmetic(subject.precision, target.device):
            unlearned, never = drops(target, (subject.lm, retrain), ready)
        yield Reading("all layers", "", 0, 1 - depth(unlearned, never, self.threshold))
        for layer, (own, of) in enumerate(zip(unlearned, never, strict=True), 1):
            yield Reading("by layer", "", layer, 1 - depth(own[None], of[None], self.threshold))


def depth(unlearned: np.ndarray, never: np.ndarray, threshold: float) -> np.ndarray:
    """[N] the UDS of drops [L, N] that the attacked model's and retrain's states cause; NaN where no layer counts."""
    counted = np.where(never > threshold, never, 0.0)
    reached = np.clip(unlearned, 0.0, counted).sum(0)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = reached / counted.sum(0)
    return found


@torch.no_grad()
def drops(target: LM, sources: tuple[LM, ...], ready: Ready) -> tuple[np.ndarray, ...]:
    """For each source [L, N]: by how much the target's log-probability of a value token falls with its states."""
    count = len(blocks(target.model)[1])
    found = tuple(np.zeros((count, len(ready.items))) for _ in sources)
    for rows, batch in ready.batches:
        wanted = [ready.values[i] for i in rows]
        at, sizes = places(batch, wanted), np.array([of.sum() for of in wanted])
        usual = _logps(target, batch, at, residuals(target, batch, at)[-1])
        for source, into in zip(sources, found, strict=True):
            for layer, states in enumerate(residuals(source, batch, at)):
                last = states
                if layer < count - 1:  # behind the last one nothing is left to run
                    with patched(target, layer, at, states):
                        last = residuals(target, batch, at)[-1]
                fall = (usual - _logps(target, batch, at, last)).cpu().numpy()
                into[layer, rows] = np.add.reduceat(fall, np.cumsum(sizes) - sizes) / sizes
    return found


def _logps(lm: LM, batch: Batch, at: Tensor, states: Tensor) -> Tensor:
    """[N] log-probabilities, float64, of the labels at the places `at` from the states [N, D] behind the last layer."""
    labels = batch.labels.flatten()[at]
    return head(lm.model)(states).double().log_softmax(-1).gather(1, labels[:, None])[:, 0]
