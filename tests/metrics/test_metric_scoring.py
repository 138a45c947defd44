"""Item tables and scores as a whole: order, bounds, what is unscored, intervals, refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.errors import BenchError, UsageError
from bench.metrics import _items
from bench.metrics._asked import ASKED_FOR
from bench.metrics._forms import harmonic_mean, mean
from bench.metrics._items import Items
from bench.metrics._tokens import mean_of
from bench.score import scoring
from bench.score.scoring import build, item_table, score_items
from bench.stats import two_sample

NAMES = registry.names("metric")
PARTS = [f"{s}_{p}" for s in ("retain", "ra", "wf") for p in ("probability", "rouge", "truth_ratio")]


@pytest.fixture(scope="module")
def tables(rows_of, some_items) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Item tables of a model and of a retrain model."""
    return item_table(rows_of(some_items(0)), NAMES), item_table(rows_of(some_items(1, shift=0.5)), NAMES)


def test_every_metric_declares_itself() -> None:
    for name in NAMES:
        metric = build(name)
        assert metric.version >= 1 and metric.goal in ("maximise", "minimise", "match") and metric.title, name
        assert metric.needs and registry.find("metric", name).doc, name
        assert all(hasattr(Items, column) for _, column in metric.needs), name


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1000))
def test_the_order_of_rows_is_nothing(rows_of, some_items, seed: int) -> None:
    """Items, texts and generations shuffled: the same table, the same scores, the same intervals, to the bit."""
    items = some_items(7)
    shuffled = [items[i] for i in np.random.default_rng(seed).permutation(len(items))]
    rows = rows_of(shuffled)
    rows = dataclasses.replace(rows, generations=rows.generations.sample(frac=1, random_state=seed))
    plain, other = item_table(rows_of(items), NAMES), item_table(rows, NAMES)
    pd.testing.assert_frame_equal(plain, other)
    lines = other.sample(frac=1, random_state=seed)
    assert score_items(plain, plain, NAMES) == score_items(lines, lines, NAMES)


def test_the_table_is_compact(tables) -> None:
    table = tables[0]
    assert table.columns[:3].tolist() == ["set", "id", "cluster"]
    assert set(map(str, table.dtypes[3:])) == {"float32"}
    assert table.exact_memorisation[table["set"] != "forget"].isna().all()  # no metric needs it elsewhere


def test_scores_lie_in_bounds_and_their_intervals(tables) -> None:
    for name, score in score_items(*tables, NAMES).items():
        if any(name in asked for asked in ASKED_FOR.values()):
            assert score.value is None and "--probes" in score.note
            continue
        assert score.n > 0 and score.note == ""
        assert score.lo <= score.hi, name
        assert score.lo <= score.value <= score.hi, name
        if build(name).scale == "share":
            assert score.lo >= 0 and score.hi <= 1, name


def test_utility_is_the_harmonic_mean_of_its_nine_scores(tables) -> None:
    scores = score_items(tables[0], None, [*PARTS, "model_utility"])
    assert scores["model_utility"].value == pytest.approx(9 / sum(1 / scores[name].value for name in PARTS))


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=9))
def test_harmonic_mean_lies_between_its_parts_and_grows_with_them(parts: list[float]) -> None:
    of = lambda *values: float(harmonic_mean([np.array(v) for v in values]))  # noqa: E731
    value = of(*parts)
    assert min(parts) * (1 - 1e-12) <= value <= sum(parts) / len(parts) * (1 + 1e-12)
    assert of(*parts[:-1], min(parts[-1] * 1.5, 1)) >= value
    assert of(*parts, 0.0) == 0


def test_an_unscored_item_is_counted_and_left_out(rows_of, some_items) -> None:
    """One NaN among the forget losses: the mean is that of the eleven others."""
    items = some_items(3)
    sick = next(i for i in items if i["set"] == "forget")
    sick["answer"]["logp"] = [float("nan")] * 2
    sick["answer"].update(hit=[1, 1], mean=[0, 0], var=[1, 1])
    table = item_table(rows_of(items), NAMES)
    scores = score_items(table, table, NAMES)
    healthy = table[(table["set"] == "forget") & (table.id != sick["id"])]
    in_double = np.exp(-healthy.loss.astype(float)).mean()
    assert scores["probability"].value == pytest.approx(in_double, rel=1e-12)
    assert (scores["probability"].n, scores["probability"].note) == (11, "1 unscored")
    assert (scores["mia_auc"].n, scores["mia_auc"].note) == (23, "1 unscored")
    assert scores["rouge"].n == 12  # its text is there all the same
    assert score_items(table, None, ["probability"], compat="tofu")["probability"].value is None


def test_infinite_losses_are_unscored(rows_of) -> None:
    rows = rows_of([{"set": "forget", "id": "a", "answer": {"logp": [-np.inf, -1.0]}}])
    score = score_items(item_table(rows, ["probability"]), None, ["probability"])["probability"]
    assert score.value is None and "forget" in score.note


@pytest.mark.parametrize(("compat", "expected"), [("", np.nan), ("tofu", -np.inf)])
def test_an_infinite_statistic_is_kept_under_a_published_behaviour_only(rows_of, compat: str, expected: float) -> None:
    rows = rows_of([{"set": s, "id": s, "answer": {"logp": [-1.0]}} for s in ("forget", "holdout")])
    rows = dataclasses.replace(rows, texts=rows.texts.assign(reference_loss=[np.inf, 3.0]))
    found = item_table(rows, ["mia_reference"], compat).excess_loss
    assert found.tolist() == pytest.approx([expected, -2.0], nan_ok=True)


def test_a_statistic_in_single_precision_is_taken_and_left_as_it_is(rows_of) -> None:
    """That of a set that no metric asks of is dropped from the table, not from the rows."""
    rows = rows_of([{"set": s, "id": "0", "question": ["a", "b"]} for s in ("forget", "other")])
    rows = dataclasses.replace(rows, generations=rows.generations.assign(abstained=np.ones(2, np.float32)))
    table = item_table(rows, ["abstention_forget"])
    assert table.abstained.tolist() == pytest.approx([1.0, np.nan], nan_ok=True)
    assert rows.generations.abstained.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("compat", ["", "open-unlearning"])
def test_what_many_statistics_rest_on_is_computed_once(monkeypatch, rows_of, some_items, compat: str) -> None:
    """The losses of all texts, which both probability and the truth ratio read."""
    calls = []
    monkeypatch.setattr(_items, "mean_of", lambda values: calls.append(values) or mean_of(values))
    item_table(rows_of(some_items(0)), ["probability", "retain_probability", "forget_quality"], compat)
    assert len(calls) == 1


def test_an_item_is_one_line_whatever_cluster_its_answers_name(rows_of) -> None:
    rows = rows_of([{"set": "forget", "id": "0", "cluster": "a", "answer": {"logp": [-1.0]}, "question": ["a", "a"]}])
    rows = dataclasses.replace(rows, generations=rows.generations.assign(cluster="b"))
    assert item_table(rows, ["probability", "rouge"])[["id", "cluster", "rouge"]].to_numpy().tolist() == [["0", "a", 1]]


def test_a_collapsed_model_has_no_numbers_and_no_crash(rows_of, some_items) -> None:
    items = some_items(4)
    for item in items:
        for text in [item.get("answer"), item.get("paraphrase"), *item.get("perturbed", [])]:
            if text:
                text["logp"] = [float("nan")] * len(text["logp"])
    table = item_table(rows_of(items), NAMES)
    scores = score_items(table, item_table(rows_of(some_items(5)), NAMES), NAMES)
    assert all(scores[n].value is None for n in ("forget_quality", "model_utility", "mia_auc", "probability"))


def test_no_holdout_says_so(tables) -> None:
    items = tables[0][tables[0]["set"] != "holdout"]
    score = score_items(items, None, ["mia_auc"])["mia_auc"]
    assert score == (None, None, None, 0, "no holdout split in this data: membership inference needs non-members")


def forget_table(ratios) -> pd.DataFrame:
    """An item table of the forget set with one column; each item is a cluster."""
    ids = list("abcdefgh"[: len(ratios)])
    return pd.DataFrame({"set": "forget", "id": ids, "cluster": ids, "log_truth_ratio": np.array(ratios, np.float32)})


@pytest.mark.parametrize(
    ("own", "retrain", "note"),
    [
        ([], [], "no items of the forget set"),
        ([np.nan] * 2, [1, 2], "no item of the forget set is scored for log_truth_ratio"),
        ([1, 2], [np.nan] * 2, "no item of the forget set is scored for log_truth_ratio in the retrain model"),
        ([1, np.nan], [np.nan, 2], "no item of the forget set is scored in both models"),
        ([1, 2], None, "needs the retrain model's items to compare with"),
    ],
)
def test_why_there_is_no_value_is_said(own, retrain, note: str) -> None:
    score = score_items(forget_table(own), None if retrain is None else forget_table(retrain), ["forget_quality"])[
        "forget_quality"
    ]
    assert score == (None, None, None, 0, note)


def test_a_comparison_is_of_what_both_models_scored() -> None:
    """Two items are unscored in one model and one in the other; what is left of one item a side is no evidence."""
    own, retrain = forget_table([np.nan, np.nan, 3, 4]), forget_table([1, 2, 5, np.nan])
    assert score_items(own, retrain, ["forget_quality"])["forget_quality"] == (1.0, None, None, 1, "3 unscored")


def test_an_item_that_one_model_has_twice_is_refused() -> None:
    twice = pd.concat([forget_table([1, 2]), forget_table([1])])
    with pytest.raises(
        UsageError,
        match=r"of the forget set \(3 against 2; for one, 'a' is not once in both\)\. Measure both on one task\.$",
    ):
        score_items(forget_table([1, 2]), twice, ["forget_quality"])


class Least:
    """A metric that says of itself no more than it must."""

    needs, needs_retrain = (("forget", "log_truth_ratio"),), False

    def score(self, sample, retrain):
        return np.min(sample[self.needs[0]], axis=-1)


def test_a_metric_that_says_nothing_of_its_range_has_none(monkeypatch) -> None:
    """Without 1 the least is 2, without another it stays: jackknife 3/4 (9/16 + 3/16) = 9/16, t(3) at 0.975 3.182."""
    monkeypatch.setattr(scoring.registry, "load", lambda kind, name: Least)
    own, nobodys = forget_table([1, 2, 3, 4]), forget_table([np.nan])
    found = score_items(own, None, ["least"])["least"]
    assert found == score_items(own, nobodys, ["least"])["least"] == score_items(own, None, ["least"], "tofu")["least"]
    assert (found.value, found.n, found.note) == (1.0, 4, "")
    assert (found.lo, found.hi) == pytest.approx((1 - 3.182446 * 3 / 4, 1 + 3.182446 * 3 / 4))


@pytest.mark.parametrize(("values", "more"), [([1, 2], ""), ([1, 2, np.nan], " (1 unscored)")])
def test_a_number_that_is_not_defined_says_of_how_many_items(monkeypatch, values, more: str) -> None:
    monkeypatch.setattr(scoring.registry, "load", lambda kind, name: Least)
    monkeypatch.setattr(Least, "score", lambda self, sample, retrain: np.float64(np.nan))
    found = score_items(forget_table(values), None, ["least"])["least"]
    assert found == (None, None, None, 2, "undefined on these items" + more)


def test_one_item_has_no_known_interval(tables) -> None:
    table = tables[0]
    one = table[(table["set"] != "forget") | (table.id == "forget-000")]
    scores = score_items(one, None, ["probability", "mia_auc", "mia_score"])
    for score in scores.values():
        assert score.value is not None and score.lo is None and score.hi is None


def test_clusters_not_items_make_the_interval(rows_of) -> None:
    """Items of a cluster are copies: ten of each change nothing, and taken for clusters they would say too much."""
    logp = {cluster: -0.1 * cluster for cluster in range(1, 7)}

    def table(copies: int) -> pd.DataFrame:
        items = [
            {"set": "forget", "id": f"{c}-{i}", "cluster": str(c), "answer": {"logp": [v]}}
            for c, v in logp.items()
            for i in range(copies)
        ]
        return item_table(rows_of(items), ["probability"])

    one, ten = (score_items(table(n), None, ["probability"])["probability"] for n in (1, 10))
    assert (ten.lo, ten.hi) == pytest.approx((one.lo, one.hi), rel=1e-6)
    by_item = score_items(table(10).assign(cluster=table(10).id), None, ["probability"])["probability"]
    assert one.lo < by_item.lo < by_item.hi < one.hi


def test_two_clusters_have_no_interval(rows_of) -> None:
    """With two its coverage cannot be had; with three it can."""
    items = [
        {"set": "forget", "id": f"{c}-{i}", "cluster": str(c), "answer": {"logp": [-0.1 * c - 0.01 * i]}}
        for c in range(3)
        for i in range(4)
    ]
    table = item_table(rows_of(items), ["probability"])
    three = score_items(table, None, ["probability"])["probability"]
    two = score_items(table[table.cluster != "0"], None, ["probability"])["probability"]
    assert three.lo < three.value < three.hi
    assert two.value is not None and (two.lo, two.hi) == (None, None)


def test_one_cluster_counts_its_items(rows_of) -> None:
    """One author says nothing of others: the interval is that of items that do not hang together."""
    items = [{"set": "forget", "id": str(i), "cluster": "author", "answer": {"logp": [-i]}} for i in range(1, 9)]
    table = item_table(rows_of(items), ["probability"])
    score = score_items(table, None, ["probability"])["probability"]
    assert score.lo < score.value < score.hi


def test_other_items_in_the_retrain_model_are_refused(tables) -> None:
    with pytest.raises(UsageError, match=r"other items of the forget set \(11 against 12; for one, 'forget-003'"):
        score_items(tables[0], tables[1][tables[1].id != "forget-003"], ["forget_quality"])


def test_an_item_measured_twice_is_refused(rows_of, some_items) -> None:
    items = some_items(0, n=2)
    again = {**items[0], "cluster": "another", "answer": {"logp": [-9.0], "text": "said otherwise"}}
    for second in (items[0], again):
        with pytest.raises(BenchError, match="forget/forget-000/answer/0 was measured twice"):
            item_table(rows_of([*items, second]), ["probability"])


def test_unknown_compat_is_refused(tables) -> None:
    with pytest.raises(UsageError, match="no compat 'ou'. Known: tofu, tofu-training, open-unlearning;"):
        score_items(*tables, ["rouge"], compat="ou")


def test_probes_that_were_run_are_scored(rows_of) -> None:
    rows = rows_of([{"set": s, "id": s, "answer": {"logp": [-1.0]}} for s in ("forget", "holdout")])
    rows = dataclasses.replace(rows, texts=rows.texts.assign(reference_loss=[3.0, 1.5], gradient_norm=[2.0, 1.0]))
    names = ["mia_reference", "mia_gradient_norm"]
    scores = score_items(item_table(rows, names), None, names)
    assert (scores["mia_reference"].value, scores["mia_gradient_norm"].value) == (1.0, 0.0)


def test_both_general_sets_weigh_alike_in_abstention(rows_of) -> None:
    """Half of two and a quarter of four: (1/2 + 1/4) / 2, not two of six."""
    refused = {"real_authors": [1.0, 0.0], "world_facts": [1.0, 0.0, 0.0, 0.0]}
    asked = [(name, str(i), value) for name, of in refused.items() for i, value in enumerate(of)]
    rows = rows_of([{"set": name, "id": i, "question": ["a", "b"]} for name, i, _ in asked])
    rows = dataclasses.replace(rows, generations=rows.generations.assign(abstained=[value for *_, value in asked]))
    table = item_table(rows, ["abstention_general"])
    assert score_items(table, None, ["abstention_general"])["abstention_general"].value == 0.375


def test_mean_of_nothing_is_unknown() -> None:
    assert np.isnan(mean(np.array([np.nan]))) and mean(np.array([1.0, np.nan])) == 1.0
    assert np.isnan(mean(np.array([1.0, np.nan]), "tofu"))


def test_forget_quality_does_not_depend_on_the_map() -> None:
    """KS sees only order: R, 1/R and log R give one p."""
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    assert two_sample.ks_pvalue(x, y) == two_sample.ks_pvalue(np.exp(x), np.exp(y)) == two_sample.ks_pvalue(-x, -y)


def test_the_documentation_names_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in page] == []
