"""Records round-trip, refuse what they do not know, and are written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from bench.api import Score
from bench.errors import BenchError
from bench.store import files
from bench.store.record import SCHEMA, Cell, Record, from_json, to_json

FROZEN = Path(__file__).parent / "records"


def a_record(**changed) -> Record:
    record = Record(
        cell=Cell("tofu:forget10", "fo-npo", "tiny", "embedded", 0),
        status="ok",
        keys={"train": "t", "measure": "m", "score": "s"},
        identity={"parameter beta": 0.1},
        parameters={"beta": 0.1, "layers": [1, 2]},
        overrides={"beta": "--set"},
        scores={"mia_auc": Score(0.5, 0.4, 0.6, 120), "privleak": Score(None, note="no holdout")},
        curve={"step": [1.0], "loss": [float("nan")]},
        cost={"unlearn_seconds": 1.5},
        environment={"commit": "c", "dirty": False},
        notes=("a note",),
        created="2026-01-01T00:00:00+00:00",
    )
    return dataclasses.replace(record, **changed)


def test_round_trip():
    record = a_record(curve={"step": [1.0]})
    assert from_json(to_json(record), "here") == record


def test_nan_is_written_as_null():
    assert json.loads(to_json(a_record()))["curve"]["loss"] == [None]


@pytest.mark.parametrize("path", sorted(FROZEN.glob("*.json")), ids=lambda p: p.stem)
def test_every_past_schema_is_still_read(path: Path):
    assert from_json(path.read_text(), str(path)).cell.task.startswith("tofu")


def test_there_is_a_frozen_record_of_every_schema():
    assert {p.stem for p in FROZEN.glob("*.json")} == {f"schema{n}" for n in range(1, SCHEMA + 1)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d | {"schema": SCHEMA + 1}, f"has schema {SCHEMA + 1}"),
        (lambda d: d | {"surprise": 1}, "unknown keys: surprise"),
        (lambda d: {k: v for k, v in d.items() if k != "keys"}, "keys: keys"),
        (lambda d: d | {"cell": {"task": "t"}}, "is no record"),
    ],
)
def test_odd_records_are_refused_by_name(change, says):
    with pytest.raises(BenchError, match=rf"^here .*{says}"):
        from_json(json.dumps(change(json.loads(to_json(a_record())))), "here")


def test_truncated_records_are_named_and_the_others_read(tmp_path):
    items = pd.DataFrame({"set": ["forget"], "id": ["a"], "cluster": ["c"], "loss": [1.0]})
    good = files.save(tmp_path, a_record(), items)
    bad = files.save(tmp_path, a_record(cell=Cell("tofu:forget10", "fo-ga", "tiny", "embedded", 0)), items)
    bad.write_text(bad.read_text()[:100])
    misplaced = good.with_name("so-npo.seed0.json")
    misplaced.write_text(good.read_text())
    complaints: list[str] = []
    assert list(files.records(tmp_path, complaints.append)) == [a_record().cell]
    assert len(complaints) == 2
    assert str(bad) in complaints[0]
    assert str(misplaced) in complaints[1]


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomically(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BenchError, match=r"cannot write .*file/x.*--results"),
        files.atomically(tmp_path / "file" / "x"),
    ):
        pass


def test_items_come_back(tmp_path):
    items = pd.DataFrame({"set": ["forget"], "id": ["a"], "cluster": ["c"], "loss": pd.Series([1.5], dtype="float32")})
    files.save(tmp_path, a_record(), items)
    pd.testing.assert_frame_equal(files.items(tmp_path, a_record().cell), items, check_dtype=False)
    with pytest.raises(BenchError, match="Run the cell again"):
        files.items(tmp_path, a_record().cell._replace(seed=7))
