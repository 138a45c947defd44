"""Answers drawn from a model: many samples of one prompt at a time, with what is attached to it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.measure.forward import Forward
from bench.measure.prompts import takes_cache
from bench.measure.slots import GROWTH, Slots


class Sampler:
    """Draws answers of a model; which way it runs is found out once."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self._cached = takes_cache(forward)

    def draw(self, prompt: list[int], draws: np.ndarray, temperature: float = 1.0) -> list[list[int]]:
        """Sampled answers to a prompt, without their ends.

        Args:
            draws: [n, T] uniform numbers in [0, 1), one a token of each sample: token t is where the cumulated
                probabilities pass it, so that two models that agree say the same, and no sample depends on another.
        """
        said: list[list[int]] = [[] for _ in draws]
        alive = list(range(len(draws)))
        cache = Slots(len(draws), len(prompt) + draws.shape[1] + GROWTH) if self._cached else None
        for t in range(draws.shape[1]):
            logits = self._next(prompt, [said[i] for i in alive], cache)
            tokens = _chosen(logits / temperature, draws[alive, t])
            going = []
            for row, (i, token) in enumerate(zip(alive, tokens, strict=True)):
                if token not in self.forward.stops:
                    said[i].append(token)
                    going.append(row)
            if not going:
                break
            alive = _left(alive, going, cache)
        return said

    def _next(self, prompt: list[int], said: list[list[int]], cache: Slots | None) -> Tensor:
        """Logits [B, V] after a prompt and what each row has said, none or all of one length."""
        forward, count, length = self.forward, len(said), len(prompt) + len(said[0])
        told = forward.attached.told([prompt] * count)
        spots = None
        if told is not None:
            last = torch.full((count,), length - 1, device=forward.device)
            spots = told.spots(torch.arange(count, device=forward.device), last)
        if cache is None:
            ids = torch.tensor([prompt + each for each in said], device=forward.device)
            positions = torch.arange(length, device=forward.device).expand_as(ids)
            return forward.logits(forward.hidden(ids, positions, None, told=told)[:, -1], spots)
        fed = [each[-1:] or prompt for each in said]
        ids = torch.tensor(fed, device=forward.device)
        real = torch.ones(ids.shape, dtype=torch.bool)
        positions = torch.arange(length - ids.shape[1], length, device=forward.device).expand_as(ids)
        if said[0]:
            with cache.feeding(real) as seen:
                hidden = forward.hidden(ids, positions, seen.to(forward.device), cache, told)
        else:
            with cache.joining(count, len(prompt)), cache.feeding(real) as seen:
                hidden = forward.hidden(ids, positions, seen.to(forward.device), cache, told)
        return forward.logits(hidden[:, -1], spots)


def _chosen(logits: Tensor, draws: np.ndarray) -> list[int]:
    """The token at which the cumulated probabilities of each row of logits [B, V] pass its number."""
    total = logits.double().softmax(-1).cumsum(-1)
    at = torch.from_numpy(draws).to(total)[:, None] * total[:, -1:]
    return torch.searchsorted(total, at, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1).tolist()


def _left(alive: list[int], going: list[int], cache: Slots | None) -> list[int]:
    """The samples that go on: the last of them take the rows of those that ended."""
    if cache is None or len(going) == len(alive):
        return [alive[row] for row in going]
    rows = len(going)
    gaps = sorted(set(range(rows)) - set(going))
    movers = [row for row in going if row >= rows]
    cache.move(gaps, movers, rows)
    kept = list(alive[:rows])
    for gap, mover in zip(gaps, movers, strict=True):
        kept[gap] = alive[mover]
    return kept
