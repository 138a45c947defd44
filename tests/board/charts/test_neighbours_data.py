"""The figures of neighbours: a curve a method with target's and retrain's, and none where nobody asked."""

from __future__ import annotations

import dataclasses
from typing import Any

import altair as alt
import pytest
import vl_convert

from bench.api import Score
from bench.board import charts
from bench.board.charts import Chart
from bench.board.charts.neighbours import DISTANCES, neighbours
from bench.compare.analysis import Row
from tests.board.charts.conftest import HOSTILE, Shown, renamed, rows_of, walk
from tests.compare.test_neighbours import KEPT, SEEDS, crossed, found

METHODS = ("target", "retrain", "loses")


@pytest.fixture(scope="module")
def asked(shown: Shown) -> Shown:
    """A table of three methods that were asked for their neighbours, with what they have of them."""
    values = crossed()
    table = shown.table
    row = table.rows[0]

    def made(method: str) -> Row:
        scores: dict[str, Any] = {}
        for name in KEPT:
            known = [of[name, "ranked_first"].mean() for run, of in values.values.items() if run.method == method]
            mean = sum(known) / len(known)
            scores[name] = Score(mean, mean - 0.05, min(1.0, mean + 0.05), 120)
        for name in ("keeping_in_domain", "keeping_cross_domain"):
            scores[name] = Score(0.5, 0.4, 0.6, 240)
        return dataclasses.replace(row, method=method, seeds=SEEDS, scores=scores)

    return shown._replace(table=dataclasses.replace(table, rows=tuple(map(made, METHODS))), crossed=values)


def drawn(shown: Shown) -> list[Chart]:
    return neighbours(shown.table, shown.crossed)


def test_there_is_none_where_nobody_asked(shown: Shown, asked: Shown) -> None:
    assert neighbours(shown.table, shown.crossed) == []
    assert not [chart.name for chart in shown.charts() if chart.name.startswith("neighbours")]
    names = [chart.name for chart in charts.of_table(asked.table, {}, asked.crossed)]
    assert [name for name in names if name.startswith("neighbours")] == ["neighbours", "neighbours-change"]


def test_every_model_has_every_distance_that_there_is(asked: Shown) -> None:
    kept, change = drawn(asked)
    by = {(row["method"], row["distance"]): row for row in rows_of(kept, "point")}
    assert by.keys() == {(method, DISTANCES[name]) for method in METHODS for name in KEPT}
    for row in asked.table.rows:
        for name in KEPT:
            score, own = row.scores[name], by[row.method, DISTANCES[name]]
            assert (own["value"], own["lo"], own["hi"]) == pytest.approx((score.value, score.lo, score.hi), rel=1e-5)
    expected = found(asked.crossed)
    points = rows_of(change, "point")
    assert {row["method"] for row in points} == {"retrain", "loses"} and len(points) == 2 * len(KEPT)
    for row in points:
        (name,) = (n for n, said in DISTANCES.items() if said == row["distance"])
        one = expected[row["method"], name]
        assert (row["value"], row["lo"], row["hi"]) == pytest.approx((one.difference, one.lo, one.hi), abs=1e-5)


def test_farther_stands_to_the_right_and_the_border_between_domains(asked: Shown) -> None:
    for chart in drawn(asked):
        places = {name: [r["place"] for r in rows_of(chart, "point") if r["distance"] == said]
                  for name, said in DISTANCES.items() if name in KEPT}  # fmt: skip
        shared, template, other = (places[name] for name in KEPT)
        (border,) = rows_of(chart, "border")
        assert max(shared) < min(template) and max(template) < border["place"] < min(other)
        assert len({*shared}) == len(shared)  # side by side, so that no bar hides another
    alone = {n: v for n, v in asked.table.rows[0].scores.items() if n != "neighbours_other_kind"}
    rows = tuple(dataclasses.replace(row, scores=alone) for row in asked.table.rows)
    (kept, *_) = neighbours(dataclasses.replace(asked.table, rows=rows), asked.crossed)
    assert rows_of(kept, "border") == []


def test_they_say_what_is_to_be_seen_and_can_be_drawn(asked: Shown) -> None:
    kept, change = drawn(asked)
    assert "Keeping in domain: target 0.50 [0.40, 0.60]" in kept.text and "3 seeds" in kept.text
    assert "loses: keeping in domain -0." in change.text and "not corrected" in change.text
    for chart in (kept, change):
        assert chart.spec is not None
        alt.LayerChart.from_dict(chart.spec, validate=True)
        svg = vl_convert.vegalite_to_svg({**chart.spec, "width": 400}, vl_version="6.4")
        assert svg.count("<path") > 3 and "NaN" not in svg and "shared value" in svg and "same subject" not in svg


def test_no_name_stands_in_an_expression(asked: Shown) -> None:
    evil = next(iter(HOSTILE.values()))
    hostile = renamed(asked, lambda method: evil if method == "loses" else method)
    for plain, other in zip(drawn(asked), drawn(hostile), strict=True):
        assert plain.spec is not None and other.spec is not None
        ours, theirs = (
            [(p, v) for p, v in walk(spec["layer"]) if not {"domain", "title", "range"} & set(p)]
            for spec in (plain.spec, other.spec)
        )
        assert ours == theirs
        assert evil in {row["method"] for row in rows_of(other, "point")}
