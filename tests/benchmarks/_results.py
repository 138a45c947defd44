"""Ten thousand records as real ones are: 20 methods on 4 tasks with 25 models, 5 seeds each; all values are drawn."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from bench.api import Score
from bench.run.plan import metrics
from bench.score.scoring import build
from bench.store import files
from bench.store.record import CONTROLS, Cell, Record
from bench.store.versions import SCORE

TASKS = ("tofu:forget01", "tofu:forget05", "tofu:forget10", "elsewhere:task")
METHODS = (*CONTROLS, *(f"method-{i:02}" for i in range(18)))
MODELS = tuple(f"model-{i:02}" for i in range(25))
SEEDS = tuple(range(5))
SETS = ("forget", "holdout", "retain", "real_authors", "world_facts")
ITEMS_A_SET = 12
STEPS = 100
COLUMNS = ("log_truth_ratio", "loss", "rouge", "normalised_probability", "correct", "exact_memorisation",
           "extraction_strength", "min_k", "min_k_plus_plus", "zlib")  # fmt: skip


def generate(results: Path, models: int = len(MODELS)) -> int:
    """Write the records and item tables of the first `models` models; returns how many cells those are."""
    rng = np.random.default_rng(0)
    cells = [Cell(*at) for at in product(TASKS, METHODS, MODELS[:models], ("embedded",), SEEDS)]
    for cell in cells:
        files.save(results, _record(cell, rng), _items(rng))
    return len(cells)


def _record(cell: Cell, rng: np.random.Generator) -> Record:
    names = metrics(TASKS[0] if cell.task == TASKS[-1] else cell.task, [])
    values = np.sort(rng.uniform(size=(len(names), 3)))
    scores = {name: Score(float(v), float(lo), float(hi), 60) for name, (lo, v, hi) in zip(names, values, strict=True)}
    curve = {name: rng.uniform(size=STEPS).round(6).tolist() for name in ("lr", "gradient_norm", "forget", "retain")}
    steps = np.linspace(0, STEPS, 11)
    falling, kept = np.sort(rng.uniform(size=11))[::-1], rng.uniform(0.7, 1, size=11)
    trace = {"trace step": steps, "trace forget probability": falling, "trace retain probability": kept}
    key = "-".join(map(str, cell))
    retrain = "-".join(map(str, cell._replace(method="retrain")))
    return Record(
        cell,
        "ok",
        {"train": key, "measure": key, "score": key},
        {"retrain": retrain, "probes": "p", "scoring": SCORE} | {f"metric {n}": build(n).version for n in names},
        parameters={"lr": 0.001, "epochs": 5},
        scores=scores,
        curve={"step": list(map(float, range(STEPS))), **curve, **{k: v.tolist() for k, v in trace.items()}},
        cost={"unlearn_seconds": 1.5, "peak_memory_mb": 700.0},
        environment={"commit": "c", "dirty": False},
        created="2026-01-01T00:00:00+00:00",
    )


def _items(rng: np.random.Generator) -> pd.DataFrame:
    names = [f"{i:02}" for _ in SETS for i in range(ITEMS_A_SET)]
    frame = pd.DataFrame(
        {
            "set": np.repeat(SETS, ITEMS_A_SET),
            "id": names,
            "cluster": [f"author-{int(n) // 3}" for n in names],
        }
    )
    drawn = rng.uniform(size=(len(frame), len(COLUMNS))).astype(np.float32)
    return pd.concat([frame, pd.DataFrame(drawn, columns=COLUMNS)], axis=1)
