"""Sizes at which a method fails, from records whose truth is planted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from bench.api import Score
from bench.compare.studies import found, scale
from bench.compare.studies.scale import EXCESS, EXCESS_SLOPE, FORGETS, HOLDS, UTILITY, UTILITY_SLOPE, crossing
from bench.compare.studies.study import Figure, Material, Study, item_mean, over_seeds, slope
from bench.store.record import RETRAIN, TARGET, Cell, Record
from tasks.scale import SIZES

ROWS, UNKNOWN, SEEDS = 6, 0.1, (0, 1, 2)
Plan = Callable[[float, int], tuple[float, float]]
"""Size and seed to what is known (1 is all that target knows beyond retrain), and utility by retrain's."""


def asked(size: float) -> list[str]:
    return [f"author-{n:03d}" for n in range(200 - min(2 * int(size), 20), 200)]


def table(size: float, known: float, noise: float, seed: int) -> pd.DataFrame:
    authors = np.repeat(asked(size), ROWS)
    own = {name: np.random.default_rng([seed, int(name[-3:])]).normal(0, noise, ROWS) for name in asked(size)}
    values = UNKNOWN + 0.8 * known + np.concatenate([own[name] for name in asked(size)])
    ids = [f"{a}-{n % ROWS}" for n, a in enumerate(authors)]
    forget = pd.DataFrame({"set": "forget", "cluster": authors, "extraction_strength": values}, index=ids)
    other = pd.DataFrame({"set": "retain", "cluster": "author-000", "extraction_strength": 1.0}, index=["r"])
    return pd.concat([forget, other]).rename_axis("id")


def material(
    methods: Mapping[str, Plan],
    sizes: Sequence[int] = SIZES,
    seeds: Sequence[int] = SEEDS,
    noise: float = 0.0,
    without: Sequence[tuple[str, int, int]] = (),
    name: str = "scale:tofu",
) -> Material:
    plans = {RETRAIN: lambda z, s: (0.0, 1.0), TARGET: lambda z, s: (1.0, 1.0), **methods}
    records, tables = {}, {}
    for method, plan in plans.items():
        for size in sizes:
            for seed in seeds:
                if (method, size, seed) in without:
                    continue
                cell = Cell(f"{name}:{size:02d}", method, "tiny", "embedded", seed)
                known, kept = plan(size, seed)
                scores = {"model_utility": Score(0.8 * kept)}
                records[cell] = Record(cell, "ok", {}, {}, scores=scores)
                own = noise if method not in (RETRAIN, TARGET) else 0.0
                tables[cell] = table(size, known, own, seed)
    tasks = {float(z): f"{name}:{z:02d}" for z in sizes}
    return Material(name, "embedded", "tiny", "authors forgotten, %", tasks, records, tables.__getitem__)


def made(methods: Mapping[str, Plan], **of: object) -> Study:
    study = scale.study(material(methods, **of))  # type: ignore[arg-type]
    assert study is not None
    return study


def test_target_forgets_nothing_and_never_falls() -> None:
    row = made({}).rows[TARGET]
    assert (row[HOLDS].value, row[HOLDS].note) == (None, "> 50")
    assert (row[FORGETS].value, row[FORGETS].note) == (None, "< 1")
    assert row[EXCESS].value == pytest.approx(0.8) and row[EXCESS_SLOPE].value == pytest.approx(0)
    assert row[UTILITY].value == pytest.approx(0) and row[UTILITY_SLOPE].value == pytest.approx(0)
    assert row[EXCESS].p is None, "a control is no test"


def test_retraining_as_a_method_is_retrain() -> None:
    study = made({"copy": lambda z, s: (0.0, 1.0)})
    row = study.rows["copy"]
    assert [row[t].note for t in (HOLDS, FORGETS)] == ["> 50", "> 50"]
    assert all(row[t].value == pytest.approx(0, abs=1e-12) for t in (EXCESS, EXCESS_SLOPE, UTILITY, UTILITY_SLOPE))
    assert all(f.value == pytest.approx(0) for _, f in study.curves[0].lines["copy"])
    assert all(f.value == pytest.approx(1) for _, f in study.curves[1].lines["copy"])


def test_planted_curves_give_the_planted_sizes() -> None:
    """Utility falls by 0.05 a doubling, so it is 0.9 at size 4, whatever sizes were run beside it; excess alike."""
    study = made({"falls": lambda z, s: (0.02 * math.log2(z), 1 - 0.05 * math.log2(z))})
    row = study.rows["falls"]
    assert row[HOLDS].value == pytest.approx(4) and row[FORGETS].value == pytest.approx(32)
    assert row[UTILITY_SLOPE].value == pytest.approx(-0.05)
    assert row[EXCESS_SLOPE].value == pytest.approx(0.8 * 0.02)
    middle = math.log2(50) / 2  # trapezoids are exact for a line
    assert row[UTILITY].value == pytest.approx(-0.05 * middle)
    assert row[EXCESS].value == pytest.approx(0.8 * 0.02 * middle)
    assert [z for z, _ in study.curves[1].lines["falls"]] == [float(z) for z in SIZES]
    assert not any(note.startswith("Only") for note in study.notes), "all sizes were run"
    beyond = [f.value for _, f in study.curves[0].lines["falls"]]
    assert beyond == pytest.approx([0.8 * 0.02 * math.log2(z) for z in SIZES])


def test_seeds_give_the_size_an_interval_and_its_ends_are_not_made_up() -> None:
    near = made({"m": lambda z, s: (0, 1 - (0.05 + 0.001 * s) * math.log2(z))}).rows["m"][HOLDS]
    assert near.lo is not None and near.hi is not None
    assert near.lo < near.value < near.hi and near.note == ""
    far = made({"m": lambda z, s: (0, 1 - (0.03 + 0.01 * s) * math.log2(z))}).rows["m"][HOLDS]
    assert far.value == pytest.approx(2 ** (0.1 / 0.04)) and (far.lo, far.hi) == (None, None)
    assert far.note.endswith("to > 50")


def test_an_interval_that_is_of_another_passing_is_not_given() -> None:
    """At 1, of two authors, nothing has an interval: what the bands first pass is the curve's second passing."""

    def point(value: float, width: float | None) -> Figure:
        return Figure(value) if width is None else Figure(value, value - width, value + width)

    once = [(1.0, point(1.0, 0.05)), (4.0, point(0.95, 0.05)), (16.0, point(0.5, 0.05))]
    found = scale.threshold(once, 0.9, above=False)
    assert found.lo is not None and found.lo < found.value < found.hi
    twice = [(1.0, point(1.0, None)), (2.0, point(0.5, None)), (4.0, point(1.0, 0.05)), (16.0, point(0.5, 0.05))]
    found = scale.threshold(twice, 0.9, above=False)
    assert 1 < found.value < 2 and found.lo is found.hi is None
    assert found.note == "again at 4, no interval"


def test_one_seed_has_no_interval_of_utility() -> None:
    row = made({"m": lambda z, s: (0, 1 - 0.05 * math.log2(z))}, seeds=(0,)).rows["m"]
    assert row[HOLDS] == Figure(pytest.approx(4), n=1) and row[UTILITY_SLOPE].p is None


def test_knowing_less_than_retrain_is_no_failure_to_forget() -> None:
    row = made({"m": lambda z, s: (-0.1, 1.0)}).rows["m"]
    assert row[FORGETS].note == "> 50" and row[EXCESS].value == pytest.approx(-0.08)


def test_failing_at_the_small_end_is_not_forgetting_no_longer() -> None:
    """Few items make few updates: at 1% it does not forget yet, and what is asked is where it stops to."""
    row = made({"m": lambda z, s: (0.4 if z == 1 else 0.0 if z < 50 else 0.2, 1.0)}).rows["m"]
    assert row[FORGETS].value == pytest.approx(20 * 2.5**0.5) and row[FORGETS].note == "not at 1"
    row = made({"m": lambda z, s: (0.4 if z == 1 else 0.0, 1.0)}).rows["m"]
    assert (row[FORGETS].value, row[FORGETS].note) == (None, "> 50, not at 1")


def test_two_authors_have_no_interval_and_twenty_have() -> None:
    lines = made({"m": lambda z, s: (0.5, 1.0)}, noise=0.05, seeds=(0,)).curves[0].lines["m"]
    assert [(f.n, f.lo is None) for _, f in lines] == [(2, True), (4, False), (10, False), *[(20, False)] * 3]


def test_a_size_that_is_missing_is_said_and_nothing_is_put_in_its_place() -> None:
    """What falls before it is known; what does not is known up to there; means over all sizes are not."""
    without = [("m", 50, s) for s in SEEDS]
    study = made({"m": lambda z, s: (0, 1 - 0.05 * math.log2(z))}, without=without)
    row = study.rows["m"]
    assert row[HOLDS].value == pytest.approx(4) and row[HOLDS].note == "no cell at 50%"
    assert row[FORGETS].note == "> 20, no cell at 50%"
    assert row[EXCESS] == Figure(None, note="no cell at 50%")
    assert "m has no cell at 50% (not run, failed or diverged)." in study.notes
    one = made({"m": lambda z, s: (0, 1.0)}, without=[("m", 50, 1)])
    assert one.rows["m"][HOLDS].n == 2 and "m lacks cells of seed 1, which count nowhere." in one.notes


def test_the_largest_sizes_are_left_out_until_some_seed_has_all_that_are_left() -> None:
    """Seeds 0 and 2 lack 50 and seed 1 lacks 20: without 50 the first two have all, and seed 1 counts nowhere."""
    without = [("m", 50, 0), ("m", 20, 1), ("m", 50, 2)]
    study = made({"m": lambda z, s: (0, 1 - 0.05 * math.log2(z))}, without=without)
    assert [z for z, _ in study.curves[1].lines["m"]] == [1, 2, 5, 10, 20]
    assert study.rows["m"][HOLDS].n == 2 and study.rows["m"][HOLDS].note == "no cell at 50%"
    assert "m lacks cells of seed 1, which count nowhere." in study.notes


def test_no_seed_of_retrain_needs_to_have_every_size() -> None:
    """Seed 0 lacks 50 and the others 1: whose items a size asks for is known of each size by itself."""
    without = [(RETRAIN, 50, 0), (RETRAIN, 1, 1), (RETRAIN, 1, 2)]
    line = made({"m": lambda z, s: (0.5, 1.0)}, without=without).curves[0].lines["m"]
    assert [(z, f.value) for z, f in line] == [(z, pytest.approx(0.4)) for z in (1, 2, 5, 10, 20)]


def test_a_study_says_what_it_is_of() -> None:
    study = made({"m": lambda z, s: (0, 1.0), "m@variant": lambda z, s: (0, 1.0)}, without=[("m", 1, 0)])
    said = (study.name, study.data, study.model, study.title, study.axis, study.seeds)
    title = "Growing forget sets, as many passes at every size"
    assert said == ("scale:tofu", "embedded", "tiny", title, "authors forgotten, %", SEEDS)
    assert [(curves.title, curves.y, curves.log) for curves in study.curves] == [
        ("Known beyond retrain's", "K - R", True), ("Utility beside retrain's", "U / Ur", True),
    ]  # fmt: skip
    assert list(study.rows) == [TARGET, "m"] and study.columns == scale.COLUMNS


@pytest.mark.parametrize(
    ("first", "last", "at", "ends", "note"),
    [
        ((0.95, 1.0, 1.05), (0.65, 0.8, 0.95), 2.0, (None, None), "95%: 1.26 to > 4"),  # 4^(1/6)
        ((0.95, 1.0, 1.05), (0.85, 0.95, 1.05), None, (None, None), "> 4, 95%: 2 to > 4"),
        ((0.95, 1.0, 1.05), (0.93, 0.98, 1.03), None, (None, None), "> 4"),
        ((0.75, 0.8, 0.85), (0.65, 0.7, 0.75), None, (None, None), "< 1"),
        ((0.75, 0.85, 0.95), (0.65, 0.7, 0.75), None, (None, None), "< 1, 95%: < 1 to 1.41"),
        ((0.91, 1.0, 1.05), (0.81, 0.8, 0.85), 2.0, (4**0.1, 4**0.75), ""),
    ],
)
def test_the_interval_of_a_size_is_where_the_interval_of_the_curve_meets_the_level(first, last, at, ends, note) -> None:
    """Of a curve at 1 and 4 with its interval at both, on log size between them; clusters are the fewest of a size."""
    line = [(z, Figure(value, lo, hi, n)) for z, (lo, value, hi), n in ((1.0, first, 3), (4.0, last, 5))]
    found = scale.threshold(line, 0.9, above=False)
    assert found == Figure(pytest.approx(at), *(pytest.approx(end) for end in ends), n=3, note=note)
    mirrored = [(z, Figure(-f.value, -f.hi, -f.lo, f.n)) for z, f in line]
    assert scale.threshold(mirrored, -0.9, above=True) == found


def test_sizes_that_were_not_run_are_named() -> None:
    study = made({"m": lambda z, s: (0, 1.0)}, sizes=(1, 10, 50))
    assert any(note.startswith("Only 1, 10, 50% were run") for note in study.notes)
    assert scale.study(material({}, sizes=(10,))) is None and made({}, sizes=(10, 50)).rows


def test_where_target_knows_no_more_than_retrain_no_share_is_taken() -> None:
    study = made(
        {TARGET: lambda z, s: (1.0 if z > 1 else 0.05, 1.0), "m": lambda z, s: (0.0 if 1 < z < 20 else 0.5, 1.0)}
    )
    assert 10 < study.rows["m"][FORGETS].value < 20 and study.rows["m"][FORGETS].note == ""
    same = made({TARGET: lambda z, s: (0.0, 1.0)})
    assert same.rows[TARGET][FORGETS] == Figure(None, note="no size is scored")


def test_p_is_corrected_over_methods_and_figures() -> None:
    study = made({"a": lambda z, s: (0.5, 0.9 + 0.001 * s), "b": lambda z, s: (0.5, 0.8 + 0.001 * s)}, noise=0.05)
    ps = [f.p for m in ("a", "b") for f in study.rows[m].values() if f.p is not None]
    assert len(ps) == 8 and study.rows["a"][EXCESS].p < 0.001
    assert all(row[t].p is None for row in study.rows.values() for t in (HOLDS, FORGETS))


def test_it_is_found_by_the_name_of_its_series() -> None:
    assert found.KINDS[found.kind("scale:tofu")] is found.KINDS[found.kind("scale-steps:tofu")] is scale.study
    assert found.series_of("scale-steps:tofu:20") == ("scale-steps:tofu", "authors forgotten, %", 20, 6)
    titles = [made({}, name=name).title for name in ("scale:tofu", "scale-steps:tofu")]
    assert "passes" in titles[0] and "updates" in titles[1]


@pytest.mark.parametrize(
    ("values", "at", "note"),
    [
        ([0, 0, 0], None, "> 4"),
        ([1, 1, 1], None, "< 1"),
        ([1, 0, 1], 2 * math.sqrt(2), "not at 1"),
        ([1, 1, 0], None, "> 4, not at 1, 2"),
        ([0, 1, 1], math.sqrt(2), ""),
        ([0, 0, 1], 2 * math.sqrt(2), ""),
        ([0, 1, 0], math.sqrt(2), "again at 4"),
        ([0.5, 0.5, 1], 2, ""),
    ],
)
def test_crossings(values: Sequence[float], at: float | None, note: str) -> None:
    points = list(zip((1.0, 2.0, 4.0), values, strict=True))
    size, said = crossing(points, 0.5, above=True)
    assert (size, said) == (at if at is None else pytest.approx(at), note)
    mirrored = [(z, -v) for z, v in points]
    assert crossing(mirrored, -0.5, above=False) == (size, said)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [scale._mean_weights, lambda sizes: slope(np.log2(sizes))])
def test_intervals_over_sizes_hold_their_level(weights: Callable[[Sequence[float]], np.ndarray]) -> None:
    """Authors who differ, the same at every size: 95% intervals hold 0 at least that often.

    With the authors counted alike, as if none carried more than another, they do in 93% and in 90% of the runs.
    """
    rng, held, runs = np.random.default_rng(5), 0, 500
    clusters = pd.Series(np.repeat(asked(50), ROWS))
    for _ in range(runs):
        author = dict(zip(asked(50), rng.normal(0, 1, 20), strict=True))
        steps = []
        for size in SIZES:
            values = clusters.map(author)
            steps.append(item_mean(values.where(clusters.isin(asked(size))), clusters, "author"))
        figure = over_seeds([scale.over_sizes(steps, weights(SIZES))])
        held += figure.lo <= 0 <= figure.hi
    assert held / runs >= 0.94


def test_a_constant_over_sizes_has_no_error_of_the_slope() -> None:
    """The same 20 authors at three sizes: what differs between them cancels in the slope and not in the mean."""
    clusters = pd.Series(np.repeat(asked(50), ROWS))
    known = item_mean(pd.Series(np.random.default_rng(1).random(len(clusters))), clusters, "author")
    rise = over_seeds([scale.over_sizes([known] * 3, slope(np.log2((10, 20, 50))))])
    level = over_seeds([scale.over_sizes([known] * 3, scale._mean_weights((10, 20, 50)))])
    plain = over_seeds([known])
    assert rise.value == pytest.approx(0) and (rise.lo, rise.p) == (None, 1.0)
    assert level == plain._replace(p=pytest.approx(plain.p), lo=pytest.approx(plain.lo), hi=pytest.approx(plain.hi),
                                   value=pytest.approx(plain.value))  # fmt: skip
