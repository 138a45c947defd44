"""Compare methods that make a language model forget. `bench.load_results` reads what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_results"]


def load_results(results: str | Path = "results", items: bool = False) -> pd.DataFrame:
    """The results directory as one tidy table; `bench.store.frames` says which columns it has.

    Args:
        results: what was given to `--results`.
        items: a row a cell and item, in place of a row a cell and score.

    Raises:
        BenchError: there is no such directory.

    Warns:
        UserWarning: files that could not be read were left out; it counts and names them.
    """
    from bench.store import frames

    return frames.load(Path(results), items)
