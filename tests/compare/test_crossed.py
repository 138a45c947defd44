"""What stands in a table and what does not: items of the rest, empty tables, copies, files that cannot be read."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

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


def test_each_set_has_the_items_that_most_have_of_it(tmp_path, on_disk, tables) -> None:
    """Two of three kinds of items: of retain the first cell is alone, of forget the last two are."""
    lone = {("target", 0): "retain", ("b", 0): "forget", ("b", 1): "forget"}
    for run, name in lone.items():
        frame = tables[run]
        frame.loc[frame["set"] == name, "id"] = "x" + frame["id"]
    found = load(tmp_path, on_disk(tmp_path, tables, ["rouge"]))
    assert {(c.method, c.seed): why for c, why in found.broken.items()} == {
        run: f"measured on other items of the {name} set than most of the table" for run, name in lone.items()
    }
    assert not [name for ids in found.crossed.ids.values() for name in ids if name.startswith("x")]


def test_items_and_clusters_are_those_of_the_file_in_the_order_of_their_ids(tmp_path, on_disk, tables) -> None:
    """Whatever columns stand between: every number is with its own item, in every set."""
    frame = tables["a", 0].sample(frac=1, random_state=3)
    frame = frame[[*reversed(frame.columns)]]
    records = on_disk(tmp_path, {("a", 0): frame}, ["rouge"])
    crossed = load(tmp_path, records).crossed
    for name, group in frame.sort_values("id").groupby("set"):
        assert crossed.ids[name] == list(group["id"]) and list(crossed.clusters[name]) == list(group["cluster"])
        for column in set(frame.columns) - {"set", "id", "cluster"}:
            own = crossed.values[Run("a", 0)][name, column]
            assert own == pytest.approx(group[column].to_numpy(), rel=1e-6)
    assert crossed.values.keys() == {Run("a", 0)} and crossed.seeds("a") == (0,) and crossed.seeds("b") == ()


def test_only_what_is_the_same_throughout_is_a_copy(tmp_path, on_disk, tables) -> None:
    """Another number of one item, or an unscored item more, is another run; the same holes are the same."""
    tables["a", 1], tables["b", 1] = tables["a", 0].copy(), tables["b", 0].copy()
    tables["a", 1].loc[7, "rouge"] = np.nan
    for seed in range(2):
        tables["b", seed].loc[5, "rouge"] = np.nan
    tables["target", 1] = tables["target", 0].drop(columns="loss")
    found = load(tmp_path, on_disk(tmp_path, tables))
    assert [(c.method, c.seed) for c in found.broken] == [("b", 1)] and not found.crossed.fixed
    assert set(found.broken.values()) == {"a copy of seed 0: every number of every item is the same"}


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


def test_items_are_paired_where_both_models_score_them(planted) -> None:
    crossed = planted(METHODS)
    need = ("forget", "log_truth_ratio")
    for method, lost in (("a", (0, 1, 2)), ("retrain", (2, 3))):
        of = crossed.values[Run(method, 0)]
        of[need] = np.where(np.isin(np.arange(60), lost), np.nan, of[need])
    assert crossed.paired(build("forget_quality"), Run("a", 0)) == 60 - 4
    assert crossed.paired(build("forget_quality"), Run("b", 0)) == 60 - 2


def test_what_compares_may_be_held_against_another_model(planted) -> None:
    """By default against retrain of its own seed; of a p-value the distance on request, and each is kept."""
    crossed, quality = planted(METHODS, (0, 1)), build("forget_quality")
    column = {run: of["forget", "log_truth_ratio"] for run, of in crossed.values.items()}
    one, own, other = Run("b", 0), Run("retrain", 0), Run("retrain", 1)
    for against, held in ((None, own), (own, own), (other, other)):
        ks = ks_2samp(column[one], column[held], method="asymp")
        far = crossed.estimate(quality, one, against, distance=True)
        assert far.value == pytest.approx(ks.statistic)
        assert crossed.estimate(quality, one, against, distance=True) is far
        assert crossed.distance(quality, one, against).estimate.value == far.value
        p = crossed.estimate(quality, one, against).value
        assert p == estimate(quality, crossed.values[one], crossed.values[held], crossed.strata).value < 1e-3
    assert crossed.estimate(ROUGE, one, other, distance=True).value == crossed.estimate(ROUGE, one).value


def test_what_a_metric_may_lack_it_needs_where_it_is() -> None:
    """Sets that a table does not have are not asked for; one that it has, and the run has nothing of, is."""
    metric = SimpleNamespace(needs=(("forget", "x"), ("more", "x")), needs_retrain=False, may_lack=("more",))
    ids, clusters = {"forget": ["a", "b"], "more": ["c"]}, {"forget": ["1", "2"], "more": ["3"]}
    values = {
        Run("m", 0): {("forget", "x"): np.ones(2)},
        Run("n", 0): {("forget", "x"): np.ones(2), ("more", "x"): np.ones(1)},
    }
    short = Crossed({"forget": ids["forget"]}, {"forget": clusters["forget"]}, {Run("m", 0): values[Run("m", 0)]})
    assert short.has(metric, Run("m", 0))
    whole = Crossed(ids, clusters, values)
    assert not whole.has(metric, Run("m", 0)) and whole.has(metric, Run("n", 0))
    nothing = SimpleNamespace(needs=(("more", "x"),), needs_retrain=False, may_lack=("more",))
    assert not Crossed(short.ids, short.clusters, short.values).has(nothing, Run("m", 0))
    plain = SimpleNamespace(needs=(("forget", "x"),), needs_retrain=False)
    assert Crossed(short.ids, short.clusters, short.values).has(plain, Run("m", 0))


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
