"""Which studies the records of a results directory make, and what is kept of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from bench.api import Series
from bench.compare.studies import found
from bench.compare.studies.study import Column, Curves, Figure, Grid, Material, Study
from bench.errors import BenchError
from bench.store import kept
from bench.store.record import Cell, Record
from tests.compare.studies.test_sequence import TARGET, material

WHERE = ("embedded", "tiny")


def records(name: str = "sequence:tofu", data: str = "embedded", model: str = "tiny") -> dict[Cell, Record]:
    """Requests of target, retrain and a method that does nothing, a seed each."""
    old = {cell: record for cell, record in material({"m": TARGET}, name=name).records.items() if cell.seed == 0}
    moved = {cell: cell._replace(data=data, model=model) for cell in old}
    return {moved[c]: dataclasses.replace(record, cell=moved[c], keys={"score": "s"}) for c, record in old.items()}


@pytest.fixture
def asked(tmp_path, monkeypatch) -> list[Cell]:
    """The cells whose items were read."""
    made = {name: material({"m": TARGET}, name=name) for name in ("sequence:tofu", "sequence-b:tofu")}
    read: list[Cell] = []

    def items(results: Path, cell: Cell) -> pd.DataFrame:
        assert results == tmp_path
        read.append(cell)
        own = made[cell.task.rpartition(":")[0]]
        return own.read(cell._replace(data="embedded", model="tiny")).reset_index()

    monkeypatch.setattr(found.files, "items", items)
    return read


def test_every_place_has_its_own_studies_in_order(tmp_path, asked) -> None:
    places = [("sequence:tofu", "hub", "a"), ("sequence:tofu", *WHERE), ("sequence-b:tofu", *WHERE),
              ("sequence:tofu", "embedded", "small")]  # fmt: skip
    every = {cell: record for place in places for cell, record in records(*place).items()}
    made = found.studies(tmp_path, every)
    assert [(one.data, one.model, one.name) for one in made] == [
        ("embedded", "small", "sequence:tofu"), ("embedded", "tiny", "sequence-b:tofu"),
        ("embedded", "tiny", "sequence:tofu"), ("hub", "a", "sequence:tofu"),
    ]  # fmt: skip
    assert all(list(one.rows) == ["target", "m"] and one.axis == "request" for one in made)


def test_a_study_is_handed_the_steps_that_retrain_has_and_every_cell_of_its_place(tmp_path, monkeypatch) -> None:
    handed: list[Material] = []
    monkeypatch.setitem(found.KINDS, "sequence", handed.append)  # type: ignore[arg-type]
    every = records()
    own = {c: r for c, r in every.items() if (c.method, c.task) != ("retrain", "sequence:tofu:4")}
    failed = Cell("tofu:forget10", "m", "tiny", "embedded", 7)
    assert found.studies(tmp_path, {**own, failed: Record(failed, "failed", {}, {}), **records(data="hub")}) == []
    tiny, _ = handed
    assert (tiny.name, tiny.data, tiny.model, tiny.axis) == ("sequence:tofu", "embedded", "tiny", "request")
    assert tiny.tasks == {1: "sequence:tofu:1", 2: "sequence:tofu:2", 3: "sequence:tofu:3"}
    assert tiny.records == own and tiny.cells == tuple(sorted((*own, failed)))


def test_what_was_found_is_kept_until_something_that_it_rests_on_changes(tmp_path, asked) -> None:
    own = records()
    (first,) = found.studies(tmp_path, own)
    assert first.curves and first.grids and first.notes and first.rows["m"]["utility"].value is not None
    assert asked and len(asked) == len(set(asked)), "each cell is read once"
    asked.clear()
    assert found.studies(tmp_path, dict(reversed(own.items()))) == [first] and not asked

    cell, record = next(iter(own.items()))
    failed = cell._replace(method="other")
    for changed in (
        {cell: dataclasses.replace(record, keys={"score": "anew"})},
        {cell: dataclasses.replace(record, cost={"unlearn_seconds": 9.0})},
        {failed: Record(failed, "failed", {}, {})},
    ):
        found.studies(tmp_path, {**own, **changed})
        assert asked, changed
        asked.clear()
    for file in (tmp_path / "analysis").iterdir():
        file.write_text("{")
    assert found.studies(tmp_path, own) == [first] and asked


def test_a_kept_study_is_drawn_as_it_was_made() -> None:
    figure = Figure(0.5, 0.4, 0.6, note="why")
    curves = tuple(Curves("title", "y", {"m": ((1.0, figure), (2.0, figure))}, log) for log in (True, False))
    grid = Grid("grid", "down", "across", {"m": ((0.5, None),)})
    made = Study("scale:tofu", *WHERE, "sizes", "%", (0, 1), (Column("one", "what"),), {"m": {"one": figure}},
                 curves, (grid,), ("note",))  # fmt: skip
    assert found._from_json(json.loads(json.dumps(dataclasses.asdict(made)))) == made


def test_a_kept_study_of_another_shape_is_made_anew(tmp_path, asked) -> None:
    (first,) = found.studies(tmp_path, records())
    (file,) = (tmp_path / "analysis").iterdir()
    for plain in ({"rows": {}}, [], {**kept.read(file), "more": 1}):
        kept.write(file, plain)
        assert found.studies(tmp_path, records()) == [first]


def test_that_there_is_no_study_is_kept_too(tmp_path, asked) -> None:
    """Requests of retrain and a method, without target: nothing counts."""
    own = {cell: record for cell, record in records().items() if cell.method != "target"}
    assert found.studies(tmp_path, own) == []
    assert [kept.read(file) for file in (tmp_path / "analysis").iterdir()] == [None]


def test_items_that_cannot_be_read_make_no_study_and_keep_nothing(tmp_path, monkeypatch) -> None:
    def items(results: Path, cell: Cell) -> pd.DataFrame:
        raise BenchError("cut off")

    monkeypatch.setattr(found.files, "items", items)
    assert found.studies(tmp_path, records()) == [] and not (tmp_path / "analysis").exists()


@pytest.mark.parametrize("change", [{"status": "diverged"}, {"scores": {}}])
def test_a_cell_without_scores_counts_nowhere_and_is_named(tmp_path, asked, change) -> None:
    own = records()
    cell = next(c for c in own if c.method == "m")
    (made,) = found.studies(tmp_path, {**own, cell: dataclasses.replace(own[cell], **change)})
    assert list(made.rows) == ["target"]
    assert any(note.startswith("m, seed 0: in no figure") for note in made.notes)


def test_tasks_that_stand_in_no_series_that_is_known_make_no_study(tmp_path, monkeypatch) -> None:
    assert found.series_of("tofu:forget10") is None and found.series_of("no such task") is None
    assert found.series_of("sequence:tofu:2") == Series("sequence:tofu", "request", 2, 4)
    assert [found.kind(name) for name in ("sequence8-b:tofu", "muse:scal", "", "8")] == ["sequence", "muse", "", ""]
    monkeypatch.setattr(found, "series_of", lambda task: Series("novel:tofu", "step", 1, 1))
    assert found.studies(tmp_path, records()) == []
    assert found.studies(tmp_path, {}) == []
