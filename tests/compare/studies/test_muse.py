"""MUSE's six criteria on made cells whose truth is planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from bench.api import Score
from bench.compare.studies import muse
from bench.compare.studies.found import KINDS, kind
from bench.compare.studies.study import Figure, Material, Study
from bench.store.record import Cell, Record

FOLDS, AUTHORS, EACH = 4, 20, 3
TASKS = {"muse:": {1.0: "muse"}} | {
    f"muse:{kind}:": {float(k): f"muse:{kind}:{k}" for k in range(1, FOLDS + 1)} for kind in ("scal", "sust")
}
Utility = Callable[[str, float], float]


def table(said: float, known: float, utility: float, random: np.random.Generator) -> pd.DataFrame:
    level = {"forget": ("completed", said), "forget_qa": ("answered", known), "retain_qa": ("answered", utility)}
    return pd.DataFrame(
        {"set": name, "id": f"{name}-{author}-{n}", "cluster": f"{name[:6]}-{author}",
         column: value + random.normal(0, 0.02)}
        for name, (column, value) in level.items() for author in range(AUTHORS) for n in range(EACH)
    ).set_index("id")  # fmt: skip


def study(
    utility: Utility,
    series: str = "muse:scal",
    asked: Sequence[str] = tuple(TASKS),
    seeds: int = 3,
    leak: Sequence[float | None] = (7.0, 7.0, 7.0),
    base: str = "muse",
    folds: int = FOLDS,
    first: int = 0,
) -> Study | None:
    """Of one method that says 0.3 and knows 0.4 more than retrain, with that utility by kind and fold.

    Args:
        base: the task whose folds are asked. first: the method's first seed.
    """
    random = np.random.default_rng(0)
    tables, leaks = {}, {"target": (-100.0,) * 3, "retrain": (0.0,) * 3, "method": leak}
    for which in asked:
        for k, name in TASKS[which].items():
            task = name.replace("muse", base, 1)
            for seed in range(seeds):
                cells = {m: Cell(task, m, "tiny", "embedded", seed) for m in leaks}
                tables[cells["target"]] = table(0.9, 0.9, 0.8, random)
                tables[cells["retrain"]] = table(0.2, 0.1, 0.7, random)
                tables[cells["method"]] = table(0.5, 0.5, utility(which, k), random)
    records = {
        cell: Record(cell, "ok", {}, {}, scores={"muse_privleak": Score(leaks[cell.method][cell.seed])})
        for cell in tables if cell.method != "method" or cell.seed >= first
    }  # fmt: skip
    tasks = {k: task.replace("muse", base, 1) for k, task in TASKS[f"{series}:"].items() if k <= folds}
    return muse.study(
        Material(series.replace("muse", base, 1), "embedded", "tiny", "folds", tasks, records, tables.__getitem__)
    )


def falling(which: str, k: float) -> float:
    """Utility beside retrain's 0.7: 0.6 of the whole, less 0.1 a fold, less 0.05 a request."""
    return {"muse:": 0.6, "muse:scal:": 0.7 - 0.1 * k, "muse:sust:": 0.7 - 0.05 * k}[which]


def test_the_series_have_their_study():
    assert {kind(f"{name}") for name in ("muse:scal", "muse:news:sust")} == {"muse"}
    assert KINDS["muse"] is muse.study


@pytest.mark.parametrize("series", ["muse:scal", "muse:sust"])
def test_six_criteria_are_what_was_planted_whichever_series_is_asked(series: str):
    row = study(falling, series).rows["method"]
    planted = {
        muse.VERBATIM: 0.3, muse.KNOWLEDGE: 0.4, muse.PRIVACY: 7.0, muse.UTILITY: -0.1, muse.SCALABILITY: -0.1,
        muse.SUSTAINABILITY: -0.05,
    }  # fmt: skip
    assert {name: figure.value for name, figure in row.items()} == pytest.approx(planted, abs=0.01)
    assert all(row[name].p < 0.01 and row[name].lo < planted[name] < row[name].hi for name in muse.TESTED)
    assert row[muse.PRIVACY].p is None


def test_retraining_costs_nothing_by_the_fold_and_target_is_no_test():
    rows = study(lambda which, k: 0.7).rows
    assert rows["method"][muse.SCALABILITY].value == pytest.approx(0, abs=0.005)
    assert rows["method"][muse.SCALABILITY].p > 0.05 and rows["method"][muse.UTILITY].p > 0.05
    assert all(figure.p is None for figure in rows["target"].values())


def test_privacy_leakage_is_the_mean_of_the_seeds_that_have_it():
    leaks = [study(falling, leak=leak).rows["method"][muse.PRIVACY] for leak in ((7.0, None, 10.0), (None,) * 3)]
    assert (leaks[0].value, leaks[0].n) == (8.5, 2)
    assert leaks[1] == Figure(None, note="undefined")


@pytest.mark.parametrize(
    ("series", "title"), [("muse:scal", "growing forget sets"), ("muse:sust", "requests one after another")]
)
def test_a_study_says_what_it_is_of(series: str, title: str):
    made = study(falling, series)
    said = (made.name, made.data, made.model, made.title, made.axis, made.seeds)
    assert said == (series, "embedded", "tiny", f"MUSE's six criteria, {title}", "folds", (0, 1, 2))
    assert [(curves.title, curves.y) for curves in made.curves] == [
        ("Verbatim memorisation", "verbatim memorisation"), ("Knowledge memorisation", "knowledge memorisation"),
        ("Model utility", "model utility"),
    ]  # fmt: skip
    assert made.notes == () and made.columns == muse.COLUMNS
    assert study(falling, series, first=2).seeds == (0, 1, 2)


def test_two_folds_of_another_corpus_are_enough_and_one_is_not():
    rows = study(falling, base="muse:news", folds=2).rows["method"]
    assert rows[muse.VERBATIM].value == pytest.approx(0.3, abs=0.01)
    assert rows[muse.SCALABILITY].value == pytest.approx(-0.1, abs=0.01)
    assert study(falling, folds=1) is None


def test_curves_are_of_the_series_that_is_asked_and_have_retrain_beside_them():
    made = study(falling, "muse:sust")
    utility = next(curves for curves in made.curves if curves.y == muse.UTILITY)
    assert [at for at, _ in utility.lines["method"]] == [1, 2, 3, 4]
    assert [f.value for _, f in utility.lines["method"]] == pytest.approx([0.65, 0.6, 0.55, 0.5], abs=0.01)
    assert [f.value for _, f in utility.lines["retrain"]] == pytest.approx([0.7] * 4, abs=0.01)


def test_what_was_not_run_is_no_column_and_is_named():
    made = study(falling, "muse:sust", ["muse:sust:"])
    assert made.rows["method"].keys() == {muse.SUSTAINABILITY}
    said = " ".join(made.notes)
    assert "the first four criteria (--tasks muse)" in said and "muse:scal:1,muse:scal:2" in said
    assert study(falling, "muse:sust", ["muse:scal:"]) is None


def test_one_seed_has_intervals_from_its_authors():
    row = study(falling, seeds=1).rows["method"]
    assert row[muse.SCALABILITY].lo < row[muse.SCALABILITY].hi
    assert row[muse.PRIVACY].lo is None
