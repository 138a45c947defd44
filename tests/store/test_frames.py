"""`bench.load_results`: every score and every item of a results directory in one tidy table."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from bench.api import Score
from bench.errors import BenchError
from bench.store import files
from bench.store.record import Cell, Record

ROOT = Path(bench.__file__).parents[1]


def saved(results: Path, method: str, seed: int, status: str = "ok", **columns: list[float]) -> Path:
    cell = Cell("tofu:forget10", method, "tiny", "embedded", seed)
    ok = status == "ok"
    scores = {"rouge": Score(0.25, 0.125, 0.5, 2), "privleak": Score(None, note="no holdout")} if ok else {}
    record = Record(cell, status, {"measure": "m"}, {}, scores=scores, error="" if ok else "loss is NaN")  # type: ignore[arg-type]
    items = pd.DataFrame({"set": "forget", "id": ["x", "y"], "cluster": "c", **columns})
    return files.save(results, record, items if ok else None)


def test_a_row_a_cell_and_score(tmp_path):
    saved(tmp_path, "b", 1)
    saved(tmp_path, "a", 0)
    table = bench.load_results(tmp_path)
    assert " ".join(table.columns) == "task method model data seed status score value lo hi n note"
    assert table[["method", "seed", "score"]].values.tolist() == [
        ["a", 0, "rouge"], ["a", 0, "privleak"], ["b", 1, "rouge"], ["b", 1, "privleak"],
    ]  # fmt: skip
    first, second = (table.iloc[i] for i in (0, 1))
    assert (first["value"], first["lo"], first["hi"], first["n"]) == (0.25, 0.125, 0.5, 2)
    assert np.isnan(second["value"]) and second["note"] == "no holdout"
    assert table["value"].dtype == float and table["n"].dtype == int


def test_a_diverged_cell_is_a_row_with_its_reason(tmp_path):
    saved(tmp_path, "a", 0, status="diverged")
    (row,) = bench.load_results(tmp_path).to_dict("records")
    assert (row["method"], row["status"], row["note"]) == ("a", "diverged", "loss is NaN")
    assert pd.isna(row["score"]) and pd.isna(row["value"])


def test_a_row_a_cell_and_item(tmp_path):
    """What a cell did not measure is NaN, whatever the order of the cells."""
    saved(tmp_path, "a", 0, loss=[1.0, 2.0])
    saved(tmp_path, "b", 0, loss=[3.0, 4.0], zlib=[5.0, 6.0])
    saved(tmp_path, "c", 0, status="failed")
    table = bench.load_results(str(tmp_path), items=True)
    assert " ".join(table.columns) == "task method model data seed status set id cluster loss zlib"
    assert table[["method", "id", "loss"]].values.tolist() == [
        ["a", "x", 1],
        ["a", "y", 2],
        ["b", "x", 3],
        ["b", "y", 4],
    ]
    assert table["zlib"].tolist()[2:] == [5, 6] and table["zlib"].isna().sum() == 2


@pytest.mark.parametrize("items", [False, True])
def test_nothing_measured_is_an_empty_table_with_all_columns(tmp_path, items):
    table = bench.load_results(tmp_path, items)
    assert table.empty and {"task", "seed", "id" if items else "score"} <= set(table.columns)


def test_what_cannot_be_read_is_counted_and_named(tmp_path):
    saved(tmp_path, "a", 0, loss=[1.0, 2.0])
    bad = saved(tmp_path, "b", 0, loss=[1.0, 2.0])
    bad.write_text("{")
    with pytest.warns(UserWarning, match=r"(?s)^1 file left out\n.*b\.seed0\.json"):
        assert set(bench.load_results(tmp_path)["method"]) == {"a"}
    with pytest.raises(BenchError, match="is no directory"):
        bench.load_results(tmp_path / "none")


def test_importing_bench_is_light():
    heavy = "import sys, bench; sys.exit(any(name in sys.modules for name in ('pandas', 'numpy', 'torch', 'click')))"
    assert subprocess.run([sys.executable, "-c", heavy], check=False).returncode == 0


def test_the_trade_off_script_plots_every_method_of_the_committed_results(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    Path("results").symlink_to(ROOT / "results")
    ran = runpy.run_path(str(ROOT / "docs" / "trade_off.py"))
    drawn = ran["axes"].get_legend_handles_labels()[1]
    folder = ROOT / "results" / "embedded" / "tiny" / "tofu-forget10"
    assert drawn == sorted({path.name.split(".seed")[0] for path in folder.glob("*.json") if "@" not in path.name})
    assert Path("trade_off.png").read_bytes().startswith(b"\x89PNG")
