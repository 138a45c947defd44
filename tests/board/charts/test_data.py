"""What the figures draw is what the table says: numbers by hand, or read again from the items."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import vl_convert
from scipy.stats import ecdf as scipy_ecdf

from bench.api import Score
from bench.board import charts, leaderboard, sweeps
from bench.board.charts import heat_maps, items, runs, trade_offs
from bench.board.numbers import short
from bench.compare.analysis import Rules
from bench.compare.crossed import Run
from bench.stats import roc
from bench.stats.critical_difference import rank_tasks
from bench.store.record import Cell, Record
from tests.board.charts.conftest import SEEDS, Shown, one_seed, rows_of
from tests.stats.test_critical_difference import TABLE

close = lambda value: pytest.approx(value, rel=1e-5, abs=1e-9)  # noqa: E731


def test_the_forest_has_the_tables_numbers_in_its_order(shown: Shown) -> None:
    chart = shown.chart("forest")
    methods = [row for row in shown.table.rows if row.method not in ("target", "retrain")]
    drawn = rows_of(chart, "method")
    assert [row["method"] for row in drawn] == [row.method for row in methods]
    for row, own in zip(drawn, methods, strict=True):
        score = own.scores["headline"]
        assert (row["value"], row["lo"], row["hi"]) == close((score.value, score.lo, score.hi))
        assert row["letters"] == ("apart" if own.apart else own.letters)
    assert any(row["letters"] == "apart" for row in drawn) and any(row["letters"] == "a" for row in drawn)
    seeds = {(row["method"], row["seed"]): row["value"] for row in rows_of(chart, "seed")}
    expected = {(r.method, s): v for r in methods for s, v in zip(r.seeds, r.by_seed["headline"], strict=True)}
    assert seeds == close(expected)
    (band,) = rows_of(chart, "band")
    ceiling = shown.table.row("retrain").scores["headline"]
    assert (band["lo"], band["hi"]) == close((ceiling.lo, ceiling.hi))


def test_the_line_of_target_has_its_interval(shown: Shown) -> None:
    rows = tuple(
        dataclasses.replace(r, scores={**r.scores, "headline": Score(0.1, 0.05, 0.2)}) if r.method == "target" else r
        for r in shown.table.rows
    )
    anchor, _ = rows_of(charts.forest(dataclasses.replace(shown.table, rows=rows)), "anchor")
    assert (anchor["value"], anchor["lo"], anchor["hi"]) == (0.1, 0.05, 0.2)


def test_with_one_seed_retrain_stands_at_one(shown: Shown) -> None:
    chart = one_seed(shown).chart("forest")
    anchors = {row["method"]: row["value"] for row in rows_of(chart, "anchor")}
    assert anchors["retrain"] == 1.0 and anchors["target"] == close(shown.table.row("target").scores["headline"].value)
    assert rows_of(chart, "band") == []
    assert "ceiling is unknown" in chart.text
    of_page = charts.of_method("half", [one_seed(shown).table])[0]
    marks = {row["method"]: row["value"] for row in rows_of(of_page, "anchor")}
    assert marks == close(anchors)


def test_without_a_headline_the_first_number_is_drawn(shown: Shown) -> None:
    """Of a p-value its logarithm; of a task without any number nothing, and why."""

    def bare(row):
        return dataclasses.replace(row, scores={n: s for n, s in row.scores.items() if n != "headline"})

    table = dataclasses.replace(shown.table, rows=tuple(map(bare, shown.table.rows)))
    half = next(row for row in rows_of(charts.forest(table), "method") if row["method"] == "half")
    assert half["value"] == close(math.log10(table.row("half").scores["forget_quality"].value))
    nothing = charts.forest(dataclasses.replace(table, headlines={}))
    assert nothing.spec is None and nothing.text


def test_the_trade_off_has_logarithms_and_the_front(shown: Shown) -> None:
    """By hand: of (log p, utility) -2, 0.5; -1, 0.9; 0, 0.1 the first is beaten by the second, the third set apart."""
    given = {"good": (1e-2, 0.5), "half": (1e-1, 0.9), "ruin": (1.0, 0.1), "target": (1e-9, 0.9), "retrain": (1.0, 1.0)}

    def set_(row):
        p, utility = given[row.method]
        return dataclasses.replace(
            row, scores={"forget_quality": Score(p, p / 10, p), "model_utility": Score(utility, 0.0, 1.0)}
        )

    table = dataclasses.replace(shown.table, rows=tuple(set_(r) for r in shown.table.rows))
    chart = trade_offs.trade_off(table)
    points = {row["method"]: row for row in rows_of(chart, "method")}
    assert points["good"]["forget_quality"] == close(-2)
    assert (points["good"]["forget_quality_lo"], points["good"]["forget_quality_hi"]) == close((-3, -2))
    front = [(row["on_front"], row["forget_quality"], row["model_utility"]) for row in rows_of(chart, "front")]
    assert front == [("half", close(-1), 0.9)]
    assert "Pareto front, dotted: half. Hollow, set apart and not on it: ruin." in chart.text
    whole = dataclasses.replace(table, rows=tuple(dataclasses.replace(r, apart="") for r in table.rows))
    chart = trade_offs.trade_off(whole)
    assert [row["on_front"] for row in rows_of(chart, "front")] == ["half", "ruin"]
    assert "Pareto front, dotted: half, ruin. Forget" in chart.text


def test_curves_have_the_harmonic_mean_that_they_name(shown: Shown) -> None:
    chart = shown.chart("erased-kept")
    levels = rows_of(chart, "level")
    assert {row["level"] for row in levels} == {0.25, 0.5, 0.75}
    for row in levels:
        assert 2 / (1 / row["erased"] + 1 / row["kept"]) == pytest.approx(row["level"], rel=1e-4)
        assert 0 < row["erased"] <= 1 and 0 < row["kept"] <= 1
    half = next(row for row in rows_of(chart, "method") if row["method"] == "half")
    scores = shown.table.row("half").scores
    assert (half["erased"], half["kept"]) == close((scores["erased"].value, scores["kept"].value))
    assert len(rows_of(chart, "seed")) == len(SEEDS) * len(shown.table.rows)


def test_cost_has_the_mean_seconds_and_no_front_of_ruins(shown: Shown) -> None:
    chart = shown.chart("cost")
    assert {row["method"]: row["seconds"] for row in rows_of(chart, "method")} == {"good": 12, "half": 13, "ruin": 14}
    best = [row["on_front"] for row in rows_of(chart, "front")]
    assert best == ["good"], "half is dearer and worse, ruin is set apart"


def test_paths_are_the_traces_of_every_seed(shown: Shown) -> None:
    chart = shown.chart("paths")
    record = shown.records[Cell(shown.table.task, "half", "tiny", "embedded", 1)]
    own = [row for row in rows_of(chart, "way") if (row["method"], row["seed"]) == ("half", 1)]
    assert [row["forget_probability"] for row in own] == close(record.curve["trace forget probability"])
    assert [row["retain_probability"] for row in own] == close(record.curve["trace retain probability"])
    ends = rows_of(chart, "end")
    assert len(ends) == 3 * len(SEEDS) and all(row["step"] == 100 for row in ends)
    (across,) = rows_of(chart, "across")
    levels = [shown.records[Cell(shown.table.task, "retrain", "tiny", "embedded", s)].scores["probability"].value
              for s in SEEDS]  # fmt: skip
    assert across["forget_probability"] == close(np.mean(levels))


def test_training_curves_are_means_of_blocks(shown: Shown) -> None:
    """100 steps in 24 blocks: the first has steps 1 to 4, so share 0.025; NaN is left out."""
    record = shown.records[Cell(shown.table.task, "half", "tiny", "embedded", 1)]
    points = runs.thinned(record, "forget")
    assert len(points) == 24
    assert points[0] == close((0.025, 1 + 0.25)) and points[-1] == close((0.98, 1 + 9.8))
    assert math.fsum(v for _, v in points) / 24 == pytest.approx(1 + 5.05, abs=0.05)
    assert len(runs.thinned(record, "trace forget probability")) == 11
    assert all(math.isfinite(v) for _, v in runs.thinned(record, "gradient_norm"))
    bare = Record(record.cell, "ok", {}, {}, curve={"step": [0.0, 1.0], "forget": [None, "x"]})  # type: ignore[list-item]
    assert runs.thinned(bare, "forget") == runs.thinned(bare, "retain") == []


def test_a_cell_is_drawn_alone_before_its_controls(shown: Shown) -> None:
    record = shown.records[Cell(shown.table.task, "half", "tiny", "embedded", 1)]
    found = {chart.name: chart for chart in charts.of_cell(record, shown.records.values())}
    lines = rows_of(found["training-forget"], "line")
    assert {(row["method"], row["seed"]) for row in lines} == {("half", 1)}
    assert len(lines) == 24
    assert {row["method"] for row in rows_of(found["training-trace-forget-probability"], "level")} == {
        "target", "retrain"
    }  # fmt: skip
    of_page = charts.of_cell(record, shown.records.values(), [row.method for row in shown.table.rows])[-1]
    scales = [c.spec["layer"][-1]["encoding"]["stroke"]["scale"] for c in (of_page, shown.chart("paths"))]
    alike = [dict(zip(scale["domain"], scale["range"], strict=True))["half"] for scale in scales]
    assert alike[0] == alike[1]


def test_ecdf_by_hand() -> None:
    x, share = items.ecdf(np.array([3.0, 1.0, 2.0, 2.0]))
    assert x.tolist() == [1, 1, 2, 2, 3] and share.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_thinned_ecdf_lies_on_the_whole_one() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    x, share = items.ecdf(values)
    assert len(x) == items.MOST + 1 and share[-1] == 1 and x[-1] == values.max()
    assert scipy_ecdf(values).cdf.evaluate(x[1:]) == pytest.approx(share[1:])


def test_distributions_pool_all_seeds(shown: Shown) -> None:
    chart = shown.chart("compared")
    own = [(row["value"], row["share"]) for row in rows_of(chart, "line") if row["method"] == "half"]
    pooled = np.concatenate([shown.crossed.values[Run("half", s)]["forget", "log_truth_ratio"] for s in SEEDS])
    assert [share for _, share in own[1:]] == close(scipy_ecdf(pooled).cdf.evaluate([v for v, _ in own[1:]] +
                                                    np.full(len(own) - 1, 1e-5)).tolist())  # fmt: skip
    assert f"half {np.median(pooled):.2f}" in chart.text and "all seeds pooled" in chart.text


def test_roc_is_the_mean_over_seeds(shown: Shown) -> None:
    chart = shown.chart("roc")
    values = [shown.crossed.values[Run("half", seed)] for seed in SEEDS]
    sides = [(of["forget", "loss"], of["holdout", "loss"]) for of in values]
    line = [row for row in rows_of(chart, "line") if row["method"] == "half"]
    for row in line:
        assert row["tpr"] == close(np.mean([roc.tpr_at(row["fpr"], *side) for side in sides]))
    area = np.mean([roc.auc(*side) for side in sides])
    assert f"half {area:.2f}" in chart.text
    assert area == pytest.approx(np.mean(shown.table.row("half").by_seed["mia_auc"]))


def test_many_items_give_a_roc_of_few_points() -> None:
    rng = np.random.default_rng(0)
    sides = [(rng.normal(-1, 1, 3000), rng.normal(0, 1, 3000)) for _ in range(2)]
    fpr, tpr = items.mean_roc(sides)
    assert len(fpr) <= items.MOST and fpr[-1] == tpr[-1] == 1
    assert tpr[5] == close(np.mean([roc.tpr_at(fpr[5], *side) for side in sides]))


@pytest.mark.parametrize(
    ("value", "target", "retrain", "expected"),
    [
        (1.0, 1.0, 0.2, 1.0),  # as the target
        (0.2, 1.0, 0.2, 0.0),  # as retrain
        (0.6, 1.0, 0.2, 0.5),
        (0.0, 1.0, 0.2, -0.25),  # beyond retrain
        (0.3, 0.1, 0.6, 0.6),  # a metric that rises on the way
        (-9.0, 0.8, 0.0, -1.0),  # no further than the scale
        (0.4, 0.81, 0.8, -0.5),  # of what should be kept: half of retrain's is lost
        (0.88, 0.81, 0.8, 0.1),
        (0.5, None, 0.5, 0.0),
        (0.5, 1.0, None, None),
    ],
)
def test_shades_by_hand(value: float, target: float | None, retrain: float | None, expected: float | None) -> None:
    assert heat_maps.shade(value, target, retrain) == (None if expected is None else close(expected))


def test_the_heat_map_has_every_metric_with_a_value(shown: Shown) -> None:
    chart = shown.chart("heat")
    cells = {(row["method"], row["metric"]): row for row in rows_of(chart, "cell")}
    half = shown.table.row("half")
    for name, score in half.scores.items():
        title = {"forget_quality": "forget quality (log10 p)"}.get(name, name.replace("_", " "))
        if score.value is not None:
            value = math.log10(score.value) if name == "forget_quality" else score.value
            assert cells["half", title]["value"] == close(value)
            assert cells["half", title]["text"] == short(name, Score(score.value))
            powers = title.endswith("(log10 p)")
            assert float(cells["half", title]["text"]) == pytest.approx(value, abs=0.051 if powers else 0.0051)
    assert cells["retrain", "forget quality (log10 p)"]["text"] == "itself"
    assert "itself" not in chart.text
    key = chart.spec["layer"][0]["encoding"]["color"]["legend"]
    assert key["title"] == "as retrain 0, as target 1, beyond or lost -1" and key["values"] == [-1, 0, 1]
    svg = vl_convert.vegalite_to_svg({**chart.spec, "width": 600}, vl_version="6.4")
    assert f">{key['title']}<" in svg
    assert cells["target", "rouge"]["shade"] == 1 and cells["retrain", "rouge"]["shade"] == 0
    assert -0.1 < cells["half", "model utility"]["shade"] < 0.1 and cells["ruin", "model utility"]["shade"] < -0.5


def test_a_swept_parameter_has_the_plain_methods_point(shown: Shown) -> None:
    (one,) = sweeps.swept(shown.table)
    assert (one.method, one.parameter) == ("good", "beta")
    assert [(value, row.method) for value, row in one.points] == [
        (0.01, "good@beta=0.01"), (1.0, "good"), (10.0, "good@beta=10")
    ]  # fmt: skip
    chart = shown.chart("response-1")
    (plain,) = [row for row in rows_of(chart, "plain") if row["measure"] == "headline"]
    assert plain["value"] == close(shown.table.row("good").scores["headline"].value)
    assert len(rows_of(chart, "point")) == 2 * 3
    assert charts.of_method("half", [shown.table])[1:] == []
    for parameters in ({}, {"beta": 1.0, "mask": "other"}, {"beta": "high", "mask": "dual"}):
        rows = tuple(dataclasses.replace(row, parameters=parameters) for row in shown.table.rows)
        (without,) = sweeps.swept(dataclasses.replace(shown.table, rows=rows))
        assert [value for value, _ in without.points] == [0.01, 10.0]
    assert sweeps.swept(dataclasses.replace(shown.table, variants=())) == []


def test_axes_of_geometric_values_are_logarithmic(shown: Shown) -> None:
    """1e-5, 3e-5, 1e-4 and 1, 2, 4 are; 1, 2, 3 are not, nor is what begins at 0."""
    row = shown.table.variants[0]
    for values, log in (((1e-5, 3e-5, 1e-4), True), ((1, 2, 4), True), ((1, 2, 3), False), ((1, 2), False),
                        ((0, 1, 10), False), ((1, 9), True)):  # fmt: skip
        assert sweeps.Swept("good", "beta", tuple((float(v), row) for v in values)).log == log


def test_variants_stand_below_their_method_by_value(shown: Shown) -> None:
    row = shown.table.variants[0]
    names = ("good@lr=1e-4", "half@matched", "good@lr=3e-5", "good@lr=1e-5", "other@lr=1", "good@beta=2")
    table = dataclasses.replace(shown.table, variants=tuple(dataclasses.replace(row, method=n) for n in names))
    assert [row.method for row in sweeps.with_plain(table)] == [
        "good", "good@beta=2", "good@lr=1e-5", "good@lr=3e-5", "good@lr=1e-4", "half", "half@matched", "other@lr=1"
    ]  # fmt: skip


def test_the_board_has_a_folded_table_a_sweep(shown: Shown) -> None:
    text = leaderboard.render([shown.table], Rules())
    section = text.split("<summary>Sweep of beta: good (tofu:forget10)</summary>")[1].split("</details>")[0]
    lines = [line.split(" | ") for line in section.strip().splitlines()]
    assert lines[0] == ["| method", "beta", "headline", "erased", "kept |"]
    assert [line[:2] for line in lines[2:]] == [["| good@beta=0.01", "0.01"], ["| good", "1"], ["| good@beta=10", "10"]]
    assert lines[3][2] == short("", shown.table.row("good").scores["headline"])


def test_sweeps_that_share_another_setting_are_their_own(shown: Shown) -> None:
    row = shown.table.variants[0]
    names = ("good@t=0.1@n=random", "good@n=random", "good@t=0.5@n=random", "good@t=high", "good@t=nan", "good@matched")
    table = dataclasses.replace(shown.table, variants=tuple(dataclasses.replace(row, method=n) for n in names))
    (one,) = sweeps.swept(table)
    assert (one.method, one.parameter, [v for v, _ in one.points]) == ("good@n=random", "t", [0.1, 0.5])


def test_ranks_have_the_critical_difference() -> None:
    """Demsar 2006, table 6: ranks 1.964, 2.000, 2.893 and 3.143, and a bar of 1.25."""
    ranking = rank_tasks(TABLE)
    _, chart = charts.across([], {("world", "tiny"): ranking})
    assert [round(row["rank"], 3) for row in rows_of(chart, "method")] == [1.964, 2.0, 2.893, 3.143]
    (bar,) = rows_of(chart, "difference")
    assert bar["end"] - bar["rank"] == pytest.approx(1.25, abs=0.005)
    (group,) = rows_of(chart, "group")
    assert (group["first"], group["last"]) == (ranking.methods[0], ranking.methods[-1])


def test_too_few_tasks_have_no_ranks(shown: Shown) -> None:
    few = rank_tasks({"one": {"a": 1.0, "b": 0.5}})
    heat, chart = charts.across([shown.table], {("world", "tiny"): few})
    assert chart.spec is None and few.note in chart.text
    assert {row["method"]: row["headline"] for row in rows_of(heat, "cell")} == close(
        {m: shown.table.row(m).scores["headline"].value for m in ("good", "half", "ruin")}
    )


def test_a_table_without_anything_is_told(shown: Shown) -> None:
    """No row, no record, no item: every figure says why it is not there."""
    table = dataclasses.replace(shown.table, rows=(), variants=())
    empty = dataclasses.replace(shown.crossed, values={})
    found = charts.of_table(table, {}, empty)
    assert len(found) > 6
    assert all(chart.spec is None and chart.text for chart in found)
