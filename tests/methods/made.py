"""Values that tests hand to a loss in place of a model's."""

from __future__ import annotations

import torch

from bench.contracts import Labels


def labels(*answers: list[float], pad: int = 0) -> Labels:
    """Log-probabilities of answers of different lengths, padded on the right by `pad` more than needed."""
    width = max(map(len, answers)) + pad
    logp = torch.tensor([[*a, *[0.0] * (width - len(a))] for a in answers])
    mask = torch.tensor([[True] * len(a) + [False] * (width - len(a)) for a in answers])
    return Labels(logp, mask)
