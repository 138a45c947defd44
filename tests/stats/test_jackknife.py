"""Standard errors, tests and intervals from leaving out one cluster, against textbook formulas and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, stdtrit
from scipy.stats import beta, ttest_1samp

from bench.stats.jackknife import (
    Part,
    between_seeds,
    free_interval,
    holm,
    jackknife,
    joined_interval,
    p_value,
    reach,
    satterthwaite,
    share_interval,
    tost,
)

parts = st.lists(
    st.builds(Part, st.floats(1e-4, 10), st.sampled_from([1.0, 2.0, 4.0, 9.0, 19.0])), min_size=1, max_size=3
)


def without(values: np.ndarray) -> np.ndarray:
    """The mean of clusters of one item each, without each of them."""
    return (values.sum() - values) / (len(values) - 1)


# -- variances -------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20))
def test_of_a_mean_it_is_the_textbook_variance(values: list[float]) -> None:
    """s^2 / K with K - 1 degrees of freedom."""
    x = np.array(values)
    found = jackknife(without(x), np.ones(len(x)))
    assert found.variance == pytest.approx(x.var(ddof=1) / len(x), abs=1e-12)
    assert found.df == pytest.approx(len(x) - 1)


def test_degrees_of_freedom_are_kishs() -> None:
    """Sizes 9, 1, 1, 1: (12)^2 / 84 - 1 = 0.714, and never below 1; 2, 1, 1: 16 / 6 - 1 = 1.667."""
    assert jackknife(np.zeros(4), np.array([9, 1, 1, 1])).df == 1.0
    assert jackknife(np.zeros(3), np.array([2, 1, 1])).df == pytest.approx(16 / 6 - 1)


def test_of_one_cluster_nothing_is_known() -> None:
    assert math.isnan(jackknife(np.zeros(1), np.ones(1)).variance)
    of_several = jackknife(np.zeros((2, 3, 1)), np.ones(1))
    assert of_several.variance.shape == (2, 3) and np.isnan(of_several.variance).all() and of_several.df == 1


def test_between_seeds_and_together() -> None:
    """Seeds 1, 2, 3: s^2 / 3 = 1/3 with 2. With a variance of 1 and 10: (4/3)^2 / (1/10 + (1/9)/2) degrees."""
    seeds = between_seeds([1.0, 2.0, 3.0])
    assert seeds == pytest.approx((1 / 3, 2.0))
    both = satterthwaite([Part(1.0, 10.0), seeds])
    assert both == pytest.approx((4 / 3, (4 / 3) ** 2 / (0.1 + (1 / 9) / 2)))


@given(parts)
def test_satterthwaites_limits(given_parts: list[Part]) -> None:
    """One part is itself; together between the smallest df and the sum; what has no variance leaves no trace."""
    found = satterthwaite(given_parts)
    assert found.variance == pytest.approx(sum(p.variance for p in given_parts))
    dfs = [p.df for p in given_parts]
    assert min(dfs) * (1 - 1e-9) <= found.df <= sum(dfs) * (1 + 1e-9)
    assert satterthwaite([*given_parts, Part(0.0, 1.0)]) == pytest.approx(found)
    assert satterthwaite([Part(0.0, 3.0), Part(0.0, 2.0)]) == (0.0, 2.0)


# -- tests -----------------------------------------------------------------------------------------------------------


def test_one_part_is_students() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 9)
    part = jackknife(without(values), np.ones(9))
    theirs = ttest_1samp(values, 0.0)
    assert p_value(values.mean(), [part]) == pytest.approx(theirs.pvalue, rel=1e-6)
    interval = theirs.confidence_interval(0.95)
    assert free_interval(values.mean(), [part]) == pytest.approx((interval.low, interval.high))


@settings(deadline=None)
@given(parts, st.floats(1e-6, 0.9))
def test_p_is_alpha_where_the_difference_is_the_reach(given_parts: list[Part], alpha: float) -> None:
    """So interval and p cannot contradict each other, at any level."""
    half = reach(given_parts, alpha)
    assert p_value(half, given_parts) == pytest.approx(alpha, rel=1e-6)
    assert p_value(half * 1.001, given_parts) < alpha < p_value(half * 0.999, given_parts)


def test_p_is_found_where_the_search_meets_it_at_once() -> None:
    """The search halves the logarithms between 1e-15 and 1, so it begins at the square root of 1e-15."""
    alpha = np.exp(math.log(1e-15) / 2)
    given_parts = [Part(1.0, 4.0), Part(0.5, 9.0)]
    half = np.sqrt(sum(stdtrit(df, alpha / 2) ** 2 * variance for variance, df in given_parts))
    assert p_value(half, given_parts) == pytest.approx(alpha, rel=1e-6, abs=0)


@given(parts)
def test_reach_is_wider_than_any_part_and_than_satterthwaites(given_parts: list[Part]) -> None:
    half = reach(given_parts, 0.05)
    assert all(half >= reach([part], 0.05) for part in given_parts)
    assert half >= reach([satterthwaite(given_parts)], 0.05) * (1 - 1e-9)


def test_several_at_once_are_each_alone() -> None:
    """Variances, half-widths, p-values of arrays, element for element; ends and missing variances among them."""
    rng = np.random.default_rng(0)
    left, seeds, sizes = rng.random((6, 12)), rng.random((6, 4)), rng.integers(1, 5, 12)
    left[2] = 0.5
    seeds[2] = 0.4
    apart = np.array([0.3, -0.05, 0.2, 0.0, 1e-9, -4.0])
    joint = [jackknife(left, sizes), between_seeds(seeds)]
    for i, d in enumerate(apart):
        alone = [jackknife(left[i], sizes), between_seeds(seeds[i])]
        assert [part.variance[i] for part in joint] == [part.variance for part in alone]
        assert [each[i] for each in (satterthwaite(joint).variance, satterthwaite(joint).df)] == [*satterthwaite(alone)]
        for parts, own in ((joint, alone), (joint[:1], alone[:1])):
            assert reach(parts, 0.05)[i] == reach(own, 0.05)
            assert p_value(apart, parts)[i] == p_value(d, own)
            assert tost(apart, parts, 0.1)[i] == tost(d, own, 0.1)
            assert type(p_value(d, own)) is type(tost(d, own, 0.1)) is type(reach(own, 0.05)) is float


def test_ends_of_p() -> None:
    """No difference is no evidence; a difference without any variance is certain to what is computed."""
    for parts in ([Part(1.0, 3.0)], [Part(0.0, 3.0)], [Part(1.0, 3.0), Part(2.0, 4.0)], [Part(0.0, 3.0)] * 2):
        with np.errstate(divide="raise", invalid="raise"):
            assert p_value(0.0, parts) == 1.0
    for parts in ([Part(0.0, 3.0)], [Part(0.0, 3.0)] * 2):
        with np.errstate(divide="raise", invalid="raise"):
            assert p_value(0.1, parts) == pytest.approx(1e-15, rel=1e-6, abs=0)
    assert p_value(-2.0, [Part(1.0, 3.0)]) == p_value(2.0, [Part(1.0, 3.0)])


def test_tost_by_hand() -> None:
    """Difference 0.02 with error 0.01: the nearer bound of +-0.05 is 3 errors away, p = P(T_9 > 3) = 0.00748."""
    error = [Part(1e-4, 9.0)]
    assert tost(0.02, error, 0.05) == tost(-0.02, error, 0.05) == pytest.approx(0.007478, abs=1e-6)
    assert tost(0.05, error, 0.05) == tost(0.08, error, 0.05) == 1.0


def test_holm_by_hand() -> None:
    """0.01, 0.03, 0.04, 0.005 in order: 4 x 0.005, 3 x 0.01, 2 x 0.03, then the larger of 0.06 and 0.04."""
    assert holm([0.01, 0.03, 0.04, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    found = holm(p)
    assert all(a <= b <= min(1.0, len(p) * a) for a, b in zip(p, found, strict=True))
    assert [found[i] for i in np.argsort(p, kind="stable")] == sorted(found)


# -- intervals -------------------------------------------------------------------------------------------------------


def share(values: np.ndarray, seeds: tuple[float, ...] = ()):
    return share_interval(values.mean(), [without(values)], [np.ones(len(values))], seeds)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=20), st.lists(st.floats(0, 1), max_size=5))
def test_a_share_stays_a_share(values: list[float], seeds: list[float]) -> None:
    x = np.array(values)
    near = np.abs([*without(x), x.mean()] - np.array([[0.0], [1.0]]))
    assume((np.abs(near - 1e-9) > 1e-12).all())  # what rounding puts at an end on one side only has no mirror image
    lo, hi = share(x, tuple(seeds))
    assert 0 <= lo <= x.mean() + 1e-12 and x.mean() - 1e-12 <= hi <= 1
    mirrored = share(1 - x, tuple(1 - s for s in seeds))
    assert mirrored == pytest.approx((1 - hi, 1 - lo), abs=1e-6)


def test_a_share_by_hand() -> None:
    """t with K - 1 = 3 of the jackknife on the logit scale."""
    x = np.array([0.2, 0.4, 0.5, 0.7])
    left = logit(without(x))
    half = stdtrit(3, 0.975) * math.sqrt(3 / 4 * ((left - left.mean()) ** 2).sum())
    assert share(x) == pytest.approx((expit(logit(0.45) - half), expit(logit(0.45) + half)))


def test_a_share_at_its_ends() -> None:
    """All of K = 10 clusters at 0: up to 1 - 0.05^(1/10) (Clopper & Pearson); all but one: Beta(2, 9) at 0.975."""
    zero, one = np.zeros(10), np.array([1.0] + [0.0] * 9)
    assert share(zero) == pytest.approx((0.0, 1 - 0.05**0.1))
    assert share(1 - zero) == pytest.approx((0.05**0.1, 1.0))
    assert share(one).hi >= beta.ppf(0.975, 2, 9) - 1e-9
    assert share(one).lo > 0


def test_as_near_to_an_end_as_rounding_goes_is_at_it() -> None:
    """Of K = 10; nothing is divided by the slope of the logit, which is none there."""
    bound = 1 - 0.05**0.1
    alike = lambda m: share_interval(m, [np.full(10, m)], [np.ones(10)], (m, m))  # noqa: E731
    for near in (0.0, 1e-12, 1e-9):
        with np.errstate(divide="raise", invalid="raise"):
            assert alike(near) == pytest.approx((0, bound))
            assert alike(1 - near) == pytest.approx((1 - bound, 1))
    assert alike(2e-9).lo > 0 and alike(1 - 2e-9).hi < 1


def test_a_cluster_as_near_to_an_end_as_rounding_goes_touches_it() -> None:
    one_left = lambda m, near: share_interval(m, [np.array([near, m, m, m])], [np.ones(4)])  # noqa: E731
    assert one_left(0.2, 1e-9) == pytest.approx(one_left(0.2, 0.0), rel=1e-6)
    assert one_left(0.8, 1 - 1e-9) == pytest.approx(one_left(0.8, 1.0), rel=1e-6)
    assert one_left(0.2, 2e-9) != pytest.approx(one_left(0.2, 0.0), rel=0.1)


def test_all_but_one_at_an_end_by_hand() -> None:
    """Where a logit is infinite its error is that of the share, sqrt(s^2 / K), over its slope m (1 - m); t with K - 1.

    One of five at x, so m = x / 5 and s^2 = x^2 / 5. Away from the end it reaches at least as far as one of five does
    at most, which is what decides for x = 0.05, and what 1 reaches by itself.
    """
    at_most = beta.ppf(0.975, 2, 4)
    reached = []
    for x in (0.05, 1.0):
        m = x / 5
        half = stdtrit(4, 0.975) * math.sqrt(x**2 / 5 / 5) / (m * (1 - m))
        lo, hi = expit(logit(m) - half), expit(logit(m) + half)
        reached.append(hi > at_most)
        values = np.array([x, 0, 0, 0, 0])
        assert share(values) == pytest.approx((lo, max(hi, at_most)))
        assert share(1 - values) == pytest.approx((1 - max(hi, at_most), 1 - lo))
    assert reached == [False, True]


def test_what_touches_both_ends_reaches_towards_both() -> None:
    """A statistic that is 0 without one cluster and 1 without another: 0.5, and 0.5 of one of eight at most."""
    left = np.array([0.0, 1.0] + [0.5] * 6)
    half = stdtrit(7, 0.975) * math.sqrt(7 / 8 * 2 * 0.5**2) / 0.25
    at_most = beta.ppf(0.975, 2, 7)
    assert expit(half) > at_most
    assert share_interval(0.5, [left], [np.ones(8)]) == pytest.approx((expit(-half), expit(half)))


def test_sets_of_clusters_and_seeds_by_hand() -> None:
    """Sets by Satterthwaite; the seeds' s^2 / S over the squared slope with S - 1, of two of them by Banerjee."""
    one, other = np.array([0.3, 0.35, 0.4, 0.45, 0.3]), np.array([0.2, 0.4, 0.45])
    sizes = [np.array([1, 2, 3, 2, 2]), np.array([5, 3, 2])]
    m, slope = 0.36, 0.36 * 0.64
    parts = [jackknife(logit(left), n) for left, n in zip((one, other), sizes, strict=True)]
    clusters = satterthwaite(parts)
    for seeds in ((), (0.36,), (0.3, 0.42), (0.3, 0.36, 0.42)):
        halves = [stdtrit(clusters.df, 0.95) ** 2 * clusters.variance]
        if len(seeds) > 1:
            between = Part(np.var(seeds, ddof=1) / len(seeds) / slope**2, len(seeds) - 1)
            halves.append(stdtrit(between.df, 0.95) ** 2 * between.variance)
            if len(seeds) > 2:
                joint = satterthwaite([clusters, between])
                halves = [stdtrit(joint.df, 0.95) ** 2 * joint.variance]
        half = math.sqrt(sum(halves))
        found = share_interval(m, [one, other], sizes, seeds, level=0.9)
        assert found == pytest.approx((expit(logit(m) - half), expit(logit(m) + half)))


def test_the_fewest_clusters_and_the_level_decide_at_an_end() -> None:
    """0 of ten and of four at 0.9: up to 1 - 0.1^(1/4); all but one, Beta(2, 3) at 0.95."""
    sets, sizes = [np.zeros(10), np.zeros(4)], [np.ones(10), np.ones(4)]
    assert share_interval(0.0, sets, sizes, level=0.9) == pytest.approx((0, 1 - 0.1**0.25))
    nearly = [np.array([0.0] + [0.001] * 9), np.full(4, 0.001)]
    assert share_interval(0.001, nearly, sizes, level=0.9).hi == pytest.approx(beta.ppf(0.95, 2, 3))


def test_several_shares_at_once_are_each_alone() -> None:
    """In the middle, at either end, touching either or both; with seeds and without."""
    rng = np.random.default_rng(0)
    one, other = rng.uniform(0.3, 0.6, (6, 5)), rng.uniform(0.3, 0.6, (6, 4))
    value = np.array([0.45, 0.0, 1.0, 0.1, 0.9, 0.5])
    one[1], other[1], one[2], other[2] = 0, 0, 1, 1
    one[3, 0], other[4, 1], one[5, 2], other[5, 3] = 0, 1, 0, 1
    sizes = [np.array([1, 2, 1, 3, 1]), np.ones(4)]
    for seeds in (np.empty((6, 0)), value[:, None] + rng.uniform(-0.1, 0.1, (6, 2)), rng.random((6, 3))):
        lo, hi = share_interval(value, [one, other], sizes, seeds)
        for i, m in enumerate(value):
            alone = share_interval(float(m), [one[i], other[i]], sizes, seeds[i])
            assert (lo[i], hi[i]) == pytest.approx(alone, rel=1e-12)
            assert type(alone.lo) is type(alone.hi) is float


def test_below_three_clusters_there_is_none() -> None:
    assert share_interval(0.5, [], []) is None
    assert share(np.array([0.2, 0.8])) is None
    three = [np.array([0.4, 0.5, 0.6])]
    assert share_interval(0.5, three, [np.ones(3)]) is not None
    assert share_interval(0.5, [*three, np.array([0.4, 0.6])], [np.ones(3), np.ones(2)]) is None


def test_sets_of_clusters_without_their_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        share_interval(0.5, [np.array([0.4, 0.5, 0.6])] * 2, [np.ones(3)])


def test_seeds_widen_it_and_two_widen_it_most() -> None:
    """Spread 0.02 between seeds; with two its variance has one degree of freedom."""
    x = np.random.default_rng(0).uniform(0.2, 0.8, 20)
    m = x.mean()
    none, two, three = (share(x, seeds) for seeds in ((m,), (m - 0.02, m + 0.02), (m - 0.02, m, m + 0.02)))
    assert none == share(x)
    assert two.lo < three.lo < none.lo and none.hi < three.hi < two.hi


def test_a_joint_interval_by_hand() -> None:
    """Mean of 0.4 in [0.2, 0.5] and 0.8 in [0.7, 0.9]: distances 0.1 and 0.05 below, 0.05 and 0.05 above.

    Uncorrelated [0.6 - sqrt(.0125), 0.6 + sqrt(.005)]; fully correlated the sums 0.15 and 0.1.
    """
    function = lambda x: np.mean(x, axis=0)  # noqa: E731
    values, limits = np.array([0.4, 0.8]), np.array([[0.2, 0.5], [0.7, 0.9]])
    found = joined_interval(function, values, limits, np.eye(2))
    assert found == pytest.approx((0.6 - math.sqrt(0.0125), 0.6 + math.sqrt(0.005)))
    assert joined_interval(function, values, limits, np.ones((2, 2))) == pytest.approx((0.45, 0.7))


def test_a_share_whose_limit_is_its_end_takes_it_fully() -> None:
    """0.8 in [0.7, 1]: the mean of 0.4 and 1 is 0.7, from there 0.05 for the other share."""
    values, limits = np.array([0.4, 0.8]), np.array([[0.2, 0.5], [0.7, 1.0]])
    assert joined_interval(lambda x: np.mean(x, axis=0), values, limits, np.eye(2)).hi == pytest.approx(0.75)


def test_a_share_whose_lower_limit_is_its_end_takes_it_fully_too() -> None:
    """0.4 in [0, 0.5]: the mean of 0 and 0.8 is 0.4, from there 0.05 for the other share."""
    values, limits = np.array([0.4, 0.8]), np.array([[0.0, 0.5], [0.7, 0.9]])
    assert joined_interval(lambda x: np.mean(x, axis=0), values, limits, np.eye(2)).lo == pytest.approx(0.35)


def test_a_joint_interval_of_shares_stays_within_zero_and_one() -> None:
    """One of two, each 0.5 in [0.01, 0.99]: 0.75, and 0.995 with one at its limit; 2 x 0.245 beyond 0.75 is above 1.

    Both of two is its mirror image: 0.25, and 0.005 with one at its limit.
    """
    values, limits, alike = np.full(2, 0.5), np.array([[0.01, 0.99]] * 2), np.ones((2, 2))
    assert joined_interval(lambda x: 1 - np.prod(1 - x, axis=0), values, limits, alike).hi == 1
    assert joined_interval(lambda x: np.prod(x, axis=0), values, limits, alike).lo == 0


def test_errors_that_cancel_to_the_last_digit_leave_the_value() -> None:
    """Of correlation -1, and a rounding beyond."""
    values, limits = np.array([0.4, 0.6]), np.array([[0.3, 0.5], [0.5, 0.7]])
    opposite = np.array([[1, -1 - 1e-12], [-1 - 1e-12, 1]])
    assert joined_interval(lambda x: np.mean(x, axis=0), values, limits, opposite) == pytest.approx((0.5, 0.5))
