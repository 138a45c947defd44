"""Logit lens: what each layer would say if it were the last.

Final norm and head on the residual stream behind each layer, at the tokens that predict an answer's value, the true
answer before them. A method that only turns the last layers leaves the answer legible below them. Of the attacks on
RMU, NPO and DPO by Lucki et al., arXiv:2409.18025, this recovered most of DPO's. Which layer to read is chosen on
other authors than those it is read of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from bench.api import Reading, attack
from bench.attacks._asked import Ready
from bench.attacks._inside import places, residuals
from bench.attacks._subject import Subject
from bench.model.architecture import head
from bench.model.models import LM
from bench.model.precision import Precision, arithmetic


@attack("logit-lens")
@dataclass(frozen=True)
class LogitLens:
    """Read each layer of the bare model with the model's own head."""

    title: ClassVar = "logit lens"
    light: ClassVar = True
    needs: ClassVar = "weights"
    injects: ClassVar = "nothing"
    axis: ClassVar = "layer"
    at: ClassVar = None
    from_plain: ClassVar = False
    inside: ClassVar = True

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each layer, the first being 1; behind the last is what the bare model says."""
        for layer, known in enumerate(by_layer(subject.lm, subject.ready(subject.items), subject.precision), 1):
            yield Reading("", "", layer, known)


@torch.no_grad()
def by_layer(lm: LM, ready: Ready, precision: Precision = "float32") -> np.ndarray:
    """[L, N] geometric mean of the probabilities of each answer's value tokens, read behind each layer.

    NaN of what does not fit the model.
    """
    tail = head(lm.model)
    found: dict[int, np.ndarray] = {}
    layers = 0
    with arithmetic(precision, lm.device):
        for rows, batch in ready.batches:
            wanted = [ready.values[i] for i in rows]
            at = places(batch, wanted)
            own = batch.labels.flatten()[at, None]
            logps = [tail(s).float().log_softmax(-1).gather(1, own)[:, 0] for s in residuals(lm, batch, at)]
            each = np.split(torch.stack(logps).cpu().numpy(), np.cumsum([of.sum() for of in wanted])[:-1], axis=1)
            found |= {i: np.exp(of.mean(1)) for i, of in zip(rows, each, strict=True)}
            layers = len(logps)
    unasked = np.full(layers, np.nan)
    return np.stack([found.get(i, unasked) for i in range(len(ready.items))], axis=1)
