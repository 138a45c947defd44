"""Results of planted models: how much of the forget set each knows and how much of the rest it has kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.api import make_task
from bench.score.scoring import build, score_items
from bench.store import files
from bench.store.record import Cell, Record
from tests.board.browser import browser

__all__ = ["browser"]

TASK = "tofu:forget10"
NAMES = list(make_task(TASK).scores)
SIZES = {"forget": 40, "holdout": 40, "retain": 40, "real_authors": 20, "world_facts": 20}
HIGHER_LOSS = ("loss", "paraphrase_loss", "min_k", "min_k_plus_plus", "zlib")


def planted(method: str, seed: int, knows: float, keeps: float, authors: int = 10) -> pd.DataFrame:
    """An item table in which `knows` is the way from retrain (0) to target (1), and `keeps` the share kept."""
    rng = np.random.default_rng([seed, *method.encode()])
    rows = []
    for name, n in SIZES.items():
        level = knows if name == "forget" else 0.0 if name == "holdout" else keeps
        per = max(1, n // authors)
        frame = {"set": name, "id": [f"{i:02}" for i in range(n)], "cluster": [f"{name}-{i // per}" for i in range(n)]}
        share = np.clip(0.1 + 0.8 * level + rng.normal(0, 0.05, n) + rng.normal(0, 0.01), 0.001, 0.999)
        columns: dict[str, Any] = {}
        for metric in map(build, NAMES):
            columns |= {column: _column(column, share, name) for of, column in metric.needs if of == name}
        rows.append(pd.DataFrame({**frame, **columns}))
    return pd.concat(rows, ignore_index=True)


def _column(column: str, share: np.ndarray, set_: str) -> np.ndarray:
    if column in HIGHER_LOSS:
        return -np.log(share)
    return np.log((1 - share) / share) if column == "log_truth_ratio" else share


Specs = tuple[Any, ...]


@pytest.fixture
def board(tmp_path: Path) -> Callable[..., tuple[Path, dict[Cell, Record]]]:
    """A function from (method, seed, knows, keeps) or (method, seed, status) to results with their records."""

    def made(*specs: Specs, authors: int = 10, task: str = TASK) -> tuple[Path, dict[Cell, Record]]:
        tables = {(m, s): planted(m, s, *rest, authors) for m, s, *rest in specs if len(rest) == 2}
        records = {}
        for method, seed, *rest in specs:
            items, retrain = tables.get((method, seed)), tables.get(("retrain", seed))
            scores = {} if items is None else score_items(items, retrain, NAMES)
            record = Record(
                Cell(task, method, "tiny", "embedded", seed), "ok" if scores else rest[0], {"score": method}, {},
                scores=scores, error="" if scores else "boom", cost={"unlearn_seconds": 3.0},
            )  # fmt: skip
            files.save(tmp_path, record, items)
            records[record.cell] = record
        return tmp_path, records

    return made


def controls(*seeds: int) -> list[Specs]:
    """Target and retrain of each seed."""
    return [(name, seed, knows, 0.9) for seed in seeds for name, knows in (("target", 1.0), ("retrain", 0.0))]
