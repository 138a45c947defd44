"""What every study is made of: means by cluster, figures over seeds, and which cells count."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.api import Score
from bench.compare.studies.study import (
    Figure,
    Material,
    constant,
    corrected,
    curve,
    item_mean,
    over_seeds,
    slope,
    weighted,
)
from bench.score.estimates import Estimate
from bench.store.record import Cell, Record

TASKS = {1.0: "sequence:tofu:1", 2.0: "sequence:tofu:2"}


@pytest.mark.parametrize(
    ("values", "clusters", "value", "without", "sizes"),
    [
        ([1, 3, 5, np.nan, np.nan], "aabbc", 3.0, [5, 2, 3], [2, 1, 0]),
        ([1, 3], "aa", 2.0, [np.nan], [2]),
        ([np.nan, np.nan], "ab", np.nan, [np.nan, np.nan], [0, 0]),
    ],
)
def test_a_mean_of_items_and_without_each_cluster(values, clusters, value, without, sizes) -> None:
    """Of 1, 3 and 5 in clusters of two and one: 5 without the first, 2 without the second; the last has no item."""
    found = item_mean(pd.Series(values), pd.Series(list(clusters)), "author")
    assert found.value == pytest.approx(value, nan_ok=True)
    assert found.without["author"] == pytest.approx(without, nan_ok=True)
    assert list(found.sizes["author"]) == sizes


def test_what_rests_on_seeds_alone_has_the_interval_of_a_t_test() -> None:
    """Of 1, 2 and 6 the mean is 3 and s^2 = (4 + 1 + 9) / 2 = 7, with two degrees of freedom."""
    found = over_seeds([constant(x) for x in (1.0, 2.0, 6.0)])
    half = float(stats.t.ppf(0.975, 2)) * (7 / 3) ** 0.5
    assert (found.value, found.n) == (3.0, 3)
    assert (found.lo, found.hi) == pytest.approx((3 - half, 3 + half))
    assert found.p == pytest.approx(2 * stats.t.sf(3 / (7 / 3) ** 0.5, 2))
    assert over_seeds([constant(x) for x in (1.0, 2.0, 6.0)], tested=False) == found._replace(p=None)


def test_rounding_is_no_variation_and_any_other_is_whatever_its_size() -> None:
    small, large = (over_seeds([constant(scale * x) for x in (1.0, 2.0, 6.0)]) for scale in (1e-5, 1.0))
    assert small.p == pytest.approx(large.p) and small.hi == pytest.approx(1e-5 * large.hi)
    rounded = over_seeds([constant(0.5 + away) for away in (0.0, 1e-11, 2e-11)])
    assert (rounded.lo, rounded.p) == (None, 2 / 2**3)


def test_a_weighted_sum_and_the_weights_of_a_slope() -> None:
    """2 - 2 x 3 = -4; from 3 to 5 over a half it is 4 a step, and over a single step nothing rises."""
    assert weighted([constant(2.0), constant(3.0)], [1, -2]).value == -4
    assert slope([0, 0.5]) @ np.array([3.0, 5.0]) == pytest.approx(4)
    assert slope([7]) @ np.array([3.0]) == 0


def clustered(without: Sequence[float], value: float = 0.5) -> Estimate:
    return Estimate(value, {"author": np.array(without)}, {"author": np.ones(len(without))})


@pytest.mark.parametrize(
    ("by_seed", "figure"),
    [
        ([constant(np.nan)], Figure(None, note="no item is scored")),
        ([constant(0.5)], Figure(0.5, n=1)),
        ([clustered([0.4, 0.6])], Figure(0.5, n=2)),
        ([constant(-0.5)] * 4, Figure(-0.5, n=4, p=2 / 2**4)),
        ([constant(0.0)] * 4, Figure(0.0, n=4, p=1.0)),
        ([clustered([0.5] * 3)], Figure(0.5, n=3, p=2 / 2**3)),
    ],
)
def test_what_has_no_interval(by_seed: Sequence[Estimate], figure: Figure) -> None:
    """Nothing scored, one seed, two clusters; what is the same everywhere has a sign test."""
    assert over_seeds(by_seed) == figure
    assert over_seeds(by_seed, tested=False) == figure._replace(p=None)


def test_a_point_of_a_curve_that_does_not_vary_is_its_own_interval() -> None:
    line = curve([(1.0, [constant(0.5)] * 2), (2.0, [constant(0.5)]), (4.0, [constant(np.nan)])])
    assert line == (
        (1.0, Figure(0.5, 0.5, 0.5, 2)), (2.0, Figure(0.5, n=1)), (4.0, Figure(None, note="no item is scored")),
    )  # fmt: skip
    ((_, varies),) = curve([(1.0, [constant(0.4), constant(0.6)])])
    assert varies.lo is not None and varies.lo < 0.4 and varies.p is None


def test_p_is_corrected_after_holm_over_methods_and_figures_and_a_control_is_no_test() -> None:
    """Of .01, .03 and .04: three times the first, twice the second, and the last no less than that."""
    rows = {"target": {"x": Figure(1.0, p=0.001)}, "a": {"x": Figure(2.0, p=0.01), "y": Figure(3.0, p=0.04)},
            "b": {"x": Figure(4.0, p=0.03), "y": Figure(5.0)}}  # fmt: skip
    found = corrected(rows)
    assert {m: {t: f.p for t, f in of.items()} for m, of in found.items()} == {
        "target": {"x": None}, "a": {"x": pytest.approx(0.03), "y": pytest.approx(0.06)},
        "b": {"x": pytest.approx(0.06), "y": None},
    }  # fmt: skip
    assert [f.value for of in found.values() for f in of.values()] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert corrected({"a": {"x": Figure(1.0, p=0.0)}}) == {"a": {"x": Figure(1.0, p=0.0)}}
    assert corrected({"target": rows["target"]}) == {"target": {"x": Figure(1.0)}}


def material(*names: tuple[str, str, int]) -> Material:
    """Cells by method, task and seed."""
    cells = [Cell(task, method, "tiny", "embedded", seed) for method, task, seed in names]
    records = {cell: Record(cell, "ok", {}, {}, scores={"model_utility": Score(0.6)}) for cell in cells}
    return Material("sequence:tofu", "embedded", "tiny", "request", TASKS, records, lambda cell: pd.DataFrame())


def whole(*methods: str, seeds: Sequence[int] = (0,)) -> list[tuple[str, str, int]]:
    return [(method, task, seed) for method in methods for task in TASKS.values() for seed in seeds]


def test_a_seed_counts_where_the_method_target_and_retrain_have_every_task() -> None:
    names = whole("target", "retrain", "m", "a", seeds=(2, 0, 1))
    gone = {("m", TASKS[1.0], 0), ("retrain", TASKS[2.0], 1), ("a", TASKS[1.0], 0), ("a", TASKS[2.0], 2)}
    own = material(*(name for name in names if name not in gone), *whole("m@variant"), ("other", "tofu:forget10", 0))
    assert own.seeds_of("target") == own.seeds_of("retrain") == (0, 2)
    assert own.seeds_of("m") == (2,) and own.seeds_of("a") == ()
    assert own.methods == ["target", "m"]
    assert material(*whole("target", "m", "b")).methods == []


def test_cells_that_count_nowhere_are_named_with_their_seeds() -> None:
    names = whole("target", "m", "m@variant", "a", seeds=(2, 0, 1))
    own = material(*names, ("other", "tofu:forget10", 0))
    why = "in no figure, for not every step has a cell that follows from the one before it"
    for of in (own, dataclasses.replace(own, records={}, cells=tuple(own.records))):
        told = of.lacking({"m": (1,), "target": ()})
        assert [note.partition(" (not run")[0] for note in told] == [f"a, seed 0, 1, 2: {why}", f"m, seed 0, 2: {why}"]
    assert own.lacking({"m": (0, 1, 2), "a": (0, 1, 2)}) == ()


def test_the_utility_of_a_cell_is_the_score_that_its_task_names() -> None:
    own = material(*whole("m"))
    first, _ = own.records
    assert own.utility("m", first.task, 0) == 0.6
    for scores in ({}, {"model_utility": Score(None, note="none")}, {"rouge": Score(0.1)}):
        bare = dataclasses.replace(own, records={first: dataclasses.replace(own.records[first], scores=scores)})
        assert np.isnan(bare.utility("m", first.task, 0))
