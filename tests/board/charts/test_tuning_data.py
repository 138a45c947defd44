"""What the figures of a tuning show: every point, both choices, every trial, and that it is validation data."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bench.board import charts
from bench.compare.tuning import Tuning, summarise, tunings
from bench.store.trials import Point, Trial
from tests.board.charts.conftest import HOSTILE, rows_of, tuned, walk
from tests.compare import made_trials


@pytest.fixture(scope="module")
def tuning(tmp_path_factory) -> Tuning:
    folder: Path = tmp_path_factory.mktemp("tuned")
    made_trials.write(folder)
    return tunings(folder)[0]


def test_every_point_of_every_trial_is_there(tuning: Tuning) -> None:
    cloud, _, _ = charts.of_tuning(tuning)
    points = rows_of(cloud, "point")
    assert len(points) == sum(len(one.cloud) for one in tuning.methods) > 200
    fronts = {m: [r for r in rows_of(cloud, "front") if r["method"] == m] for m in {r["method"] for r in points}}
    for method, front in fronts.items():
        of = [(r["erased"], r["utility"]) for r in points if r["method"] == method]
        for row in front:
            at = row["erased"], row["utility"]
            assert at in of and not any(e >= at[0] and u >= at[1] and (e, u) != at for e, u in of)
    assert [row["method"] for row in rows_of(cloud, "anchor")] == ["target", "retrain"]
    ruined = sum(row["utility"] < 0.5 for row in points)
    assert f"{ruined} of {len(points)} points keep less than half" in cloud.text


def test_choices_are_marked_where_they_are(tuning: Tuning) -> None:
    """Deployable filled, oracle hollow and after it, each at its point."""
    rows = rows_of(charts.of_tuning(tuning)[0], "chosen")
    for one in tuning.methods:
        own = [row for row in rows if row["method"] == one.method]
        assert [(row["objective"], row["apart"]) for row in own] == [("deployable", False), ("oracle", True)]
        for row in own:
            at = one.candidates()[row["objective"]]
            assert (row["trial"], row["share"]) == (at.number, at.share)
            assert row["utility"] == pytest.approx(min(at.utility, 1), abs=1e-5)


def test_expected_best_rises_to_the_best(tuning: Tuning) -> None:
    _, chart, _ = charts.of_tuning(tuning)
    for method, of in itertools.groupby(rows_of(chart, "step"), key=lambda row: row["method"]):
        values = [row["headline"] for row in of]
        assert len(values) == 12 and values == sorted(values)
        assert values[-1] == pytest.approx(tuning.of(method).best, abs=1e-5)
    assert "0.39 of 1, 0.68 of 4, 0.72 of 12" in chart.text


def test_the_answer_to_the_rate_has_every_trial_and_who_failed(tuning: Tuning) -> None:
    chart = charts.of_tuning(tuning)[2]
    rows = rows_of(chart, "trial", "default")
    assert len(rows) == 60 and [row["trial"] for row in rows_of(chart, "default")] == [1] * 5
    assert {row["ended"] for row in rows if row["apart"]} == {"failed", "diverged", "collapsed"}
    assert [row["headline"] for row in rows if row["ended"] == "failed"] == [0.0]


def test_a_method_alone(tuning: Tuning) -> None:
    """Its own runs, and the others' expected best behind its own."""
    cloud, expected, rates = charts.of_tuned(tuning, "rmu")
    assert {row["method"] for row in rows_of(cloud, "point", "way", "front", "chosen")} == {"rmu"}
    assert len(rows_of(cloud, "way")) == len(rows_of(cloud, "point"))
    assert {row["method"] for row in rows_of(expected, "step")} == {"rmu"}
    assert {row["method"] for row in rows_of(expected, "other")} == set(made_trials.METHODS) - {"rmu"}
    assert {row["method"] for row in rows_of(rates, "trial", "default")} == {"rmu"}


def test_each_says_that_it_is_validation_data(tuning: Tuning) -> None:
    for chart in (*charts.of_tuning(tuning), *charts.of_tuned(tuning, "rmu")):
        assert "validation data (embedded@100, embedded@101); the board's numbers are on other data" in chart.text


def test_nothing_to_draw() -> None:
    """Trials without the trade-off's numbers and without a learning rate: said, not drawn."""
    bare = Trial("m", 1, {}, {}, "embedded@100", 0, points=(Point(1.0, 1, {"headline": 0.5}),))
    cloud, expected, rates = charts.of_tuning(summarise({"m": [bare]}, "embedded", "tiny", "t"))
    assert cloud.spec is rates.spec is None
    assert expected.spec is not None and "0.50 of 1" in expected.text


def test_no_name_stands_in_an_expression() -> None:
    """Names change data, domains and titles, and nothing else: the rest is the same letter for letter."""
    both = [charts.of_tuning(tuned(names)) for names in (["a", "b", "c"], sorted(HOSTILE.values()))]
    for plain, named in zip(*both, strict=True):
        ours, theirs = (
            [(p, v) for p, v in walk(chart.spec["layer"]) if not {"domain", "title", "range"} & set(p)]
            for chart in (plain, named)
        )
        assert ours == theirs
