"""Restored, corrupted and lost: what must hold whatever the probabilities are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics._candidates import first, margin, says

LEVELS = st.lists(st.integers(-6, 0), min_size=1, max_size=6)  # few values, so that there are ties


def ranked(true: list[float], false: float, other: list[float]) -> list[float]:
    """Restored, corrupted and lost of one item."""
    level = np.array([*true, false, *other], dtype=float)
    role = np.array([0] * len(true) + [1] + [2] * len(other))
    return first(level, role, np.zeros(len(level), dtype=int), 1)[:, 0].tolist()


@given(LEVELS, st.integers(-6, 0), LEVELS)
def test_the_three_add_up_to_1(true, false, other):
    found = ranked(true, false, other)
    assert sum(found) == pytest.approx(1.0)
    assert min(found) >= 0


@given(st.integers(-6, 0), st.integers(-6, 0), LEVELS)
def test_who_swaps_true_and_false_swaps_restored_and_corrupted(true, false, other):
    restored, corrupted, lost = ranked([true], false, other)
    assert ranked([false], true, other) == [corrupted, restored, lost]


@given(LEVELS, st.integers(-6, 0), LEVELS, st.integers(-6, 0))
def test_another_true_answer_never_lowers_restored(true, false, other, alias):
    assert ranked([*true, alias], false, other)[0] >= ranked(true, false, other)[0] - 1e-12


@given(st.integers(1, 6), st.integers(0, 20))
def test_who_knows_nothing_restores_by_chance(true, other):
    assert ranked([-2.0] * true, -2.0, [-2.0] * other)[0] == pytest.approx(true / (true + 1 + other))


def test_items_are_kept_apart():
    """Two items end to end, in any order of their candidates."""
    level = np.array([-1.0, -2.0, -3.0, -3.0, -2.0, -1.0])
    role = np.array([0, 1, 2, 0, 1, 2])
    owner = np.array([0, 0, 0, 1, 1, 1])
    order = np.array([4, 0, 5, 2, 3, 1])
    assert first(level[order], role[order], owner[order], 2).T.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert margin(level[order], role[order], owner[order], 2).tolist() == [1.0, -1.0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("role", "worst"),
    [([1, 2], -3.0), ([0, 2], -3.0), ([2, 2], -3.0), ([0, 1], np.inf), ([0, 1], -np.inf), ([0, 1], np.nan)],
)
def test_without_a_true_or_a_false_one_or_with_an_unknown_one_nothing_is_first(role, worst):
    """The item beside it has all of them."""
    level = np.array([-2.0, worst, -1.0, -2.0])
    roles, owner = np.array([*role, 0, 1]), np.array([0, 0, 1, 1])
    assert np.isnan(first(level, roles, owner, 2)[:, 0]).all()
    assert first(level, roles, owner, 2)[:, 1].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(margin(level, roles, owner, 2), [np.nan, 1.0])


@pytest.mark.parametrize(
    ("said", "true", "expected"),
    [
        ("Lima", ["Lima"], 1.0),
        ("  lima.", ["Lima"], 1.0),
        ("Limassol", ["Lima"], 0.0),
        ("Saint-Denis", ["saint denis"], 1.0),
        ("Denis Saint", ["saint denis"], 0.0),
        ("", ["Lima"], 0.0),
        ("\nLima\nRome", ["Lima"], 1.0),
        ("Rome\nLima", ["Lima"], 0.0),
    ],
)
def test_an_answer_is_found_word_by_word_in_the_first_line(said, true, expected):
    assert says(said, true) == expected


def test_without_a_true_answer_nothing_is_scored():
    assert np.isnan(says("Lima", [])) and np.isnan(says("Lima", ["..."]))
