"""Intervals and tests against theory, scipy and known values."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from bench.keys import stream
from bench.stats import intervals, roc, two_sample

values = st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(lambda v: np.array(v, dtype=float))


def _mean_of(x: np.ndarray) -> intervals.Statistic[str]:
    return lambda draw: x[draw["x"]].mean(axis=-1)


# -- Kolmogorov-Smirnov ----------------------------------------------------------------------------------------------

# Published p-values of open-unlearning's leaderboard at D = k / n, to the digits printed there.
TABLE = {
    40: "5 0.919, 6 0.766, 7 0.579, 8 0.405, 9 0.266, 10 0.165, 11 0.0971, 12 0.0541, 13 0.0286, 14 0.0143, "
    "15 0.00676, 16 0.00302, 17 0.00127, 18 5.04e-4, 19 1.88e-4",
    200: "23 0.142, 25 0.0878, 49 1.12e-5, 51 4.02e-6, 65 9.59e-10, 77 1.33e-13, 78 5.87e-14, 190 5.01e-100, "
    "194 1.06e-106",
    400: "25 0.416, 39 0.0446, 43 0.0196, 103 4.64e-12, 107 5.42e-13, 116 3.15e-15, 136 6.92e-21, 138 1.66e-21, "
    "140 3.91e-22, 149 4.35e-25, 379 1.47e-198, 382 2.47e-203, 396 1.80e-229",
}
FLOORS = {
    40: 1.860340365603627e-23,
    200: 1.9426434495222354e-119,
    300: 1.4802978791996799e-179,
    400: 1.0635896769518578e-239,
}


def _shifted(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of n without ties at KS distance k / n: the k largest of one lie above all of the other."""
    x = np.arange(n, dtype=float)
    return x, np.concatenate([x[k:] - 0.5, n + np.arange(k) + 0.5])


@pytest.mark.parametrize(("n", "k", "p"), [(n, *pair.split()) for n, t in TABLE.items() for pair in t.split(", ")])
def test_published_p_values(n: int, k: str, p: str) -> None:
    x, y = _shifted(n, int(k))
    assert two_sample.ks_statistic(x, y) == pytest.approx(int(k) / n)
    printed = len(p.split("e")[0].replace(".", "").lstrip("0"))
    assert f"{float(two_sample.ks_pvalue(x, y)):.{printed - 1}e}" == f"{float(p):.{printed - 1}e}"


@pytest.mark.parametrize("n", FLOORS)
def test_floor_is_two_over_the_number_of_orders(n: int) -> None:
    """With D = 1 only the two fully separated of C(2n, n) orders are as extreme."""
    x = np.arange(n, dtype=float)
    assert two_sample.ks_pvalue(x, x + n) == pytest.approx(FLOORS[n], rel=1e-9)
    assert two_sample.ks_pvalue(x, x + n) == pytest.approx(2 / math.comb(2 * n, n), rel=1e-12)


@settings(deadline=None, max_examples=150)
@given(values, values)
def test_ks_equals_scipy_with_ties_and_unequal_sizes(x: np.ndarray, y: np.ndarray) -> None:
    with warnings.catch_warnings(record=True) as gave_up:
        warnings.simplefilter("always")
        theirs = ks_2samp(x, y)
    assert two_sample.ks_statistic(x, y) == pytest.approx(theirs.statistic, abs=1e-12)
    if gave_up:  # scipy's exact form fails at the smallest distances and its asymptotic p, close to 1, steps in
        assert theirs.pvalue > 0.99 and two_sample.ks_pvalue(x, y) > 0.99
    else:
        assert two_sample.ks_pvalue(x, y) == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 4), (1, 5), (3, 5), (4, 6)])
def test_ks_tail_by_counting_every_order(n: int, m: int) -> None:
    """Without ties every choice of n places among n + m is as likely: count those at least as far apart."""
    pooled = np.arange(n + m, dtype=float)
    chosen = [list(places) for places in itertools.combinations(range(n + m), n)]
    pairs = [(pooled[places], np.delete(pooled, places)) for places in chosen]
    distances = np.array([float(two_sample.ks_statistic(x, y)) for x, y in pairs])
    for (x, y), distance in zip(pairs, distances, strict=True):
        assert two_sample.ks_pvalue(x, y) == pytest.approx(np.mean(distances >= distance - 1e-12), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (400, 397), (40, 400), (1, 9), (12_000, 11_000)])
@pytest.mark.parametrize("shift", [0.2, 1.0, 4.0])
def test_ks_of_large_unequal_samples_equals_scipy(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(n + m)
    x, y = rng.normal(size=n), rng.normal(shift, size=m)
    assert two_sample.ks_pvalue(x, y) == pytest.approx(ks_2samp(x, y).pvalue, rel=1e-9)


def test_ks_broadcasts_over_resamples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (4, 1, 20)).astype(float), rng.integers(0, 9, (3, 15)).astype(float)
    p = two_sample.ks_pvalue(x, y)
    assert p.shape == (4, 3)
    assert p[2, 1] == two_sample.ks_pvalue(x[2, 0], y[1])


def test_nan_is_never_a_number() -> None:
    x, bad = np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 9.0])
    for statistic in (two_sample.ks_pvalue, two_sample.ks_statistic, roc.auc, lambda a, b: roc.tpr_at(0.5, a, b)):
        assert np.isnan(statistic(x, bad)) and np.isnan(statistic(bad, x))


def test_ks_is_uniform_under_the_null() -> None:
    """P(p <= a) <= a and nearly reaches it: p is discrete with steps below 0.1 here; 2000 draws, 4 standard errors."""
    rng = np.random.default_rng(1)
    p = two_sample.ks_pvalue(rng.normal(size=(2000, 60)), rng.normal(size=(2000, 60)))
    for level in (0.05, 0.2, 0.5):
        slack = 4 * math.sqrt(level * (1 - level) / 2000)
        attained = max(two_sample._equal_tail(k, 60) for k in range(61) if two_sample._equal_tail(k, 60) <= level)
        assert abs(np.mean(p <= level) - attained) < slack


# -- AUC and ROC -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(values, values)
def test_auc_in_all_its_forms(member: np.ndarray, other: np.ndarray) -> None:
    labels = [0] * len(member) + [1] * len(other)
    expected = roc_auc_score(labels, np.concatenate([member, other]))
    assert roc.auc(member, other) == pytest.approx(expected, abs=1e-12)
    assert roc.auc(other, member) == pytest.approx(1 - expected, abs=1e-12)
    fpr, tpr = roc.roc(member, other)
    assert np.trapezoid(tpr, fpr) == pytest.approx(expected, abs=1e-12)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(fpr) >= 0).all() and (np.diff(tpr) >= 0).all()
    if min(len(member), len(other)) > 1:
        assert roc.delong(member[None], other[None])[0][0] == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(values, values, st.floats(0, 1))
def test_tpr_at_is_the_best_point_of_the_curve(member: np.ndarray, other: np.ndarray, rate: float) -> None:
    fpr, tpr = roc.roc(member, other)
    assert roc.tpr_at(rate, member, other) == pytest.approx(tpr[fpr <= rate + 1e-9 / len(other)].max())


def test_delong_covariance_is_that_of_the_placements() -> None:
    """By hand: members 1 3, others 2 4. Shares of others above: 1, 1/2; shares of members below: 1/2, 1.
    Variances of both are 1/8 (n - 1), so var = (1/8)/2 + (1/8)/2 = 1/8; AUC 3/4. The reversed attack mirrors it.
    """
    member, other = np.array([[1.0, 3.0], [-1.0, -3.0]]), np.array([[2.0, 4.0], [-2.0, -4.0]])
    value, covariance = roc.delong(member, other)
    assert value == pytest.approx([0.75, 0.25])
    assert covariance == pytest.approx(np.array([[0.125, -0.125], [-0.125, 0.125]]))


@pytest.mark.parametrize("effect", [0.0, 1.0, 2.5])
def test_auc_interval_covers_nearly_as_often_as_it_says(effect: float) -> None:
    """True AUC of two normals is Phi(effect / sqrt 2). 1500 draws of 60 + 60: 95% within 4 standard errors (2.3%)."""
    rng = np.random.default_rng(3)
    truth = 0.5 * math.erfc(-effect / 2)
    covered = [
        lo <= truth <= hi
        for member, other in zip(rng.normal(size=(1500, 60)), rng.normal(effect, size=(1500, 60)), strict=True)
        for lo, hi in [roc.auc_interval(member, other)]
    ]
    assert abs(np.mean(covered) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1500)


def test_auc_interval_at_the_ends() -> None:
    """n pairs that all went one way: (1 - level)/2 = AUC^n at the bound."""
    low, high = np.arange(10.0), np.arange(10.0) + 50
    assert roc.auc_interval(low, high) == pytest.approx((0.025**0.1, 1.0))
    assert roc.auc_interval(high, low) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert roc.auc_interval(low[:1], high) is None


# -- bootstrap -------------------------------------------------------------------------------------------------------


def test_standard_error_of_a_mean() -> None:
    """The bootstrap's standard error is s / sqrt(n) (s with n in the denominator), within 5%."""
    x = np.random.default_rng(0).exponential(size=150)
    drawn = intervals.resample(_mean_of(x), {"x": len(x)}, {"x": stream("a")}, 4000)
    assert drawn.std() == pytest.approx(x.std() / math.sqrt(len(x)), rel=0.05)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_coverage_of_a_mean(method: str) -> None:
    """500 samples of 40 normals: 95%, of which the percentile method loses about 1% at this size."""
    rng, hits = np.random.default_rng(5), 0
    for i in range(500):
        x = rng.normal(size=40)
        drawn = intervals.resample(_mean_of(x), {"x": 40}, {"x": stream(i)}, 400)
        found = (
            intervals.percentile(drawn)
            if method == "percentile"
            else intervals.bca(drawn, x.mean(), _mean_of(x), {"x": 40})
        )
        hits += found.lo <= 0 <= found.hi
    assert hits / 500 == pytest.approx(0.94, abs=4 * math.sqrt(0.94 * 0.06 / 500))


def test_bca_equals_scipys() -> None:
    """Same sample, both with many resamples: the ends agree to a twentieth of the interval's width."""
    x, y = np.random.default_rng(2).exponential(size=(2, 40)) ** 2
    ratio = lambda draw: x[draw["x"]].mean(axis=-1) / y[draw["y"]].mean(axis=-1)  # noqa: E731
    sizes = {"x": 40, "y": 40}
    drawn = intervals.resample(ratio, sizes, {g: stream(g) for g in sizes}, 20_000)
    ours = intervals.bca(drawn, x.mean() / y.mean(), ratio, sizes)
    theirs = scipy_bootstrap(
        (x, y),
        lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis),
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.lo == pytest.approx(theirs.low, abs=width / 20)
    assert ours.hi == pytest.approx(theirs.high, abs=width / 20)


def test_columns_of_a_group_are_drawn_together() -> None:
    x = np.random.default_rng(0).normal(size=30)
    difference = lambda draw: (x[draw["x"]] - x[draw["x"]]).mean(axis=-1)  # noqa: E731
    assert not intervals.resample(difference, {"x": 30}, {"x": stream("b")}, 50).any()


def test_draws_depend_on_nothing_but_their_stream() -> None:
    """Chunks and other groups change nothing."""
    x = np.random.default_rng(0).normal(size=3000)
    many = intervals.resample(_mean_of(x), {"x": 3000}, {"x": stream("c")}, 400)
    beside = intervals.resample(_mean_of(x), {"x": 3000, "y": 9000}, {"x": stream("c"), "y": stream("d")}, 400)
    assert (many == beside).all()
    assert stream("a", 1).random() == stream("a", 1).random() != stream("a", 2).random()


def test_clusters_widen_the_interval_as_theory_says() -> None:
    """Items of a cluster are equal, so the mean has the variance of the 25 cluster means: sd / sqrt(25), not of 200
    items. The within-cluster stage adds nothing.
    """
    centres = np.random.default_rng(0).normal(size=25)
    x, labels = np.repeat(centres, 8), np.repeat(np.arange(25), 8).tolist()
    drawn = intervals.resample(_mean_of(x), {"x": 200}, {"x": stream("e")}, 4000, {"x": labels})
    assert drawn.std() == pytest.approx(centres.std() / 5, rel=0.05)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_cluster_draws_stay_within_a_drawn_cluster(labels: list[str]) -> None:
    """Every place of one cluster is filled from one cluster."""
    draw = intervals.draw_clusters(np.random.default_rng(0), np.random.default_rng(1), 20, labels)
    assert draw.shape == (20, len(labels))
    for label in set(labels):
        places = [i for i, own in enumerate(labels) if own == label]
        for row in draw:
            assert len({labels[i] for i in row[places]}) == 1


def test_unknown_where_nothing_is_known() -> None:
    assert intervals.percentile(np.array([np.nan, np.nan])) is None
    assert intervals.percentile(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)


def test_clusters_of_unequal_sizes_count_by_their_items():
    """50 clusters of one item that is 0 and 50 of five that are 1: the mean is 250 / 300, not 1 / 2."""
    labels = [f"a{i}" for i in range(50)] + [f"b{i // 5}" for i in range(250)]
    values = np.repeat([0.0, 1.0], [50, 250])
    drawn = intervals.draw_clusters(np.random.default_rng(0), np.random.default_rng(1), 2000, labels)
    assert values[drawn].mean() == pytest.approx(250 / 300, abs=0.005)
