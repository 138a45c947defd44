"""A results directory of four methods and two seeds, with rows whose texts try to break the page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.api import Ragged, Rows, make_task
from bench.board.report import write
from bench.compare.analysis import Rules, analyse
from bench.score.scoring import build, item_table, score_items
from bench.store import files
from bench.store.record import Cell, Record
from bench.store.rows import write_rows
from bench.store.versions import SCORE

HOSTILE = (
    "<script>document.body.dataset.hacked = 'yes'</script>",
    "</script><img src=x onerror=\"document.body.dataset.hacked='yes'\">",
    "quotes \" ' ` ${1} {{ 1 }} \\u003c &amp; \u2028 \u2029 end",
    "long " * 2000,
    "emoji \U0001f600 \u202e turned",
)
METHODS = ("target", "retrain", "fo-npo", "evil<b>-</script>")
FORGOTTEN = dict(zip(METHODS, (0.0, 2.0, 1.5, 1.0), strict=True))
TASK = "tofu:forget10"


def rows(seed: int, forgotten: float) -> Rows:
    """Twelve items of TOFU's five sets, all that its metrics need; `forgotten` adds to the losses of the forget set."""
    rng = np.random.default_rng(seed)
    texts, logp, said = [], [], []
    for name in ("forget", "retain", "real_authors", "world_facts", "holdout"):
        for i in range(12):
            key = (name, f"{name}-{i:02d}", f"{name}-author-{i // 3}")
            roles = [("answer", 0), ("paraphrase", 0), *(("perturbed", k) for k in range(3))]
            for role, index in roles:
                texts.append((*key, role, index, "the answer"))
                more = forgotten if name == "forget" and role != "perturbed" else 2.0 * (role == "perturbed")
                logp.append(-rng.exponential(0.3 + more, size=4))
            for role in ("question", "paraphrased_question"):
                said.append((*key, role, HOSTILE[i % len(HOSTILE)], HOSTILE[(i + 1) % len(HOSTILE)], True))
    flat, offsets = np.concatenate(logp).astype(np.float32), np.arange(0, 4 * len(logp) + 1, 4)
    return Rows(
        pd.DataFrame(texts, columns=["set", "id", "cluster", "role", "index", "continuation"]),
        *(Ragged(values, offsets) for values in (flat, flat > -1, flat - 1, np.ones_like(flat))),
        pd.DataFrame(said, columns=["set", "id", "cluster", "role", "reference", "generation", "finished"]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """The directory, made as a run makes it."""
    folder = tmp_path_factory.mktemp("results")
    names = list(make_task(TASK).scores)
    for seed in (0, 1):
        reference = None
        for n, method in enumerate(("retrain", *(m for m in METHODS if m != "retrain"))):
            measured = rows(10 * seed + n, FORGOTTEN[method])
            items = item_table(measured, names)
            reference = items if reference is None else reference
            cell = Cell(TASK, method, "tiny", "embedded", seed)
            keys = {"train": f"t{seed}{n}", "measure": f"m{seed}{n}", "score": f"s{seed}{n}"}
            identity = {"retrain": "itself" if n == 0 else f"m{seed}0", "probes": "p", "scoring": SCORE}
            identity |= {f"metric {name}": build(name).version for name in names}
            steps = [float(k) for k in range(11)]
            record = Record(
                cell, "ok", keys, identity, parameters={"lr": 1e-4, "beta": HOSTILE[1]}, overrides={"lr": "settings"},
                scores=score_items(items, reference, names), notes=(HOSTILE[0],),
                curve={"step": steps, "lr": steps, "clipped": [float("nan"), *steps[1:]], "trace step": steps,
                       "trace forget probability": [1 - s / 12 for s in steps],
                       "trace retain probability": [1 - s / 30 for s in steps]},
                cost={"unlearn_seconds": 1.5, "peak_memory_mb": 100.0}, created="2026-01-01T00:00:00+00:00",
            )  # fmt: skip
            files.save(folder, record, items)
            if (method, seed) != ("fo-npo", 1):
                write_rows(measured, files.rows_path(folder, keys["measure"]))
    return folder


def built(results: Path, folder: Path) -> SimpleNamespace:
    """The report of these results."""
    complaints: list[str] = []
    records = files.records(results, complaints.append)
    assert complaints == []
    tables = analyse(results, records, Rules())
    made = write(results, records, tables, Rules(), folder)
    return SimpleNamespace(folder=folder, built=made, index=made.start, tables=tables, records=records)


@pytest.fixture(scope="session")
def page(results, tmp_path_factory) -> SimpleNamespace:
    """The report, built once."""
    return built(results, tmp_path_factory.mktemp("report"))
