"""What stands in a table and what does not: items of the rest, empty tables, copies, files that cannot be read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.compare.crossed import Crossed, Run, load
from bench.score.leave_out import estimate
from bench.score.limits import limits
from bench.score.scoring import build, score_items
from bench.store import files
from bench.store.record import Cell
from tests.compare.conftest import Planted, items

ROUGE = build("rouge")
METHODS = {"target": Planted(1), "retrain": Planted(0), "a": Planted(0.3), "b": Planted(0.6)}


@pytest.fixture
def tables() -> dict[tuple[str, int], pd.DataFrame]:
    return {(name, seed): items(model, seed) for name, model in METHODS.items() for seed in range(2)}


def test_one_seed_is_the_interval_of_the_cell(tmp_path, on_disk, tables) -> None:
    """A table of one seed and the score of its record rest on the same numbers, whatever the order of the lines."""
    frame = tables["a", 0].sample(frac=1, random_state=0)
    records = on_disk(tmp_path, {("a", 0): frame}, ["rouge"])
    crossed = load(tmp_path, records).crossed
    score = score_items(frame, None, ["rouge"])["rouge"]
    found = crossed.estimate(ROUGE, Run("a", 0))
    assert found.value == score.value
    assert limits(ROUGE, [found]) == (score.lo, score.hi)


def test_the_order_of_lines_is_nothing(tmp_path, on_disk, tables) -> None:
    shuffled = {run: frame.sample(frac=1, random_state=i) for i, (run, frame) in enumerate(tables.items())}
    one, other = (
        load(path, on_disk(path, t)).crossed for path, t in ((tmp_path / "1", tables), (tmp_path / "2", shuffled))
    )
    assert one.ids == other.ids and one.clusters == other.clusters
    assert all(
        (one.values[run][need] == other.values[run][need]).all() for run in one.values for need in one.values[run]
    )


def test_most_decide_which_items_are_the_tables(tmp_path, on_disk, tables) -> None:
    """One item of retrain's seed 0 has another id: that cell drops out, not all others."""
    records = on_disk(tmp_path, tables)
    odd = Cell("somewhere:task", "retrain", "tiny", "embedded", 0)
    frame = tables["retrain", 0]
    frame.loc[3, "id"] = "renamed"
    files.save(tmp_path, records[odd], frame)
    found = load(tmp_path, sorted(records, key=lambda c: c.method != "retrain"))
    assert found.broken == {odd: "measured on other items of the forget set than most of the table"}
    assert len(found.crossed.values) == len(tables) - 1
    assert not found.crossed.has(build("forget_quality"), Run("a", 0))  # its retrain model is gone
    assert found.crossed.has(build("forget_quality"), Run("a", 1))


def test_a_cell_that_was_asked_for_more_leaves_the_others_as_they_were(tmp_path, on_disk, tables) -> None:
    """A set that a probe has added to most cells: those that lack it stay, without a number of it."""
    more = {
        run: frame if run[0] == "retrain" else pd.concat([frame, frame[frame["set"] == "forget"].assign(set="more")])
        for run, frame in tables.items()
    }
    found = load(tmp_path, on_disk(tmp_path, more))
    assert not found.broken and "more" in found.crossed.ids
    assert {run.method for run in found.crossed.values} == {run[0] for run in tables}
    assert not [need for need in found.crossed.values[Run("retrain", 0)] if need[0] == "more"]


def test_an_empty_table_is_left_out(tmp_path, on_disk, tables) -> None:
    tables["b", 1] = tables["b", 1].iloc[:0]
    found = load(tmp_path, on_disk(tmp_path, tables))
    ((cell, why),) = found.broken.items()
    assert (cell.method, cell.seed) == ("b", 1) and "holds no item" in why
    assert found.crossed.seeds("b") == (0,)


def test_all_tables_empty_is_an_empty_table(tmp_path, on_disk, tables) -> None:
    found = load(tmp_path, on_disk(tmp_path, {run: frame.iloc[:0] for run, frame in tables.items()}))
    assert len(found.broken) == len(tables) and not found.crossed.values and not found.crossed.ids
    assert load(tmp_path, []).crossed.values == {}


def test_a_file_that_cannot_be_read_is_left_out(tmp_path, on_disk, tables) -> None:
    records = on_disk(tmp_path, tables)
    first, second, *_ = records
    files.items_path(tmp_path, first).write_bytes(b"PAR1 no more")
    files.items_path(tmp_path, second).unlink()
    found = load(tmp_path, records)
    assert set(found.broken) == {first, second} and all(found.broken.values())


def test_a_copied_seed_is_no_second_run(tmp_path, on_disk, tables) -> None:
    """The same numbers under another seed would halve every variance."""
    tables["a", 1] = tables["a", 0].copy()
    found = load(tmp_path, on_disk(tmp_path, tables))
    ((cell, why),) = found.broken.items()
    assert (cell.method, cell.seed) == ("a", 1) and why.startswith("a copy of seed 0")
    assert found.crossed.seeds("a") == (0,)


def test_two_ruined_runs_are_no_copies(tmp_path, on_disk, tables) -> None:
    """A model that is NaN throughout, or answers nothing, looks alike in every seed."""
    for seed in range(2):
        frame = tables["a", seed]
        frame.loc[:, frame.columns[3:]] = np.nan
        frame["rouge"] = 0.0
    found = load(tmp_path, on_disk(tmp_path, tables))
    assert not found.broken and found.crossed.seeds("a") == (0, 1)


def test_sets_of_the_same_documents_lose_them_together() -> None:
    labels = {"a": ["x", "y", "z"], "b": ["x", "x", "y", "y", "z", "z"], "c": ["u", "v", "w"]}
    crossed = Crossed({s: [str(i) for i in range(len(v))] for s, v in labels.items()}, labels, {})
    assert crossed.strata.of["a"] == crossed.strata.of["b"] != crossed.strata.of["c"]


def test_one_cluster_counts_its_items(tmp_path, on_disk, tables) -> None:
    """One author says nothing of others: each item stands for itself, in the table as in the cell."""
    one = {run: frame.assign(cluster="author") for run, frame in tables.items()}
    crossed = load(tmp_path, on_disk(tmp_path, one)).crossed
    assert len(set(crossed.clusters["forget"])) == len(crossed.ids["forget"])


def test_what_a_run_must_have(planted) -> None:
    crossed = planted(METHODS)
    assert crossed.has(ROUGE, Run("a", 0)) and not crossed.has(ROUGE, Run("a", 7))
    assert crossed.has(build("forget_quality"), Run("a", 0))
    assert not planted({"a": Planted(0.3)}).has(build("forget_quality"), Run("a", 0))
    assert not crossed.has(build("paraphrase_probability"), Run("a", 0))
    unscored = {**crossed.values[Run("a", 0)], ("forget", "rouge"): np.full(60, np.nan)}
    lacking = Crossed(crossed.ids, crossed.clusters, {**crossed.values, Run("a", 0): unscored})
    assert not lacking.has(ROUGE, Run("a", 0)) and lacking.has(ROUGE, Run("b", 0))


def test_runs_taken_together_are_what_each_is_alone(planted) -> None:
    """Means, AUCs, composites, what compares with retrain: without a cluster too, whoever lacks a value beside."""
    crossed = planted(METHODS | {"holes": Planted(0.5)}, (0, 1))
    holes = np.where(np.isin(np.arange(60), range(5, 9)), np.nan, 1.0)
    for name in ("loss", "rouge"):
        crossed.values[Run("holes", 1)]["forget", name] = crossed.values[Run("holes", 1)]["forget", name] * holes
    crossed.values[Run("b", 1)]["forget", "loss"] = np.full(60, np.nan)
    del crossed.values[Run("b", 0)]["holdout", "loss"]
    for metric in map(build, ("rouge", "truth_preference", "mia_auc", "mia_score", "mia_tpr_5", "forget_quality")):
        for run in crossed.values:
            if not crossed.has(metric, run):
                assert run.method == "b" and "loss" in str(metric.needs)
                continue
            retrain = crossed.values[Run("retrain", run.seed)] if metric.needs_retrain else None
            alone = estimate(metric, crossed.values[run], retrain, crossed.strata)
            found = crossed.estimate(metric, run)
            assert np.array_equal(found.value, alone.value, equal_nan=True)
            for home in alone.without:
                assert np.array_equal(found.without[home], alone.without[home], equal_nan=True), (metric, run)
                assert (found.sizes[home] == alone.sizes[home]).all(), (metric, run)
