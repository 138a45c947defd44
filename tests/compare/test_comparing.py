"""Tests against counting by hand, theory, and their own null."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bench.compare.comparing import compare_all, delong, holm, permutation, tost
from bench.compare.crossed import Crossed, Run
from bench.score.scoring import build
from bench.stats import intervals, roc, two_sample

ROUGE, QUALITY, AUC = build("rouge"), build("forget_quality"), build("mia_auc")


def _membership(values: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]], size: int = 1) -> Crossed:
    first, second = next(iter(values.values()))
    counts = {"forget": len(first), "holdout": len(second)}
    ids = {s: [str(i) for i in range(n)] for s, n in counts.items()}
    clusters = {s: [f"{s}{i // size}" for i in range(n)] for s, n in counts.items()}
    runs = {Run(*run): {("forget", "loss"): m, ("holdout", "loss"): o} for run, (m, o) in values.items()}
    return Crossed(ids, clusters, runs)


@pytest.mark.parametrize("seeds", [1, 2])
def test_permutation_is_counting_every_swap(made, seeds: int) -> None:
    """Six clusters of two items: 64 ways to swap, all seeds together, and how many of them are as far apart."""
    rng = np.random.default_rng(seeds)
    y = {(m, s): rng.random(12) + (0.2 if m == "a" else 0) for m in "ab" for s in range(seeds)}
    swaps = np.repeat(np.array(list(itertools.product([0, 1], repeat=6))), 2, axis=1)
    apart = np.mean([np.where(swaps, y["b", s], y["a", s]) - np.where(swaps, y["a", s], y["b", s])
                     for s in range(seeds)], axis=0).mean(axis=-1)  # fmt: skip
    expected = np.mean(np.abs(apart) >= abs(apart[0]) - 1e-12)
    test = permutation(made(y, 6), ROUGE, "a", "b", range(seeds))
    assert test.p == pytest.approx(expected) and test.n == 6


def test_permutation_of_distances_is_counting_every_swap(made) -> None:
    """Forget quality is compared by the KS distance to the retrain model of the same seed, not by its p-value."""
    rng = np.random.default_rng(0)
    y = {(m, 0): rng.normal(shift, 1, 20) for m, shift in (("a", 0.2), ("b", 1.5), ("retrain", 0.0))}
    crossed = made(y, 5, column="log_truth_ratio")
    swaps = np.repeat(np.array(list(itertools.product([0, 1], repeat=5))), 4, axis=1)
    one, other = np.where(swaps, y["b", 0], y["a", 0]), np.where(swaps, y["a", 0], y["b", 0])
    apart = two_sample.ks_statistic(one, y["retrain", 0]) - two_sample.ks_statistic(other, y["retrain", 0])
    expected = np.mean(np.abs(apart) >= abs(apart[0]) - 1e-12)
    assert permutation(crossed, QUALITY, "a", "b", [0]).p == pytest.approx(expected)


def test_two_clusters_can_show_nothing(made) -> None:
    """Of four ways to swap two are as far apart as the runs are, whatever these are: p is at least 1/2."""
    y = {("a", 0): np.zeros(20), ("b", 0): np.ones(20)}
    assert permutation(made(y, 2), ROUGE, "a", "b", [0]).p == 0.5


def test_permutation_is_uniform_under_the_null(draw, made) -> None:
    """Two methods of the same distribution, 25 clusters of 3 items: 300 tables, P(p <= x) within 4 standard errors."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(300):
        y = draw(rng, 2, 1, 25, 3, spread=(0.0, 0.5, 0.5))
        p.append(permutation(made({("a", 0): y[0, 0], ("b", 0): y[1, 0]}, 25), ROUGE, "a", "b", [0], 499).p)
    for level in (0.05, 0.25, 0.5):
        assert abs(np.mean(np.array(p) <= level) - level) < 4 * math.sqrt(level * (1 - level) / 300)


def test_items_of_a_cluster_are_no_evidence_of_their_own(made) -> None:
    """Ten copies of each item, of 8 clusters: p is that of one copy; were they swapped one by one it would be tiny."""
    rng = np.random.default_rng(4)
    y = {("a", 0): rng.random(8) + 0.3, ("b", 0): rng.random(8)}
    copies = {run: np.repeat(v, 10) for run, v in y.items()}
    single, many = (permutation(made(v, 8), ROUGE, "a", "b", [0]).p for v in (y, copies))
    assert single == many > 0.01
    assert permutation(made(copies, 80), ROUGE, "a", "b", [0]).p < 0.01


def test_the_order_of_items_and_methods_is_nothing(draw) -> None:
    """Lines shuffled within the table, a and b exchanged: the same p, the opposite difference."""
    y = draw(np.random.default_rng(5), 2, 2, 6, 2)
    order = np.random.default_rng(6).permutation(12)

    def of(order: np.ndarray) -> Crossed:
        names, labels = np.array([f"{i:02}" for i in range(12)]), np.array([f"c{i // 2}" for i in range(12)])
        back = np.lexsort((names[order],))  # as `load` sorts lines by id
        runs = {Run(m, s): {("forget", "rouge"): y[i, s][order][back]} for i, m in enumerate("ab") for s in range(2)}
        return Crossed({"forget": list(names[order][back])}, {"forget": list(labels[order][back])}, runs)

    (one,), (same,), (turned,) = (
        compare_all(of(o), {"rouge": ROUGE}, [pair], 0.05, 0.05)
        for o, pair in ((np.arange(12), ("a", "b")), (order, ("a", "b")), (order, ("b", "a")))
    )
    assert one == same
    assert (turned.difference, turned.lo, turned.hi) == pytest.approx((-one.difference, -one.hi, -one.lo))
    assert turned.p == one.p


def test_delong_of_paired_attacks_is_the_published_formula() -> None:
    """z = (A1 - A2) / sqrt(v11 + v22 - 2 v12) with DeLong's covariance, where each item is its own cluster."""
    rng = np.random.default_rng(0)
    y = {(m, 0): (rng.normal(size=40), rng.normal(shift, 1, 30)) for m, shift in (("a", 0.9), ("b", 0.4))}
    values, v = roc.delong(np.stack([y[m, 0][0] for m in "ab"]), np.stack([y[m, 0][1] for m in "ab"]))
    z = (values[0] - values[1]) / math.sqrt(v[0, 0] + v[1, 1] - 2 * v[0, 1])
    test = delong(_membership(y), AUC, "a", "b", [0])
    assert test.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2))) and test.n == 70


def test_clustered_delong_knows_copies() -> None:
    """Every item five times over, as clusters of five: the covariance of the items once."""
    rng = np.random.default_rng(1)
    member, other = rng.normal(size=(2, 20)), rng.normal(0.5, 1, (2, 15))
    labels = [np.repeat(np.arange(n), 5).tolist() for n in (20, 15)]
    plain = roc.delong(member, other)
    copied = roc.delong(np.repeat(member, 5, axis=1), np.repeat(other, 5, axis=1), (labels[0], labels[1]))
    assert copied[0] == pytest.approx(plain[0])
    assert copied[1] == pytest.approx(plain[1])
    narrow = roc.auc_interval(np.repeat(member[0], 5), np.repeat(other[0], 5))
    wide = roc.auc_interval(np.repeat(member[0], 5), np.repeat(other[0], 5), clusters=(labels[0], labels[1]))
    assert wide.lo < narrow.lo < narrow.hi < wide.hi


def test_clustered_delong_is_uniform_under_the_null() -> None:
    """20 authors of 4 items on either side, attacks of the same strength; 400 tables, 4 standard errors."""
    rng, p = np.random.default_rng(2), []

    def side() -> np.ndarray:
        return np.repeat(rng.normal(size=20), 4) * 0.7 + rng.normal(size=80)

    for _ in range(400):
        member, other = side(), side() + 0.5
        noise = lambda: rng.normal(0, 0.7, 80) + np.repeat(rng.normal(0, 0.5, 20), 4)  # noqa: E731
        y = {(m, 0): (member + noise(), other + noise()) for m in "ab"}
        p.append(delong(_membership(y, 4), AUC, "a", "b", [0]).p)
    for level in (0.05, 0.25, 0.5):
        assert abs(np.mean(np.array(p) <= level) - level) < 4 * math.sqrt(level * (1 - level) / 400)


def test_attacks_that_never_fail_are_permuted() -> None:
    """Both AUCs are 1, DeLong's variance is 0: no difference, p = 1, and it says which test that was."""
    y = {(m, 0): (np.arange(8.0), np.arange(8.0) + 10) for m in "ab"}
    (found,) = compare_all(_membership(y, 2), {"mia_auc": AUC}, [("a", "b")], 0.05, 0.05)
    assert (found.p, found.difference, found.test) == (1.0, 0.0, "permutation of clusters")


def test_only_seeds_that_both_have_are_paired(made) -> None:
    """Seed 0 says 0.5, seed 1, which b has not, would say otherwise."""
    y = {("a", 0): np.full(12, 0.9), ("a", 1): np.zeros(12), ("b", 0): np.full(12, 0.4), ("c", 2): np.ones(12)}
    found = compare_all(made(y, 6), {"rouge": ROUGE}, [("a", "b"), ("a", "c")], 0.05, 0.05)
    assert [(c.a, c.b, c.seeds, round(c.difference, 9)) for c in found] == [("a", "b", (0,), 0.5)]


def test_an_interval_of_the_difference_covers_it(draw, made) -> None:
    """Methods 0.2 apart, 8 seeds each: 95% intervals hold 0.2 in 90 to 98% of 150 tables."""
    rng, held = np.random.default_rng(7), 0
    for _ in range(150):
        y = draw(rng, 2, 8, 20, 3, spread=(0.2, 0.5, 0.5))
        runs = {(m, s): y[i, s] + (0.2 if m == "a" else 0.0) for i, m in enumerate("ab") for s in range(8)}
        crossed = made(runs, 20, resamples=300)
        apart = [crossed.distribution(ROUGE, Run("a", s)) - crossed.distribution(ROUGE, Run("b", s)) for s in range(8)]
        lo, hi = intervals.percentile(crossed.over_seeds(apart, range(8)))
        held += lo <= 0.2 <= hi
    assert 0.90 <= held / 150 <= 0.98


def test_what_is_significant_needs_both(made) -> None:
    """Seeds that disagree: the runs differ for certain, other seeds might not, and the interval knows it."""
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 0.01, 60)
    y = {("b", s): noise for s in range(2)} | {("a", 0): noise + 1.0, ("a", 1): noise - 0.4}
    (found,) = compare_all(made(y, 20), {"rouge": ROUGE}, [("a", "b")], 0.05, 0.05)
    assert found.p_holm < 0.05 and found.lo < 0 < found.hi and not found.significant(0.05)
    assert found._replace(lo=0.1).significant(0.05) and not found._replace(lo=0.1, p_holm=0.06).significant(0.05)


def test_holm_by_hand() -> None:
    """0.01, 0.03, 0.04, 0.005 in order: 4 x 0.005, 3 x 0.01, 2 x 0.03, then the larger of 0.06 and 0.04."""
    assert holm([0.01, 0.03, 0.04, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def test_tost_by_hand() -> None:
    """Difference 0.02 with error 0.01: the nearer bound of +-0.05 is 3 errors away, p = P(T_9 > 3) = 0.00748."""
    assert tost(0.02, 0.01, 9, 0.05) == tost(-0.02, 0.01, 9, 0.05) == pytest.approx(0.007478, abs=1e-6)
    assert tost(0.05, 0.01, 9, 0.05) == pytest.approx(0.5)
    assert tost(0.08, 0.01, 9, 0.05) == pytest.approx(1 - 0.007478, abs=1e-6)
    assert (tost(0.0, 0.0, 9, 0.05), tost(0.06, 0.0, 9, 0.05)) == (0.0, 1.0)


def test_the_family_is_the_table(made) -> None:
    """Three pairs on one metric: the smallest p counts thrice, and permutations are enough to pass that."""
    rng = np.random.default_rng(9)
    base = rng.random(60)
    y = {("a", 0): base + 0.5, ("b", 0): base + rng.normal(0, 0.2, 60), ("c", 0): base + rng.normal(0, 0.2, 60)}
    found = compare_all(made(y, 20), {"rouge": ROUGE}, [("a", "b"), ("a", "c"), ("b", "c")], 0.05, 0.05)
    assert [c.p_holm for c in found] == pytest.approx(holm([c.p for c in found]))
    assert [c.significant(0.05) for c in found] == [True, True, False]
