"""Of many samples at once each is as it is alone; rates at the ends of the curve."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import roc

rng = np.random.default_rng(0)
MEMBER, OTHER = rng.integers(0, 9, (4, 1, 20)).astype(float), rng.integers(0, 9, (3, 15)).astype(float)


@pytest.mark.parametrize("statistic", [roc.auc, lambda a, b: roc.tpr_at(0.2, a, b)])
def test_of_many_samples_each_is_as_it_is_alone(statistic) -> None:
    found = statistic(MEMBER, OTHER)
    assert found.tolist() == [[float(statistic(a[0], b)) for b in OTHER] for a in MEMBER]
    assert len(np.unique(found)) > 3


def test_auc_counts_the_pairs_that_stand_in_order_and_ties_half() -> None:
    below, tied = MEMBER[..., None] < OTHER[:, None, :], MEMBER[..., None] == OTHER[:, None, :]
    np.testing.assert_allclose(roc.auc(MEMBER, OTHER), (below + tied / 2).mean(axis=(-2, -1)), rtol=1e-12)


@pytest.mark.parametrize("statistic", [roc.auc, lambda a, b: roc.tpr_at(0.2, a, b), lambda a, b: roc.tpr_at(1.0, a, b)])
def test_a_sample_with_a_nan_spoils_no_other(statistic) -> None:
    other = OTHER.copy()
    other[1, 7] = np.nan
    found, whole = statistic(MEMBER, other), statistic(MEMBER, OTHER)
    assert np.isnan(found[:, 1]).all()
    assert (found[:, [0, 2]] == whole[:, [0, 2]]).all()


@pytest.mark.parametrize("other", [OTHER, OTHER[0], OTHER[None]])
def test_where_all_alarms_may_be_false_every_member_is_found(other: np.ndarray) -> None:
    found = roc.tpr_at(1.0, MEMBER, other)
    assert found.shape == (MEMBER[..., 0] + other[..., 0]).shape and (found == 1).all()


def test_a_rate_allows_the_whole_number_of_false_alarms_that_it_reaches() -> None:
    """Scores 1 to 10 of others, members between them: with a of ten false alarms those below the (a + 1)th are found.

    0.3 x 10 is 3 whatever the last digit of 0.3 is.
    """
    other, member = np.arange(1.0, 11), np.arange(0.5, 10)
    for rate, found in ((0.0, 1), (0.09, 1), (0.1, 2), (0.3, 4), (0.7, 8), (0.99, 10)):
        assert roc.tpr_at(rate, member, other) == found / 10
    assert roc.tpr_at(0.0, other, other) == 0, "as low as another is not below it"
