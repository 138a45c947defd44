"""What the figures of attacks show: every curve beside retrain and target, and nothing where nothing was attacked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import altair as alt
import pytest
import vl_convert

from bench.board import charts
from bench.board.charts import Chart
from bench.compare.analysis import Table
from bench.compare.robustness import Recovery, robustness
from bench.store import attacked
from bench.store.attacked import BARE
from bench.store.record import Cell, Record
from tests.board import made_attacks
from tests.board.charts.conftest import HOSTILE, Shown, rows_of, walk
from tests.board.made_attacks import LAYERS, STEPS, TIMES

HIDES, NOT = "fo-npo", "half"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[Recovery, ...]:
    """Two seeds of a method that hides, and one of which nothing comes back but when its hooks are off."""
    folder: Path = tmp_path_factory.mktemp("attacks")
    cells = [Cell("t", method, "tiny", "d", seed) for method in ("target", "retrain", HIDES, NOT) for seed in (0, 1)]
    records = {cell: Record(cell, "ok", {"train": "t"}, {}) for cell in cells}
    made_attacks.write(folder, records, bare=[NOT])
    return tuple(robustness(records, attacked.every(folder, records, pytest.fail), 0.05))


@pytest.fixture
def table(shown: Shown, found) -> Table:
    return dataclasses.replace(shown.table, attacks=found)


@pytest.fixture
def drawn(table: Table) -> dict[str, Chart]:
    return {chart.title: chart for chart in charts.of_attacks(table)}


def test_there_is_a_figure_of_each_curve_and_no_other(shown: Shown, table: Table, drawn) -> None:
    """One a set that is taught, not one more for LoRA; none of what is read once, such as hints."""
    assert list(drawn) == [
        "Taught a little: relearning: part of the forget set", "Taught a little: relearning: unrelated",
        "Layer by layer: logit-lens", "Asked again and again: leak",
    ]  # fmt: skip
    names = [chart.name for chart in drawn.values()]
    assert names == ["attack-steps-1", "attack-steps-2", "attack-layer-1", "attack-k-1"]
    assert charts.of_attacks(shown.table) == []
    fewer = tuple(row for row in table.attacks if row.line.axis != "layer")
    assert len(charts.of_attacks(dataclasses.replace(table, attacks=fewer))) == 3


@pytest.mark.parametrize(("title", "steps"), [
    ("Taught a little: relearning: unrelated", STEPS), ("Layer by layer: logit-lens", LAYERS),
    ("Asked again and again: leak", TIMES),
])  # fmt: skip
def test_every_model_has_every_step(drawn, table, title, steps) -> None:
    rows = rows_of(drawn[title], "whole")
    for method, model in (
        (HIDES, "as delivered"),
        (NOT, BARE),
        ("retrain", "as delivered"),
        ("target", "as delivered"),
    ):
        own = [row for row in rows if (row["method"], row["model"]) == (method, model)]
        assert [row["step"] for row in own] == list(steps), (method, model)


def test_what_was_planted_is_drawn(drawn) -> None:
    """fo-npo knows a tenth, and seven tenths after four steps at the rate that attackers choose; retrain a tenth."""
    chart = drawn["Taught a little: relearning: part of the forget set"]
    rows = {(row["method"], row["step"]): row for row in rows_of(chart, "whole") if row["model"] != BARE}
    assert {row["setting"] for row in rows.values()} == {"rate 1"}
    assert rows[HIDES, 0]["known"] == pytest.approx(0.1, abs=0.02)
    assert rows[HIDES, 4]["known"] == pytest.approx(0.7, abs=0.02)
    assert rows["retrain", 4]["known"] == pytest.approx(0.1, abs=0.02)
    assert rows["target", 4]["known"] == pytest.approx(0.9, abs=0.02)
    assert f"{HIDES} 0.10 at 0, at most 0.70 at " in chart.text and "rate 1" in chart.text
    assert len(rows_of(chart, "part")) == 5 * len(STEPS) and "LoRA 8: retrain" in chart.text


def test_where_too_little_is_kept_a_point_is_hollow(drawn) -> None:
    chart = drawn["Taught a little: relearning: part of the forget set"]
    hollow = {(row["method"], row["step"]) for row in rows_of(chart, "whole", "part") if row["apart"]}
    assert hollow == {(HIDES, 8), (NOT, 8)}
    assert "Hollow: less than 90%" in chart.text and "Hollow" not in drawn["Layer by layer: logit-lens"].text


def test_bare_weights_are_named_at_the_end_of_their_line(drawn) -> None:
    for chart in drawn.values():
        assert {(row["method"], row["text"]) for row in rows_of(chart, "name")} == {(NOT, BARE)}
        assert BARE in chart.text


def test_they_are_valid_and_drawn_by_the_library(drawn) -> None:
    for chart in drawn.values():
        alt.LayerChart.from_dict(chart.spec, validate=True)
        svg = vl_convert.vegalite_to_svg({**chart.spec, "width": 400}, vl_version="6.4")
        assert svg.count("<path") > 3 and "NaN" not in svg
        assert chart.spec["params"] == [{"name": "picked", "value": []}] and "2e+1" not in svg
        assert chart.text in chart.spec["description"]


def test_no_name_stands_in_an_expression(table: Table, drawn) -> None:
    """Names change data, domains and titles, and nothing else: the rest is the same letter for letter."""
    evil = dict(zip((HIDES, NOT), sorted(HOSTILE.values()), strict=False))
    attacks = tuple(dataclasses.replace(row, method=evil[row.method]) for row in table.attacks)
    named = charts.of_attacks(dataclasses.replace(table, attacks=attacks))
    for plain, hostile in zip(drawn.values(), named, strict=True):
        ours, theirs = (
            [(p, v) for p, v in walk(chart.spec["layer"]) if not {"domain", "title", "range"} & set(p)]
            for chart in (plain, hostile)
        )
        assert ours == theirs
