"""Readers of a results directory: records, items, rows, answers, attacks, trials, what is kept, live files."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.api import Ragged, Rows
from bench.board.leaderboard import render
from bench.board.serve import _left
from bench.board.show import describe
from bench.compare.analysis import Rules, analyse
from bench.compare.robustness import robustness
from bench.errors import BenchError
from bench.store import answers, attacked, files, frames, kept, live, rows, trials
from bench.store.record import Cell, Record, from_json, to_json
from tests.fuzz.mutate import VALUES, binaries, json_lines, json_texts, nested
from tests.fuzz.reading import REFUSED, files_of, folder, fuzzed, read

SCHEMA1 = Path(__file__).parents[1] / "store" / "records" / "schema1.json"
PLAIN = json.loads(SCHEMA1.read_text(encoding="utf-8"))
CELL = Cell(**PLAIN["cell"])
ITEMS = pd.DataFrame({"set": "forget", "id": ["0", "1"], "cluster": ["a", "b"], "rouge": [0.25, math.nan]})


def changed(**parts: Any) -> bytes:
    return json.dumps({**PLAIN, **parts}).encode()


# -- records ---------------------------------------------------------------------------------------------------------


def _renamed(**names: object) -> bytes:
    return changed(cell={**PLAIN["cell"], **names})


@given(json_texts(PLAIN))
@example(b'{"schema": 1e999}')  # no whole number, and none that int() takes
@example(changed(schema=True))
@example(b"[" * 100_000)
@example(changed(parameters={"x": nested(500)}))
@example(changed(error="\ud800"))  # half a letter: it could be read and never be written again
@example(changed(keys={"train": "t", "measure": "../../outside", "score": "s"}))
@example(changed(keys={"train": 1, "measure": [], "score": None}))
@example(changed(keys={}))
@example(changed(scores={"rouge": [0.5]}))
@example(changed(scores={"rouge": {"value": True, "lo": None, "hi": None, "n": "many", "note": 7}}))
@example(changed(scores={"rouge": {"value": math.nan}}))
@example(changed(scores={"rouge": {"value": 0.5, "lo": None, "hi": 0.7, "n": 1, "note": ""}}))  # an infinite end
@example(changed(curve={"loss": 7}))
@example(changed(notes=[{}]))
@example(changed(identity={"probes asked for": 5}))
@example(changed(settings={"origin": "tuned"}))
@example(changed(status="splendid"))
@example(_renamed(data=".."))
@example(_renamed(data="rows"))
@example(_renamed(task="../../../outside"))
@example(_renamed(method=".hidden"))
@example(_renamed(method="a\nb"))
@example(_renamed(method="m" * 300))
@example(_renamed(model="\0"))
@example(_renamed(seed=True))
@fuzzed(200)
def test_a_record_is_well_formed_or_refused(text: bytes) -> None:
    with folder() as results:
        place = files.record_path(results, CELL)
        place.parent.mkdir(parents=True)
        place.write_bytes(text)
        before = files_of(results)
        record = read(lambda: files.read(place), place)
        complaints: list[str] = []
        found = files.records(results, complaints.append)
        assert bool(found) or any(str(place) in said for said in complaints)
        if record is not REFUSED:
            assert from_json(to_json(record), "again") == record
            assert files.record_path(results, record.cell).is_relative_to(results)
            _shown(results, found)
        assert {name: content for name, content in files_of(results).items() if "analysis/" not in name} == before


def _shown(results: Path, found: Mapping[Cell, Record]) -> None:
    """Whatever shows records can show what was read."""
    frames._scores(list(found.values()))
    render(analyse(results, found), Rules()).encode()
    for record in found.values():
        describe(record, results, []).encode()


# -- tables ----------------------------------------------------------------------------------------------------------


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", write_page_checksum=True)
    return out.getvalue()


COLUMNS = (
    pa.array([None, None]),
    pa.array([1, 2]),
    pa.array([1.5, math.nan]),
    pa.array([True, None]),
    pa.array(["x", None]),
    pa.array([b"\xff", b""]),
    pa.array([[1.0], None]),
    pa.array([{"a": 1}, None]),
    pa.array([2**62, 0], pa.timestamp("ns")),
    pa.array([["a"], []]),
    pa.array(["\u2028", "</script>"]).dictionary_encode(),
    pa.array([10**30, None], pa.decimal128(38)),
)


@st.composite
def tables(draw: Any, base: bytes) -> bytes:
    """A Parquet file with columns taken away, named anew or of another kind, or without what it says of itself."""
    table = pq.read_table(io.BytesIO(base))
    size = len(table)
    for _ in range(draw(st.integers(1, 3))):
        if not table.num_columns:
            break
        at = draw(st.integers(0, table.num_columns - 1))
        do = draw(st.sampled_from(("drop", "kind", "kind", "rename", "double", "about", "empty", "bits")))
        if do == "drop":
            table = table.remove_column(at)
        elif do == "kind":
            column = draw(st.sampled_from(COLUMNS))
            several = pa.concat_arrays([column] * (size // 2 + 1)).slice(0, len(table))
            table = table.set_column(at, table.column_names[at], several)
        elif do == "rename":
            table = table.rename_columns([*table.column_names[:at], "\u2028", *table.column_names[at + 1 :]])
        elif do == "double":
            table = table.append_column(table.column_names[at], table.column(at))
        elif do == "about":
            said = dict(table.schema.metadata or {})
            key = draw(st.sampled_from([*said, b"other"]))
            value = draw(st.sampled_from((b"", b"\xff", b"99", b"[]", b"{}", b"null", b'{"schema": 1}')))
            table = table.replace_schema_metadata({**said, key: value})
        elif do == "empty":
            table = table.slice(0, 0)
    return parquet(table)


def of_tables(base: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(binaries(base), tables(base))


def saved_items() -> bytes:
    return parquet(pa.Table.from_pandas(ITEMS))


def otherwise_named() -> bytes:
    """What stands in the metadata for pandas has no checksum."""
    table = pa.Table.from_pandas(ITEMS)
    (said,) = (table.schema.metadata or {}).values()
    assert b'"name": "cluster"' in said
    return parquet(table.replace_schema_metadata({"pandas": said.replace(b'"name": "cluster"', b'"name": "bluster"')}))


@given(of_tables(saved_items()))
@example(otherwise_named())
@fuzzed(60)
def test_an_item_table_is_well_formed_or_refused(content: bytes) -> None:
    with folder() as results:
        files.record_path(results, CELL).parent.mkdir(parents=True)
        place = files.items_path(results, CELL)
        place.write_bytes(content)
        found = read(lambda: files.items(results, CELL), place)
        assert files.trouble(place) == "" or found is REFUSED
        if found is not REFUSED:
            assert {"set", "id", "cluster"} <= set(found.columns)
        assert list(files_of(results)) == [str(place.relative_to(results))]


def some_rows() -> Rows:
    names = {"set": ["forget", "retain"], "id": ["0", "1"], "cluster": ["a", "b"]}
    texts = pd.DataFrame({**names, "role": "answer", "index": [0, 0], "continuation": ["In Rome.", "Never"]})
    said = pd.DataFrame(
        {**names, "role": "question", "reference": "In Rome.", "generation": ["\U0001f600", ""], "finished": True}
    )
    offsets = np.array([0, 2, 3])
    flat = np.array([-0.5, -1.0, -2.0], np.float32)
    values = {name: Ragged(flat, offsets) for name in ("logp", "mean", "var")}
    return Rows(texts, values["logp"], Ragged(flat < -0.7, offsets), values["mean"], values["var"], said)


def written(write: Any) -> bytes:
    with folder() as place:
        write(place / "file")
        return (place / "file").read_bytes()


ROWS = written(lambda file: rows.write_rows(some_rows(), file))


@given(of_tables(ROWS))
@fuzzed(60)
def test_rows_are_well_formed_or_refused(content: bytes) -> None:
    with folder() as results:
        place = files.rows_path(results, "m")
        place.parent.mkdir()
        place.write_bytes(content)
        found = read(lambda: rows.read_rows(place), place)
        if found is not REFUSED:
            assert len(found.texts) == len(found.logp.offsets) - 1
            assert all(isinstance(name, str) for name in found.texts["id"])
        said = read(lambda: rows.read_generations(place), place)
        if said is not REFUSED:
            _is_said(said)
        assert list(files_of(results)) == ["rows/m.parquet"]


@pytest.mark.parametrize("column", ["id", "generation", "finished"])
def test_rows_with_a_gap_are_refused(tmp_path: Path, column: str) -> None:
    table = pq.read_table(io.BytesIO(ROWS))
    at = table.schema.get_field_index(column)
    place = tmp_path / "rows.parquet"
    place.write_bytes(parquet(table.set_column(at, column, pa.array([*table[column].to_pylist()[:-1], None]))))
    with pytest.raises(BenchError, match=rf"rows\.parquet is broken: {column} have gaps\. Delete it"):
        rows.read_rows(place)


def _is_said(said: Any) -> None:
    for (set_, name), by_role in said.items():
        words = [set_, name, *by_role, *(text for pair in by_role.values() for text in pair)]
        assert all(isinstance(word, str) for word in words)


RECORD = Record(CELL, "ok", {"train": "t", "measure": "m", "score": "s"}, {})


def saved_answers() -> bytes:
    with folder() as results:
        answers.save(results, RECORD, some_rows().generations)
        return answers.path(results, CELL).read_bytes()


@given(of_tables(saved_answers()))
@fuzzed(60)
def test_answers_are_texts_or_none(content: bytes) -> None:
    with folder() as results:
        place = answers.path(results, CELL)
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        _is_said(answers.said(results, RECORD) or {})


def test_answers_of_a_record_that_names_rows_elsewhere_are_none() -> None:
    with folder() as results, pytest.raises(BenchError, match="no rows"):
        answers.said(results, dataclasses.replace(RECORD, keys={"measure": "../../rows"}))


SAID = {"title": "", "light": True, "needs": "weights", "injects": "nothing", "axis": "", "at": None, "doc": "",
        "from_plain": True, "injects_by": {}, "controls": ["x"], "no_before": []}  # fmt: skip
ABOUT = {"key": "k", "model": "t", "how": "h", "about": SAID, "seconds": 1.0, "error": "", "notes": []}
POINTS = tuple(
    attacked.Point(name, attacked.DELIVERED, "", "", step, np.array([0.5, math.nan]), np.array([0.25]))
    for name, step in ((attacked.PLAIN, 0.0), ("noise", 1.0))
)
ATTACKED = attacked.Attacked((("0", "a"), ("1", "b")), (("2", "c"),), POINTS, {p.attack: ABOUT for p in POINTS})


def saved_attacks() -> bytes:
    with folder() as results:
        attacked.save(results, CELL, ATTACKED)
        return attacked.path(results, CELL).read_bytes()


def told_attacks() -> st.SearchStrategy[bytes]:
    """The table as it is, and what is told beside it changed."""
    table = pq.read_table(io.BytesIO(saved_attacks()))
    told = json.loads(table.schema.metadata[attacked._ABOUT])
    return json_texts(told).map(lambda text: parquet(table.replace_schema_metadata({attacked._ABOUT: text})))


def attacks_told(**parts: Any) -> bytes:
    table = pq.read_table(io.BytesIO(saved_attacks()))
    told = json.loads(table.schema.metadata[attacked._ABOUT]) | parts
    return parquet(table.replace_schema_metadata({attacked._ABOUT: json.dumps(told)}))


def attacks_at(*steps: float) -> bytes:
    table = pq.read_table(io.BytesIO(saved_attacks()))
    return parquet(table.set_column(table.column_names.index("step"), "step", pa.array(steps)))


@given(st.one_of(of_tables(saved_attacks()), told_attacks()))
@example(attacks_at(0.0, math.nan))
@example(attacks_at(1.5, 1.0))  # plain questions know no step
@example(parquet(pq.read_table(io.BytesIO(saved_attacks())).replace_schema_metadata(None)))
@example(attacks_told(done={"plain": {**ABOUT, "about": {}}}))
@example(attacks_told(done={"plain": {**ABOUT, "about": {**SAID, "controls": None}}}))
@example(attacks_told(done={"plain": {**ABOUT, "about": {k: v for k, v in SAID.items() if k != "at"}}}))
@example(attacks_told(done=[]))
@example(attacks_told(items=[["0", "a"]]))  # fewer than values
@fuzzed(80)
def test_attacks_are_well_formed_or_refused(content: bytes) -> None:
    with folder() as results:
        place = attacked.path(results, CELL)
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        found = read(lambda: attacked.read(results, CELL), place)
        if found is not REFUSED:
            assert all(len(p.known) == len(found.items) and len(p.kept) in (0, len(found.kept)) for p in found.points)
            found.has(attacked.PLAIN, "k")
            three = {CELL._replace(method=method): found for method in ("target", "retrain", "m")}
            robustness({cell: Record(cell, "ok", {"train": "t"}, {}) for cell in three}, three, 0.05)
            attacked.save(results, CELL, found)
        assert list(files_of(results)) == [str(place.relative_to(results))]


# -- trials ----------------------------------------------------------------------------------------------------------


def saved_trials() -> list[Any]:
    point = trials.Point(0.5, 3, {"headline": 0.5, "erased": None, "kept": 1.0}, {"headline": 0.1}, 2.0)
    with folder() as place:
        for number in (1, 2):
            tried = trials.Trial("fo-npo", number, {"beta": 0.1}, {"beta": 0.1}, "embedded@100", 0, points=(point,))
            trials.append(place / "fo-npo.jsonl", tried)
        return [json.loads(line) for line in (place / "fo-npo.jsonl").read_bytes().splitlines()]


def trial(**parts: Any) -> bytes:
    return json.dumps({**saved_trials()[0], **parts}).encode() + b"\n"


@given(json_lines(saved_trials()))
@example(trial(points=[{"share": "half", "steps": None, "scores": 3}]))
@example(trial(points="no"))
@example(trial(chosen=None))
@example(trial(schema="1"))
@example(trial(identity={"deep": nested(700)}))
@example(trial(error="\ud800"))
@fuzzed(100)
def test_trials_are_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        file = place / "fo-npo.jsonl"
        file.write_bytes(content)
        found = read(lambda: trials.read(file), file)
        if found is not REFUSED:
            trials.anchors(found)
            assert all(math.isfinite(point.share) for one in found for point in one.points)
            for one in found:
                trials.append(place / "again.jsonl", one)


# -- what is kept ----------------------------------------------------------------------------------------------------


@given(st.one_of(binaries(written(lambda file: kept.write(file, {"a": [1, math.nan, None]}))), json_texts({"a": [1]})))
@fuzzed(80)
def test_what_is_kept_is_what_was_written_or_nothing(content: bytes) -> None:
    with folder() as place:
        file = place / "k.json"
        file.write_bytes(content)
        try:
            found = kept.read(file)
        except ValueError:
            return
        assert repr(found) == repr({"a": [1, math.nan, None]})


# -- live files ------------------------------------------------------------------------------------------------------

JOB = {
    "name": "job", "started": 1e9, "stage": "training", "step": 3, "steps": 10, "since": 1e9, "first": 0,
    "curve": {"loss": [1.0, None]}, "run": True, "left": 3.0, "told": 1e9, "cell": CELL._asdict(),
}  # fmt: skip


@given(json_texts(JOB))
@example(json.dumps({**JOB, "left": "soon"}).encode())
@example(json.dumps({name: value for name, value in JOB.items() if name != "told"}).encode())
@example(json.dumps({**JOB, "step": 10**400, "run": False}).encode())
@example(json.dumps({**JOB, "curve": {"loss": {"a": 1}}}).encode())
@example(b"[" * 100_000)
@fuzzed(100)
def test_live_files_are_well_formed_or_passed_over(content: bytes) -> None:
    with folder() as results:
        place = live.path(results, "job")
        place.parent.mkdir()
        place.write_bytes(content)
        for job in live.running(results):
            left = _left(job, 1e9)
            json.dumps({**job, "left": left}, allow_nan=True).encode()
            assert left is None or math.isfinite(left)


def test_every_odd_value_is_odd_to_some_reader() -> None:
    """None of the values that are put in makes the mutation itself fail."""
    assert all(json.loads(json.dumps(value)) is not ... for value in VALUES)
