"""Tables of synthetic items whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from bench.compare.crossed import Crossed, Run

Make = Callable[..., Crossed]


def table(values: Mapping[tuple[str, int], np.ndarray], clusters: int, column: str = "rouge", **more) -> Crossed:
    """One forget set whose items fall into clusters of equal size; `values` [n] of (method, seed)."""
    n = len(next(iter(values.values())))
    labels = [f"author-{i * clusters // n:03}" for i in range(n)]
    ids = {"forget": [f"{i:04}" for i in range(n)]}
    runs = {Run(*run): {("forget", column): np.asarray(v, dtype=float)} for run, v in values.items()}
    return Crossed(ids, {"forget": labels}, runs, **more)


@pytest.fixture
def made() -> Make:
    return table


def nested(rng, methods: int, seeds: int, clusters: int, size: int, spread=(0.3, 0.5, 0.5)) -> np.ndarray:
    """Item values [methods, seeds, n] with variance between seeds, clusters and items; expectation 0.

    Seeds are drawn anew for each method, clusters are what all share.
    """
    of_seed, of_cluster, of_item = spread
    seed = rng.normal(0, of_seed, (methods, seeds, 1))
    cluster = np.repeat(rng.normal(0, of_cluster, clusters), size)
    own = np.repeat(rng.normal(0, of_cluster / 2, (methods, 1, clusters)), size, axis=-1)
    return seed + cluster + own + rng.normal(0, of_item, (methods, seeds, clusters * size))


@pytest.fixture
def draw():
    return nested
