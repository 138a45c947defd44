"""A metric without each cluster is the metric computed anew on the other items, for every metric there is."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.metrics._forms import Attack, RetrainTest
from bench.score import leave_out
from bench.score.estimates import Estimate, alike, combine, mean
from bench.score.leave_out import Stacked, Strata, estimate, gaps
from bench.score.limits import distance_limits, limits, p_limits
from bench.score.scoring import build
from bench.stats.two_sample import ks_pvalue, ks_statistic

NAMES = registry.names("metric")
ROUGE, AUC, QUALITY = build("rouge"), build("mia_auc"), build("forget_quality")


def planted(metric, rng: np.random.Generator, holes: bool = False):
    """Values with ties, of sets of different sizes whose clusters are unequal; those of one benchmark are shared."""
    sizes = {name: int(rng.integers(9, 20)) for name in dict.fromkeys(name for name, _ in metric.needs)}
    labels = {}
    for name, n in sizes.items():
        home = name.split("-")[0]  # a document's completion and its questions hang together
        labels[name] = [f"{home} {c}" for c in (*range(4), *rng.integers(0, 4, n - 4))]
    sides = []
    for _ in range(2):
        sides.append({need: np.round(rng.uniform(0.05, 0.95, sizes[need[0]]), 1) for need in metric.needs})
        if holes:
            for values in sides[-1].values():
                values[rng.integers(0, len(values), 2)] = np.nan
    return sides[0], sides[1] if metric.needs_retrain else None, Strata.build(labels)


def naive(metric, own, retrain, strata: Strata, home: str, distance: bool = False) -> np.ndarray:
    """Of the items that are left, drop the unscored and score."""
    found = []
    for cluster in range(strata.clusters[home]):
        keep = {s: strata.unit[s] != cluster if strata.of[s] == home else np.ones(len(u), bool)
                for s, u in strata.unit.items()}  # fmt: skip
        sides = [{need: v[keep[need[0]]] for need, v in side.items()} for side in (own, retrain) if side is not None]
        if isinstance(metric, RetrainTest):
            x, y = (side[metric.needs[0]] for side in sides)
            both = ~(np.isnan(x) | np.isnan(y))
            d = float(ks_statistic(x[both], y[both]))
            n = int((~(np.isnan(own[metric.needs[0]]) | np.isnan(retrain[metric.needs[0]]))).sum())
            x, y = np.arange(n, dtype=float), np.arange(n) + 0.5 + round(d * n) - 1  # two samples of n that far apart
            found.append(d if distance else float(ks_pvalue(x, y)))
        elif isinstance(metric, Attack):
            found.append(float(metric.score({k: v[~np.isnan(v)] for k, v in sides[0].items()}, None)))
        else:
            found.append(float(metric.score(sides[0], sides[1] if len(sides) > 1 else None)))
    return np.array(found)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_without_each_cluster(name: str) -> None:
    metric = build(name)
    for seed in range(3):
        own, retrain, strata = planted(metric, np.random.default_rng(seed))
        found = estimate(metric, own, retrain, strata)
        expected = metric.score(own, retrain)
        assert found.value == pytest.approx(float(expected), nan_ok=True)
        assert set(found.without) == set(strata.clusters)
        for home in strata.clusters:
            if isinstance(metric, RetrainTest):
                continue  # below
            left = naive(metric, own, retrain, strata, home)
            left = np.where(np.isnan(left), found.value, left)
            assert found.without[home] == pytest.approx(left, nan_ok=True), home
            members = [s for s in strata.of if strata.of[s] == home]
            assert found.sizes[home].sum() == sum(len(strata.unit[s]) for s in members)


@pytest.mark.parametrize(
    "metric", [ROUGE, AUC, build("model_utility"), build("probability"), build("truth_preference")]
)
def test_what_is_unscored_counts_nowhere(metric) -> None:
    own, _, strata = planted(metric, np.random.default_rng(5), holes=True)
    found = estimate(metric, own, None, strata)
    for home in strata.clusters:
        assert found.without[home] == pytest.approx(naive(metric, own, None, strata, home))


@pytest.mark.parametrize("holes", [False, True])
def test_distances_without_each_cluster(holes: bool) -> None:
    for seed in range(4):
        own, retrain, strata = planted(QUALITY, np.random.default_rng(seed), holes)
        ((home, _),) = strata.clusters.items()
        found = estimate(QUALITY, own, retrain, strata, distance=True)
        assert found.without[home] == pytest.approx(naive(QUALITY, own, retrain, strata, home, distance=True))
        need = QUALITY.needs[0]
        both = ~(np.isnan(own[need]) | np.isnan(retrain[need]))
        assert found.value == pytest.approx(float(ks_statistic(own[need][both], retrain[need][both])))
        counted = gaps(QUALITY, own, retrain, strata)
        n = counted.items.sum()
        assert np.abs(counted.share.sum(axis=0)).max() / n == pytest.approx(found.value)
        of_p = estimate(QUALITY, own, retrain, strata)
        assert of_p.value == pytest.approx(float(ks_pvalue(own[need][both], retrain[need][both])))
        assert ((of_p.without[home] >= 0) & (of_p.without[home] <= 1)).all()


@pytest.mark.parametrize(
    ("x", "y", "labels", "sizes", "whole", "left", "whole_p", "left_p"),
    [
        # without a 5 7 against 6 8, without b 1 2 against 3 4
        ([1, 2, 5, 7], [3, 4, 6, 8], "aabb", [2, 2], 1 / 2, [1 / 2, 1], 54 / 70, [54 / 70, 2 / 70]),
        ([1, 2, 5, 7, np.nan], [3, 4, 6, 8, 9], "aabbc", [2, 2, 0], 1 / 2, [1 / 2, 1, 1 / 2], 54 / 70,
         [54 / 70, 2 / 70, 54 / 70]),
        ([1, 2, 5, 7], [3, 4, 6, 8], "aaaa", [4], 1 / 2, [1 / 2], 54 / 70, [54 / 70]),
        ([1, 2], [3, 2], "ab", [1, 1], 1 / 2, [0, 1], 1, [1, 2 / 6]),
    ],
    ids=["halves", "an unscored cluster", "one cluster", "single items"],
)  # fmt: skip
def test_small_distances_and_their_p_by_hand(x, y, labels, sizes, whole, left, whole_p, left_p) -> None:
    """p at the number of items of the whole: of 70 orders of four a side 2 are wholly apart and 2 (28 - 1) by half, of
    6 of two a side 2 wholly. Where nothing is left, it is as with all."""
    (need,) = QUALITY.needs
    own, retrain = ({need: np.array(values, dtype=float)} for values in (x, y))
    strata = Strata.build({need[0]: labels})
    with np.errstate(all="raise"):
        distance = estimate(QUALITY, own, retrain, strata, distance=True)
        p = estimate(QUALITY, own, retrain, strata)
    assert (distance.value, p.value) == pytest.approx((whole, whole_p))
    assert distance.without[need[0]] == pytest.approx(left) and p.without[need[0]] == pytest.approx(left_p)
    assert distance.sizes[need[0]].tolist() == sizes == p.sizes[need[0]].tolist()


def test_without_an_item_that_both_models_scored_there_is_no_distance() -> None:
    (need,) = QUALITY.needs
    own, retrain = {need: np.array([1.0, np.nan])}, {need: np.array([np.nan, 2.0])}
    found = estimate(QUALITY, own, retrain, Strata.build({need[0]: "ab"}), distance=True)
    assert np.isnan([found.value, *found.without[need[0]]]).all()


@pytest.mark.parametrize(("labels", "left"), [("ab", [1, 0]), ("aa", [1 / 2])], ids=["one pair", "no pair"])
def test_an_attack_of_the_last_pairs(labels: str, left: list[float]) -> None:
    """Members .1 and .3 of clusters with others .05 and .4: one pair is left, lost or won; of none it is the whole."""
    own = dict(zip(AUC.needs, (np.array([0.1, 0.3]), np.array([0.05, 0.4])), strict=True))
    with np.errstate(all="raise"):
        found = estimate(AUC, own, None, Strata.build({name: labels for name, _ in own}))
    assert found.value == 1 / 2 and found.without["forget"].tolist() == left


def test_a_set_of_one_item_counts_while_another_loses_a_cluster() -> None:
    utility, labels = build("model_utility"), {"retain": "aab", "real_authors": "c", "world_facts": "d"}
    rng = np.random.default_rng(0)
    signs = {"log_truth_ratio": -1}  # below 0, for a true answer that is preferred
    own = {need: signs.get(need[1], 1) * rng.uniform(0.2, 0.9, len(labels[need[0]])) for need in utility.needs}
    strata = Strata.build(labels)
    found = estimate(utility, own, None, strata)
    left = naive(utility, own, None, strata, "retain")
    assert len({found.value, *left}) == 3 and found.without["retain"] == pytest.approx(left)


class Span:
    """A metric of no form, which needs an item."""

    needs, needs_retrain = ROUGE.needs, False

    def score(self, sample, retrain):
        return np.ptp(sample[ROUGE.needs[0]], axis=-1)


@pytest.mark.parametrize(("labels", "left"), [("aabb", [1, 2]), ("aaaa", [8])], ids=["two clusters", "one cluster"])
def test_a_metric_of_no_form_is_computed_anew_where_items_are_left(labels: str, left: list[float]) -> None:
    own = {ROUGE.needs[0]: np.array([2.0, 4.0, 9.0, 10.0])}
    found = estimate(Span(), own, None, Strata.build({"forget": labels}))
    assert found.value == 8 and found.without["forget"].tolist() == left


@pytest.mark.parametrize(("each", "size"), [(0, 12), (1, 12), (5, 2), (12, 1), (100, 1)])
def test_models_are_taken_in_groups_that_fit(monkeypatch, each: int, size: int) -> None:
    """As many models of so many numbers as have twelve together, at least one; each once."""
    monkeypatch.setattr(leave_out, "_AT_ONCE", 12)
    groups = [list(range(20))[rows] for rows in leave_out._chunks(20, each)]
    assert groups == [list(range(start, min(start + size, 20))) for start in range(0, 20, size)]


def test_attacks_on_many_models_take_no_more_memory_than_on_a_few(monkeypatch) -> None:
    """All pairs of all models at once would be 16 times 200 times 200 numbers; a pass is to hold those of one."""
    models, n = 16, 200
    rng = np.random.default_rng(0)
    columns = {need: rng.random((models, n)) for need in AUC.needs}
    strata = Strata.build({"forget": list(map(str, range(n))), "holdout": ["other"] * n})
    monkeypatch.setattr(leave_out, "_AT_ONCE", n * n)
    tracemalloc.start()
    found = Stacked(columns, strata).whole(AUC)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < models * n * n * 8 / 2
    assert found == pytest.approx(
        [float(AUC.score({k: v[i] for k, v in columns.items()}, None)) for i in range(models)]
    )


def test_an_attack_of_shared_clusters_loses_each_pair_once() -> None:
    """Members and others of the same documents: a pair within the document that is left out goes once, not twice."""
    rng = np.random.default_rng(0)
    own = {need: rng.random(12) for need in AUC.needs}
    labels = [f"d{i // 3}" for i in range(12)]
    strata = Strata.build({"forget": labels, "holdout": labels})
    assert strata.clusters == {"forget": 4}
    assert estimate(AUC, own, None, strata).without["forget"] == pytest.approx(naive(AUC, own, None, strata, "forget"))


def test_strata_are_what_shares_a_label() -> None:
    """a and b share x; c shares w with d and y with b, so that all four are one; e stands alone."""
    labels = {"a": ["x", "z"], "d": ["w"], "b": ["x", "y"], "e": ["v", "v"], "c": ["w", "y"]}
    strata = Strata.build(labels)
    assert len({strata.of[s] for s in "abcd"}) == 1 and strata.of["e"] == "e"
    assert strata.clusters == {strata.of["a"]: 4, "e": 1}
    number = {label: int(n) for s in "abcd" for label, n in zip(labels[s], strata.unit[s], strict=True)}
    assert all(number[label] == n for s in "abcd" for label, n in zip(labels[s], strata.unit[s], strict=True))
    assert sorted(number.values()) == [0, 1, 2, 3]


def test_a_cluster_without_a_scored_item_is_no_cluster() -> None:
    """Twenty clusters of which two are scored are two: no interval, where nineteen degrees of freedom were claimed."""
    values = np.full(40, np.nan)
    values[:4] = [0.1, 0.2, 0.8, 0.9]
    strata = Strata.build({"forget": [f"c{i // 2}" for i in range(40)]})
    found = estimate(ROUGE, {("forget", "rouge"): values}, None, strata)
    assert found.fewest == 2 and limits(ROUGE, [found]) is None
    values[4] = 0.5
    three = estimate(ROUGE, {("forget", "rouge"): values}, None, strata)
    assert three.fewest == 3 and three.cluster_part().df < 2
    assert limits(ROUGE, [three]) is not None


@given(st.permutations(range(16)))
def test_the_order_of_items_is_nothing(order: list[int]) -> None:
    values, labels = np.round(np.random.default_rng(1).random(16), 1), np.array([f"c{i // 3}" for i in range(16)])

    def of(order) -> Estimate:
        strata = Strata.build({"forget": labels[order].tolist()})
        return estimate(ROUGE, {("forget", "rouge"): values[order]}, None, strata)

    one, other = of(np.arange(16)), of(np.array(order))
    assert sorted(one.without["forget"]) == pytest.approx(sorted(other.without["forget"]))
    assert limits(ROUGE, [one]) == pytest.approx(limits(ROUGE, [other]))


def test_what_is_combined_loses_the_same_cluster() -> None:
    """A difference over two strata, of which the second number rests on one only."""
    one = Estimate(3.0, {"a": np.array([1.0, 2.0]), "b": np.array([5.0, 6.0])}, {"a": np.ones(2), "b": np.ones(2)})
    other = Estimate(1.0, {"a": np.array([0.5, 1.5])}, {"a": np.ones(2)})
    found = combine(np.subtract, one, other)
    assert found.value == 2.0
    assert found.without["a"].tolist() == [0.5, 0.5] and found.without["b"].tolist() == [4.0, 5.0]
    assert mean([other, other]).without["a"].tolist() == [0.5, 1.5]


def test_limits_stay_in_their_range_and_hold_the_value() -> None:
    """Every metric that has a range, near its ends too; the p-value's lie in [0, 1] and are those of the distance."""
    rng = np.random.default_rng(3)
    strata = Strata.build({"forget": [f"c{i // 3}" for i in range(18)], "holdout": [f"h{i // 3}" for i in range(18)]})
    for scale in (1e-6, 0.02, 0.5, 1.0):
        own = {("forget", "rouge"): rng.random(18) * scale}
        found = estimate(ROUGE, own, None, strata)
        for runs in ([found], [found, found._replace(value=found.value / 2)]):
            lo, hi = limits(ROUGE, runs)
            assert 0 <= lo <= mean(runs).value <= hi <= 1
    for shift in (0.0, 0.3, 2.0):
        x, y = ({("forget", "log_truth_ratio"): rng.normal(at, 1, 18)} for at in (0, shift))
        distance, counted = estimate(QUALITY, x, y, strata, distance=True), gaps(QUALITY, x, y, strata)
        around = distance_limits([distance], [counted])
        assert 0 <= around.lo <= distance.value <= around.hi <= 1
        p = float(QUALITY.score(x, y))
        lo, hi = p_limits(around, 18, p)
        assert 0 <= lo <= p <= hi <= 1
    assert p_limits(None, 18, 0.5) is None


@pytest.mark.parametrize("metric", [ROUGE, build("privleak")])
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_limits_of_several_at_once_are_those_of_each(metric, seeds: int) -> None:
    """Shares inside, at either end, with one cluster that is not there, and outside of [0, 1]; of two sets at once."""
    rng = np.random.default_rng(seeds)
    sizes = {"a": rng.integers(1, 5, 6), "b": rng.integers(1, 5, 4)}
    sizes["b"][0] = 0

    def made(lo: float, hi: float) -> list[Estimate]:
        draw = lambda shape=None: rng.uniform(lo, hi, shape)  # noqa: E731
        return [Estimate(draw(), {name: draw(len(n)) for name, n in sizes.items()}, sizes) for _ in range(seeds)]

    groups = {"inside": made(0.3, 0.7), "none": made(0.0, 0.0), "all": made(1.0, 1.0), "outside": made(-0.5, 1.5)}
    groups["nearly none"] = [
        Estimate(0.02, {**e.without, "a": np.array([0.0, *[0.03] * 5])}, sizes) for e in made(0.1, 0.2)
    ]
    groups["nearly all"] = [
        Estimate(0.98, {**e.without, "a": np.array([1.0, *[0.97] * 5])}, sizes) for e in made(0.8, 0.9)
    ]
    groups["other clusters"] = [e._replace(sizes={name: n + 1 for name, n in sizes.items()}) for e in made(0.3, 0.7)]
    found = [(set(some), dict(zip(some, zip(*map(np.ndarray.tolist, limits(metric, runs)), strict=True), strict=True)))
             for some, runs in alike(groups)]  # fmt: skip
    assert [some for some, _ in found] == [{*groups} - {"other clusters"}, {"other clusters"}]
    for name, runs in groups.items():
        alone = limits(metric, runs)
        (together,) = [of[name] for some, of in found if name in some]
        assert together == pytest.approx(alone, rel=1e-14) and type(alone.lo) is type(alone.hi) is float
