"""Every figure is valid Vega-Lite with one table of rows, survives any name, and says what is to be seen."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re

import altair as alt
import pytest
import vl_convert

from bench.board import charts
from bench.board.charts import theme
from bench.board.charts.theme import looks
from bench.board.report import pair
from bench.compare.analysis import across_tasks
from bench.store.record import CONTROLS
from tests.board.charts.conftest import HOSTILE, Shown, one_seed, study, tuned, walk

EXPRESSIONS = {"test", "filter", "expr", "signal", "calculate"}


def everything(shown: Shown) -> list[charts.Chart]:
    table, other = shown.table, dataclasses.replace(shown.table, task="tofu:forget05")
    third = dataclasses.replace(shown.table, task="tofu:forget01")
    record = next(r for r in shown.records.values() if r.curve)
    method = record.cell.method.partition("@")[0]
    tables = [table, other, third]
    tuning = tuned([row.method for row in table.rows if row.method not in CONTROLS])
    return [
        *shown.charts(),
        charts.forest(table, compact=True),
        *charts.of_method(method, tables),
        *charts.of_cell(record, shown.records.values()),
        *charts.across(tables, across_tasks(tables)),
        *charts.of_tuned(tuning, method),
        *charts.of_study(study([row.method for row in table.rows])),
    ]


@pytest.fixture(scope="module", params=["plain", "hostile", "one seed"])
def all_charts(request, shown: Shown, hostile: Shown) -> list[charts.Chart]:
    return everything({"plain": shown, "hostile": hostile, "one seed": one_seed(shown)}[request.param])


def test_all_are_drawn(shown: Shown) -> None:
    undrawn = {chart.name for chart in everything(shown) if chart.spec is None}
    assert undrawn == set()
    assert len(everything(shown)) > 25


def test_they_are_valid(all_charts) -> None:
    """Against the schema of the Vega-Lite that is drawn, which altair carries."""
    for chart in all_charts:
        if chart.spec is not None:
            alt.LayerChart.from_dict(chart.spec, validate=True)


def test_each_says_what_is_to_be_seen(all_charts) -> None:
    for chart in all_charts:
        assert chart.title and len(chart.text) > 20, chart
        if chart.spec is not None:
            assert re.search(r"\d", chart.text), f"{chart.name} has no number in its text"
            assert chart.text in chart.spec["description"]


def test_names_are_told_apart(all_charts) -> None:
    """A page shows figures under their names, so those of one place are unlike."""
    of_table = [chart.name for chart in itertools.takewhile(lambda c: c.name != "heat", all_charts)]
    assert len(of_table) == len(set(of_table)) > 10


def test_there_is_one_table_of_rows(all_charts) -> None:
    for chart in filter(lambda c: c.spec, all_charts):
        assert chart.spec["data"]["name"] == "rows"
        assert [path for path, _ in walk(chart.spec["layer"]) if "data" in path] == []
        for row in chart.spec["data"]["values"]:
            assert all(re.fullmatch(r"[a-z_]+", column) for column in row)
            assert all(isinstance(value, str | int | float | None) for value in row.values())


def test_picked_methods_stand_out_everywhere(all_charts) -> None:
    """Every mark whose colour or row says a method is faded unless it is picked."""
    for chart in filter(lambda c: c.spec, all_charts):
        assert chart.spec["params"] == [{"name": "picked", "value": []}]
        for layer in chart.spec["layer"]:
            said = {encoding.get("field") for encoding in layer["encoding"].values() if isinstance(encoding, dict)}
            if "method" in said:
                opacity = json.dumps(layer["encoding"]["opacity"])
                assert "indexof(picked, datum.method)" in opacity, (chart.name, layer["mark"])


def test_no_place_of_a_template_is_left(all_charts) -> None:
    for chart in filter(lambda c: c.spec, all_charts):
        without = {key: value for key, value in chart.spec.items() if key not in ("data", "description")}
        left = [value for path, value in walk(without) if isinstance(value, str) and value.startswith("$")
                and path != ("$schema",) and value not in HOSTILE.values()]  # fmt: skip
        assert left == []


def test_no_name_stands_in_an_expression_or_a_field(shown: Shown, hostile: Shown) -> None:
    """Names change the data, domains and titles, and nothing else: the rest is the same letter for letter."""
    for plain, named in zip(shown.charts(), hostile.charts(), strict=False):
        if plain.spec is None or named.spec is None:
            continue
        ours, theirs = (
            [(p, v) for p, v in walk(chart.spec["layer"]) if not {"domain", "title", "range"} & set(p)]
            for chart in (plain, named)
        )
        assert ours == theirs, plain.name
    for chart in hostile.charts():
        for path, value in walk(chart.spec["layer"] if chart.spec else []):
            if EXPRESSIONS & set(path) or path[-1] == "field":
                assert not any(name in str(value) for name in HOSTILE.values())


@pytest.mark.parametrize("width", [340, 900])
def test_hostile_names_are_drawn_as_text(hostile: Shown, width: int) -> None:
    """Drawn by the real library: the name is there, escaped, and what is no letter of markup has become none."""
    chart = hostile.chart("forest")
    svg = vl_convert.vegalite_to_svg({**chart.spec, "width": width}, vl_version="6.4")
    assert "<script" not in svg
    assert "&lt;/script&gt;" in svg and ">$order</text>" in svg


def test_every_figure_is_drawn_by_the_library(all_charts) -> None:
    for chart in filter(lambda c: c.spec, all_charts):
        svg = vl_convert.vegalite_to_svg({**chart.spec, "width": 400}, vl_version="6.4")
        assert svg.count("<path") > 3 and "NaN" not in svg, chart.name


def test_looks_are_all_unlike_and_the_same_everywhere() -> None:
    names = [f"method {i}" for i in range(60)]
    found = looks(names)
    assert len(set(found.values())) == 62
    assert looks(reversed(names)) == found
    assert list(found)[:2] == ["target", "retrain"]
    for one, other in itertools.pairwise(sorted(names)):
        assert not set(found[one]) & set(found[other]), "neighbours share nothing"
    assert len({look.shape for look in looks(names[:4]).values()}) == 6


@pytest.mark.parametrize("n", range(2, 13))
def test_methods_are_told_apart_in_grey_and_by_dash(n: int) -> None:
    found = looks([f"method {i:02}" for i in range(n)])

    def grey(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    for one, other in itertools.combinations([look for name, look in found.items() if name.startswith("method")], 2):
        assert (one.colour, one.dash) != (other.colour, other.dash)
        assert one.dash != other.dash or abs(grey(one.colour) - grey(other.colour)) >= 25
        assert one.colour != other.colour or one.shape != other.shape


def test_all_pairs_of_looks_are_used() -> None:
    found = list(looks([f"method {i:03}" for i in range(210)]).values())
    assert len(set(found)) == 212
    assert (
        len({(look.colour, look.dash) for look in found[2:37]}) == len({look.colour for look in found[2:9]}) * 5 == 35
    )


def test_sets_of_a_pair_look_like_no_method() -> None:
    assert len(set(pair.SETS)) == len(pair.SETS)
    of_methods = {look.colour.lower() for look in looks(map(str, range(7))).values()}
    assert not set(pair.SETS) & of_methods


def test_a_place_that_nothing_fills_is_an_error() -> None:
    def make() -> alt.LayerChart:
        return theme.layered(theme.of("x").mark_point().encode(x=alt.X("a:Q", axis=alt.Axis(title="$up"))))

    with pytest.raises(KeyError, match="up"):
        theme.drawn("a", "b", "c", make, [], {})
    assert theme.drawn("a", "b", "c", make, [], {}, up="$methods").spec["layer"][0]["encoding"]["x"]["axis"] == {
        "title": "$methods"
    }


def test_what_is_no_number_is_null() -> None:
    """JSON has no NaN and no infinity; a browser would refuse the whole page."""
    chart = theme.drawn("a", "b", "c", lambda: theme.layered(theme.of("x").mark_point()),
                        [{"kind": "x", "a": float("nan"), "b": float("-inf"), "c": 1 / 3, "d": None}], {})  # fmt: skip
    assert chart.spec["data"]["values"] == [{"kind": "x", "a": None, "b": None, "c": 0.333333, "d": None}]


def test_a_figure_does_not_change_another(shown: Shown) -> None:
    """Templates are kept; what is put into one must not stay there."""
    before = json.dumps(shown.chart("forest").spec)
    table = dataclasses.replace(shown.table, rows=shown.table.rows[:3])
    charts.forest(table)
    assert json.dumps(shown.chart("forest").spec) == before
