"""Where to cut a batch: a processor wastes time on padding, an accelerator on passes that are too small for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch

ON_CPU = 1024
"""Padded tokens of a pass on a CPU. Larger ones are no faster there: what a pass leaves behind fits no cache."""
A_PASS = 24
"""What a pass costs on a CPU beside its tokens, in tokens: kernels called, gradients added up."""


def usual(device: torch.device) -> tuple[float, float]:
    """Most tokens of a pass and what one costs beside them; an accelerator takes batches whole while memory lasts."""
    return (ON_CPU, A_PASS) if device.type == "cpu" else (math.inf, math.inf)


def pieces(lengths: Sequence[Sequence[int]], tokens: float, a_pass: float) -> list[tuple[int, int]]:
    """Cut rows into consecutive pieces of at most `tokens` padded tokens each, or of one row.

    Among all such cuts the cheapest, where a piece costs its padded tokens and `a_pass`; if that is infinite, the one
    with the fewest pieces, the first of them as long as can be.

    Args:
        lengths: tokens of each row in each of the sets that are run together, [rows][sets].

    Returns:
        Where each piece starts and stops.
    """
    if math.isinf(a_pass):
        return _fewest(lengths, tokens)
    whole, real = len(lengths) * sum(map(max, zip(*lengths, strict=True))), sum(map(sum, lengths))
    if whole <= min(tokens, real + a_pass):  # what two pieces would cost beside their real tokens is more
        return [(0, len(lengths))] if lengths else []
    costs, starts = [0.0], [0]  # of the first n rows; where the last piece of them starts
    for stop in range(1, len(lengths) + 1):
        widths, best = lengths[stop - 1], (math.inf, stop - 1)
        for start in range(stop - 1, -1, -1):
            widths = [max(pair) for pair in zip(widths, lengths[start], strict=True)]
            padded = (stop - start) * sum(widths)
            if padded > tokens and start < stop - 1:
                break
            best = min(best, (costs[start] + padded + a_pass, start))
        costs.append(best[0])
        starts.append(best[1])
    bounds = [len(lengths)]
    while bounds[-1]:
        bounds.append(starts[bounds[-1]])
    return [*pairwise(reversed(bounds))]


def _fewest(lengths: Sequence[Sequence[int]], tokens: float) -> list[tuple[int, int]]:
    bounds = [0]
    for row in range(1, len(lengths)):
        padded = (row + 1 - bounds[-1]) * sum(map(max, zip(*lengths[bounds[-1] : row + 1], strict=True)))
        if padded > tokens:
            bounds.append(row)
    return [*pairwise([*bounds, len(lengths)])] if lengths else []
