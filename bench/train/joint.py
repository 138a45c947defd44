"""Several sets of a step in one pass of the model, where there would be one for each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import Batch

SPARE = 1.15
"""How many times the padded tokens of the sets apart those of all together may be; beyond it apart is cheaper."""


def joined(batches: Sequence[Batch]) -> tuple[Tensor, Tensor, Tensor] | None:
    """The rows of several batches one after the other: `ids` and `mask` [B, L], and `at` [N], as in `Batch`.

    None where that is of no use: of one batch, or where the widths differ so much that the padding costs more.
    """
    shapes = [batch.ids.shape for batch in batches]
    width = max((own for _, own in shapes), default=0)
    apart, together = sum(rows * own for rows, own in shapes), sum(rows for rows, _ in shapes) * width
    if len(batches) < 2 or together > SPARE * apart:
        return None
    at, first = [], 0
    for batch, (rows, own) in zip(batches, shapes, strict=True):
        at.append(first * width + (batch.at if own == width else batch.at // own * width + batch.at % own))
        first += rows
    ids, mask = (
        torch.cat([F.pad(rows, (0, width - rows.shape[1])) for rows in column])
        for column in ([batch.ids for batch in batches], [batch.mask for batch in batches])
    )
    return ids, mask, torch.cat(at)
