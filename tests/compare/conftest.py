"""Tables of synthetic items whose truth is known, as `Crossed` and on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from bench.compare.crossed import Crossed, Run
from bench.score.scoring import score_items
from bench.store.files import save
from bench.store.record import RETRAIN, Cell, Record

Make = Callable[..., Crossed]
MEMORY = ("extraction_strength", "exact_memorisation", "truth_preference")
SCORES = ("forget_quality", "retain_rouge", "mia_auc", "rouge", *MEMORY)
TASK = "somewhere:task"


def table(values: Mapping[tuple[str, int], np.ndarray], clusters: int, column: str = "rouge") -> Crossed:
    """One forget set whose items fall into clusters of equal size; `values` [n] of (method, seed)."""
    n = len(next(iter(values.values())))
    labels = [f"author-{i * clusters // n:03}" for i in range(n)]
    ids = {"forget": [f"{i:04}" for i in range(n)]}
    runs = {Run(*run): {("forget", column): np.asarray(v, dtype=float)} for run, v in values.items()}
    return Crossed(ids, {"forget": labels}, runs)


@pytest.fixture
def made() -> Make:
    return table


class Planted(NamedTuple):
    """A model: dose 1 is the target's knowledge, 0 retrain's, below 0 beyond it; its share of the target's utility."""

    dose: float = 1.0
    kept: float = 1.0


def items(model: Planted, seed: int, authors: int = 10, questions: int = 6, noise: float = 0.02) -> pd.DataFrame:
    """An item table: authors and questions differ in how guessable they are, the same for every model of the table."""
    shared, own = np.random.default_rng(99), np.random.default_rng(hash((model, seed)) % 2**32)
    n = authors * questions
    frame = []
    for name in ("forget", "holdout", "retain"):
        hard = np.repeat(shared.normal(0, 0.03, authors), questions) + shared.normal(0, 0.03, n)
        dose = {"forget": model.dose, "holdout": 0.0, "retain": 1.0}[name]
        jitter = lambda: own.normal(0, noise, n)  # noqa: E731
        columns = {
            "extraction_strength": 0.1 + 0.6 * dose + hard + jitter(),
            "exact_memorisation": 0.3 + 0.5 * dose + hard + jitter(),
            "rouge": (0.8 * model.kept if name == "retain" else 0.4 + 0.4 * dose) + hard + jitter(),
        }
        columns = {c: np.clip(v, 0, 1) for c, v in columns.items()}
        columns["log_truth_ratio"] = 0.4 - 1.2 * dose + 4 * (hard + jitter())
        columns["loss"] = 1.5 - dose + 4 * (hard + jitter())
        place = {"set": name, "id": [f"{i:03}" for i in range(n)]}
        place["cluster"] = [f"{name}-{i // questions}" for i in range(n)]
        frame.append(pd.DataFrame({**place, **columns}))
    return pd.concat(frame, ignore_index=True)


def crossed_of(tables: Mapping[tuple[str, int], pd.DataFrame]) -> Crossed:
    """Item tables as `load` would have them."""
    first = next(iter(tables.values()))
    groups = {str(name): group for name, group in first.groupby("set")}
    values = {
        Run(*run): {
            (name, c): group[c].to_numpy(float) for name, group in frame.groupby("set") for c in frame.columns[3:]
        }
        for run, frame in tables.items()
    }
    return Crossed(
        {s: list(g["id"]) for s, g in groups.items()}, {s: list(g["cluster"]) for s, g in groups.items()}, values
    )


@pytest.fixture
def planted() -> Callable[..., Crossed]:
    """`Crossed` of models by name, each with the given seeds."""

    def make(models: Mapping[str, Planted], seeds=(0,), **how) -> Crossed:
        return crossed_of({(name, s): items(m, s, **how) for name, m in models.items() for s in seeds})

    return make


def write(results: Path, tables: Mapping[tuple[str, int], pd.DataFrame], names=SCORES) -> dict[Cell, Record]:
    """The item tables and records of a table on disk, scored as a run scores them."""
    records = {}
    for (method, seed), frame in tables.items():
        cell = Cell(TASK, method, "tiny", "embedded", seed)
        scores = score_items(frame, tables.get((RETRAIN, seed)), names) if len(frame) else {}
        records[cell] = Record(cell, "ok", {"score": f"{cell}"}, {}, scores=scores)
        save(results, records[cell], frame)
    return records


@pytest.fixture
def on_disk():
    return write
