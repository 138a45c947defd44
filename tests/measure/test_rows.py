"""Rows to a file and back: nothing lost, nothing half-written, a broken file named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import Ragged, Rows
from bench.errors import BenchError
from bench.store.rows import read_rows, write_rows

_FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    """Rows of a few texts (some of them without labels) and prompts, with any text and any float."""
    lengths = draw(st.lists(st.integers(0, 4), max_size=4))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    count = int(offsets[-1])
    word = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    words = st.lists(word, min_size=len(lengths), max_size=len(lengths))

    def numbers() -> Ragged:
        return Ragged(np.array(draw(st.lists(_FLOATS, min_size=count, max_size=count)), np.float32), offsets)

    hits = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    texts = pd.DataFrame(
        {c: pd.Series(draw(words), dtype="str") for c in ("set", "id", "cluster", "role")}
        | {"index": np.arange(len(lengths)), "continuation": pd.Series(draw(words), dtype="str")}
    )
    generation = draw(st.lists(word, max_size=3))
    generations = pd.DataFrame(
        {c: pd.Series(["x"] * len(generation), dtype="str") for c in ("set", "id", "cluster", "role", "reference")}
        | {"generation": pd.Series(generation, dtype="str"), "finished": np.array([bool(g) for g in generation], bool)}
    )
    return Rows(texts, numbers(), Ragged(np.array(hits, bool), offsets), numbers(), numbers(), generations)


def same(a: Rows, b: Rows) -> None:
    pd.testing.assert_frame_equal(a.texts, b.texts)
    pd.testing.assert_frame_equal(a.generations, b.generations)
    for name in ("logp", "hit", "mean", "var"):
        x, y = getattr(a, name), getattr(b, name)
        np.testing.assert_array_equal(x.flat, y.flat)
        np.testing.assert_array_equal(x.offsets, y.offsets)
        assert x.flat.dtype == y.flat.dtype


@settings(max_examples=40, deadline=None)
@given(rows=some_rows())
def test_what_is_read_is_what_was_written(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "deep" / "cell.parquet"
    write_rows(rows, path)
    same(rows, read_rows(path))
    assert [p.name for p in path.parent.iterdir()] == ["cell.parquet"], "a temporary file was left behind"


def one_row(answer: str = "yes") -> Rows:
    one = np.array([0, 2])
    flat = Ragged(np.array([-0.5, -0.25], np.float32), one)
    columns = {"set": "forget", "id": "0", "cluster": "0", "role": "answer"}
    return Rows(
        pd.DataFrame([columns | {"index": 0, "continuation": answer}]),
        flat, Ragged(np.array([True, False]), one), flat, flat,
        pd.DataFrame([columns | {"reference": answer, "generation": "", "finished": True}]),
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named_with_the_remedy(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cell.parquet"
    write_rows(one_row(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BenchError, match=r"cell\.parquet is broken.*[Dd]elete it"):
        read_rows(path)


def test_flipped_bytes_are_an_error_or_change_nothing_silently(tmp_path: Path) -> None:
    """Each byte of the data pages in turn: either the file is refused, or what is read has the right shape."""
    path = tmp_path / "cell.parquet"
    write_rows(one_row(), path)
    data = path.read_bytes()
    refused = 0
    for i in range(4, len(data), 97):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0xFF]) + data[i + 1 :])
        try:
            read_rows(path)
        except BenchError as error:
            refused += str(path) in str(error)
    assert refused > 0


def test_a_missing_file_another_table_and_a_newer_version_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="there are no rows at"):
        read_rows(tmp_path / "none.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(BenchError, match="no file of rows"):
        read_rows(tmp_path / "other.parquet")
    write_rows(one_row(), tmp_path / "new.parquet")
    table = pq.read_table(tmp_path / "new.parquet")
    pq.write_table(table.replace_schema_metadata({"bench.rows.version": "99"}), tmp_path / "new.parquet")
    with pytest.raises(BenchError, match="newer version"):
        read_rows(tmp_path / "new.parquet")


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cell.parquet"
    write_rows(one_row("old"), path)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(BenchError, match=r"cell\.parquet.*No space left"):
        write_rows(one_row("new"), path)
    assert read_rows(path).texts["continuation"].tolist() == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["cell.parquet"]


def test_no_torch_is_needed() -> None:
    code = "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; "
    code += "import bench.store.rows, bench.measure.trees"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
