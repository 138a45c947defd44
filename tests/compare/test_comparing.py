"""The comparison of two methods: against theory and by hand; what is shown to whom."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from bench.compare.comparing import ITEMS_ONLY, PAIRED, compare, compare_all, corrected
from bench.compare.crossed import Run
from bench.score.estimates import Estimate, combine, error_parts, mean
from bench.score.scoring import build
from bench.stats.jackknife import Part, holm, p_value, reach, tost

ROUGE, QUALITY, AUC = build("rouge"), build("forget_quality"), build("mia_auc")


def series(crossed, method: str, metric=ROUGE, distance: bool = False):
    return {s: crossed.estimate(metric, Run(method, s), distance=distance) for s in crossed.seeds(method)}


def pair(crossed, metric=ROUGE, one: str = "a", other: str = "b", margin: float = 0.05):
    return compare("rouge", one, other, series(crossed, one, metric), series(crossed, other, metric), margin)


def test_one_seed_is_a_paired_t_test_of_cluster_means(made) -> None:
    """Ten clusters of equal size; the interval is the test's, and other seeds are not spoken of."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 40))
    found = pair(made({("a", 0): a + 0.2, ("b", 0): b}, 10))
    theirs = ttest_rel((a + 0.2).reshape(10, 4).mean(1), b.reshape(10, 4).mean(1))
    limits = theirs.confidence_interval()
    assert (found.p, found.lo, found.hi) == pytest.approx((theirs.pvalue, limits.low, limits.high), rel=1e-5)
    assert (found.test, found.n, found.seeds) == (ITEMS_ONLY, 10, (0,))
    assert found.p < 0.05 and not found.significant(0.05)  # one seed shows nothing of other runs


def test_several_seeds_have_two_parts(made) -> None:
    """Differences 0.1, 0.3 and 0.5 in every item: no variance of clusters, all of it between seeds."""
    base = np.random.default_rng(1).random(40)
    y = {("b", s): base for s in range(3)} | {("a", s): base + d for s, d in enumerate((0.1, 0.3, 0.5))}
    found = pair(made(y, 10))
    assert found.difference == pytest.approx(0.3)
    assert found.p == pytest.approx(ttest_1samp([0.1, 0.3, 0.5], 0).pvalue, rel=1e-5)
    assert found.test == PAIRED and found.seeds == (0, 1, 2)
    noisy = {k: v + np.random.default_rng(i).normal(0, 0.2, 40) for i, (k, v) in enumerate(y.items())}
    crossed = made(noisy, 10)
    found = pair(crossed)
    apart = [crossed.estimate(ROUGE, Run("a", s)).value - crossed.estimate(ROUGE, Run("b", s)).value for s in range(3)]
    d = sum(noisy["a", s] - noisy["b", s] for s in range(3)).reshape(10, 4).mean(1) / 3
    parts = [Part(d.var(ddof=1) / 10, 9.0), Part(float(np.var(apart, ddof=1)) / 3, 2.0)]
    assert found.p == pytest.approx(p_value(d.mean(), parts), rel=1e-5)
    assert found.hi - found.difference == pytest.approx(reach(parts, 0.05))


def test_seeds_that_disagree_are_no_evidence(made) -> None:
    """The runs differ for certain, other seeds might not: what was significant in both directions is in none."""
    noise = np.random.default_rng(8).normal(0, 0.01, 60)
    y = {("b", s): noise for s in range(3)} | {("a", s): noise + d for s, d in enumerate((1.0, -0.4, 0.5))}
    found = pair(made(y, 20))
    assert found.lo < 0 < found.hi and not found.significant(0.05)
    assert pair(made({k: v for k, v in y.items() if k[1] == 0}, 20)).p < 1e-6


def test_interval_and_p_never_contradict_each_other(made) -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        shift, wide = rng.normal(0, 0.3), rng.exponential(0.1)
        y = {(m, s): rng.random(30) + (shift if m == "a" else 0) + rng.normal(0, wide) for m in "ab" for s in range(3)}
        found = pair(made(y, 10))
        assert (found.lo <= 0 <= found.hi) == (found.p >= 0.05)


def test_copies_of_items_are_no_evidence(made) -> None:
    """Ten copies of each item within 8 clusters: p is that of one copy."""
    rng = np.random.default_rng(4)
    y = {("a", 0): rng.random(8) + 0.3, ("b", 0): rng.random(8)}
    copies = {run: np.repeat(v, 10) for run, v in y.items()}
    assert pair(made(copies, 8)).p == pytest.approx(pair(made(y, 8)).p, rel=1e-6)
    assert pair(made(copies, 80)).p < pair(made(copies, 8)).p


def test_turned_around_it_says_the_opposite(made) -> None:
    rng = np.random.default_rng(5)
    crossed = made({(m, s): rng.random(20) for m in "ab" for s in range(2)}, 5)
    one, other = pair(crossed), pair(crossed, one="b", other="a")
    assert (other.difference, other.lo, other.hi) == pytest.approx((-one.difference, -one.hi, -one.lo))
    assert (other.p, other.equivalent) == pytest.approx((one.p, one.equivalent))
    assert one.turned() == one._replace(a="b", b="a", difference=-one.difference, lo=-one.hi, hi=-one.lo)


def test_the_order_of_items_is_nothing(made) -> None:
    """Clusters keep their items; the lines of the table are shuffled."""
    rng = np.random.default_rng(6)
    y = {(m, s): rng.random(20) for m in "ab" for s in range(2)}
    order = np.concatenate([5 * c + rng.permutation(5) for c in rng.permutation(4)])
    one, other = pair(made(y, 4)), pair(made({k: v[order] for k, v in y.items()}, 4))
    assert (other.difference, other.lo, other.hi, other.p) == pytest.approx((one.difference, one.lo, one.hi, one.p))


def test_a_p_value_is_compared_by_its_distance(made) -> None:
    rng = np.random.default_rng(0)
    y = {(m, s): rng.normal(at, 1, 40) for s in range(3) for m, at in (("a", 0.2), ("b", 1.5), ("retrain", 0.0))}
    crossed = made(y, 8, column="log_truth_ratio")
    found = compare("ks", "a", "b", *(series(crossed, m, QUALITY, distance=True) for m in "ab"), 0.05)
    gaps = [[crossed.estimate(QUALITY, Run(m, s), distance=True).value for s in range(3)] for m in "ab"]
    assert found.difference == pytest.approx(np.mean(gaps[0]) - np.mean(gaps[1])) and found.difference < 0
    assert (found.a, found.b, found.metric) == ("a", "b", "ks")


def test_only_seeds_that_both_have_are_paired(made) -> None:
    """Seed 0 says 0.5, seed 1, which b has not, would say otherwise; c has no seed of a's."""
    y = {("a", 0): np.full(12, 0.9), ("a", 1): np.zeros(12), ("b", 0): np.full(12, 0.4), ("c", 2): np.ones(12)}
    crossed = made(y, 6)
    found = pair(crossed)
    assert (found.seeds, found.difference) == ((0,), pytest.approx(0.5))
    assert pair(crossed, other="c") is None


def test_two_clusters_show_nothing(made) -> None:
    assert pair(made({("a", s): np.zeros(20) for s in range(3)} | {("b", s): np.ones(20) for s in range(3)}, 2)) is None


def test_three_clusters_and_two_seeds_are_enough(made) -> None:
    rng = np.random.default_rng(11)
    found = pair(made({(m, s): rng.random(12) for m in "ab" for s in range(2)}, 3))
    assert (found.n, found.test, found.seeds) == (3, PAIRED, (0, 1))
    assert found._replace(p_holm=0.049).significant(0.05) and not found._replace(p_holm=0.05).significant(0.05)


@pytest.mark.parametrize(("highest", "lowest", "bound"), [(1.0, 0.0, 1.0), (1.5, 0.0, np.inf), (1.0, -0.5, np.inf)])
def test_shares_differ_by_1_at_most(highest: float, lowest: float, bound: float) -> None:
    """Three clusters that disagree; a number outside [0, 1] in any seed is no share."""
    without = {"forget": np.array([0.0, 0.5, 1.0])}
    sizes = {"forget": np.ones(3)}
    one, other = ({s: Estimate(v, {k: sign * of for k, of in without.items()}, sizes) for s, v in enumerate(values)}
                  for sign, values in ((1, (0.9, highest)), (-1, (0.1, lowest))))  # fmt: skip
    found = compare("x", "a", "b", one, other, 0.05)
    half = reach(error_parts([combine(np.subtract, one[s], other[s]) for s in range(2)]), 0.05)
    d = (0.9 + highest - 0.1 - lowest) / 2
    assert half > 1 and (found.lo, found.hi) == pytest.approx((max(d - half, -bound), min(d + half, bound)))


def test_no_value_is_no_comparison() -> None:
    lost = Estimate(float("nan"), {"forget": np.full(5, np.nan)}, {"forget": np.ones(5)})
    known = Estimate(0.5, {"forget": np.full(5, 0.5)}, {"forget": np.ones(5)})
    assert compare("x", "a", "b", {0: lost}, {0: known}, 0.05) is None
    assert compare("x", "a", "b", {}, {0: known}, 0.05) is None


def test_what_is_the_same_is_not_different_and_is_equal(made) -> None:
    y = {(m, s): np.full(20, 0.5) for m in "ab" for s in range(3)}
    found = pair(made(y, 5))
    assert (found.difference, found.p) == (0.0, 1.0) and found.equivalent < 1e-9 and not found.significant(0.05)


def test_a_family_of_its_own_and_bonferroni_between(made) -> None:
    """Holm within each of two families, times two; a family of which nothing is left costs nothing."""
    rng = np.random.default_rng(9)
    base = rng.random(60)
    y = {(m, s): base + rng.normal(at, 0.05, 60) for m, at in zip("abc", (0.5, 0, 0.1)) for s in range(4)}
    crossed = made(y, 20)
    made_of = [pair(crossed, one=a, other=b) for a, b in (("a", "b"), ("a", "c"), ("b", "c"))]
    found = corrected([made_of[:2], made_of[2:]])
    assert [c.p_holm for c in found] == pytest.approx(
        [min(1, 2 * p) for p in (*holm([c.p for c in made_of[:2]]), made_of[2].p)]
    )
    assert [c.p_holm for c in corrected([made_of, []])] == pytest.approx(holm([c.p for c in made_of]))
    assert corrected([[], []]) == []


def test_all_pairs_at_once_are_each_pair_alone() -> None:
    """Held against one pair at a time, seed by seed, where methods differ in seeds, in clusters, in having a value."""
    rng = np.random.default_rng(10)

    def estimate(lost: int = 0, homes: tuple[str, ...] = ("forget", "holdout"), value: float | None = None) -> Estimate:
        sizes = {home: np.where(np.arange(8) < lost, 0, rng.integers(1, 4, 8)) for home in homes}
        return Estimate(value or rng.random(), {home: rng.random(8) for home in homes}, sizes)

    series = {method: {s: estimate() for s in range(3)} for method in "abcd"}
    series |= {
        "e": {s: estimate(lost=2) for s in range(2)},
        "f": {2: estimate()},
        "g": {s: estimate(6) for s in (0, 1)},
    }
    series |= {"h": {0: estimate(value=float("nan")), 1: estimate()}, "i": {7: estimate()}}
    series |= {"j": {s: estimate(homes=("forget",)) for s in range(3)}, "k": {0: estimate(value=3.0)}}
    pairs = list(combinations(series, 2))
    expected = {}
    for a, b in pairs:
        seeds = sorted(series[a].keys() & series[b].keys())
        apart = [combine(np.subtract, series[a][s], series[b][s]) for s in seeds]
        if not seeds or mean(apart).fewest < 3 or np.isnan(mean(apart).value):
            continue
        parts, d = error_parts(apart), mean(apart).value
        low, high = (-1, 1) if "k" not in (a, b) else (-np.inf, np.inf)
        half = reach(parts, 0.05)
        n = sum(int((sizes > 0).sum()) for sizes in mean(apart).sizes.values())
        expected[a, b] = (d, max(d - half, low), min(d + half, high), p_value(d, parts), tost(d, parts, 0.3), n, seeds)
    found = compare_all("x", pairs, series, 0.3)
    assert [(c.a, c.b) for c in found] == list(expected) and {("e", "f"), ("a", "i")}.isdisjoint(expected)
    for c in found:
        *numbers, seeds = expected[c.a, c.b]
        assert (c.difference, c.lo, c.hi, c.p, c.equivalent, c.n) == pytest.approx(numbers, rel=1e-12)
        assert list(c.seeds) == seeds and type(c.difference) is type(c.lo) is type(c.p) is float
