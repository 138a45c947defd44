"""Draws that nobody can hand a generator to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def own_draws(random: np.random.Generator) -> Iterator[None]:
    """Within the block torch's global generators, of every device, start from a seed that is drawn from `random`.

    For dropout, Hutchinson's signs, and whatever else draws without being told from where: the same stream gives the
    same draws, whatever was drawn before, and behind the block the global generators are as they were.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(random.integers(2**62)))
        yield
