"""Two-sample tests and curves against theory, scipy and known values."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from bench.stats import roc, two_sample

values = st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(lambda v: np.array(v, dtype=float))


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
    assert two_sample.ks_pvalue(x, x + n) == pytest.approx(FLOORS[n], rel=1e-9, abs=0)
    assert two_sample.ks_pvalue(x, x + n) == pytest.approx(2 / math.comb(2 * n, n), rel=1e-12, abs=0)


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
        assert two_sample.ks_pvalue(x, y) == pytest.approx(theirs.pvalue, rel=1e-9, abs=0)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 4), (1, 5), (3, 5), (4, 6)])
def test_ks_tail_by_counting_every_order(n: int, m: int) -> None:
    """Without ties every choice of n places among n + m is as likely: count those at least as far apart."""
    pooled = np.arange(n + m, dtype=float)
    chosen = [list(places) for places in itertools.combinations(range(n + m), n)]
    pairs = [(pooled[places], np.delete(pooled, places)) for places in chosen]
    distances = np.array([float(two_sample.ks_statistic(x, y)) for x, y in pairs])
    for (x, y), distance in zip(pairs, distances, strict=True):
        assert two_sample.ks_pvalue(x, y) == pytest.approx(np.mean(distances >= distance - 1e-12), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (400, 397), (3000, 2000), (40, 400), (1, 9), (12_000, 11_000)])
@pytest.mark.parametrize("shift", [0.02, 0.2, 1.0, 4.0])
def test_ks_of_large_unequal_samples_equals_scipy(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(n + m)
    x, y = rng.normal(size=n), rng.normal(shift, size=m)
    assert two_sample.ks_pvalue(x, y) == pytest.approx(ks_2samp(x, y).pvalue, rel=1e-9, abs=0)


def test_ks_is_exact_up_to_ten_thousand() -> None:
    """Both of two above all of n: two of the C(n + 2, 2) orders are as far apart; of 10,001 it is an approximation."""
    low, high = np.arange(10_001.0), np.array([1e5, 2e5])
    for x, y in ((low[1:], high), (high, low[1:])):
        assert two_sample.ks_pvalue(x, y) == pytest.approx(2 / math.comb(10_002, 2), rel=1e-9, abs=0)
    assert two_sample.ks_pvalue(low, high) != pytest.approx(2 / math.comb(10_003, 2), rel=0.01, abs=0)


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


@settings(deadline=None)
@given(values, values, st.floats(0, 1))
def test_tpr_at_is_the_best_point_of_the_curve(member: np.ndarray, other: np.ndarray, rate: float) -> None:
    fpr, tpr = roc.roc(member, other)
    assert roc.tpr_at(rate, member, other) == pytest.approx(tpr[fpr <= rate + 1e-9 / len(other)].max())
