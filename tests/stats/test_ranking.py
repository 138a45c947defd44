"""Ranks and letters never contradict a test, whatever the tests say; who has collapsed."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import Score
from bench.stats.ranking import below_floor, letters, ranks

PAIRS = list(combinations("abcdefg", 2))
some_pairs = st.sets(st.sampled_from(PAIRS))


@given(some_pairs)
def test_who_is_beaten_never_has_as_good_a_rank(significant: set[tuple[str, str]]) -> None:
    """Any set of significant differences, transitive or not; the better of a pair stands first."""
    found = ranks("abcdefg", lambda x, y: (x, y) in significant)
    assert all(found[better] < found[worse] for better, worse in significant)
    assert {m for m, rank in found.items() if rank == 1} == {
        m for m in "abcdefg" if m not in {b for _, b in significant}
    }
    assert set(found.values()) == set(range(1, max(found.values()) + 1))


@given(some_pairs)
def test_methods_share_a_letter_if_and_only_if_no_difference_is_shown(significant: set[tuple[str, str]]) -> None:
    found = letters("abcdefg", lambda x, y: (x, y) in significant or (y, x) in significant)
    for pair in PAIRS:
        assert bool(set(found[pair[0]]) & set(found[pair[1]])) == (pair not in significant)
    assert all(found.values())


def test_by_hand() -> None:
    """a beats c and d, b beats c: c is beaten, and so is d, but c and d share a letter; the table of issue 11, 9."""
    significant = {("a", "c"), ("a", "d"), ("b", "c")}
    assert ranks("abcd", lambda x, y: (x, y) in significant) == {"a": 1, "b": 1, "c": 2, "d": 2}
    differ = lambda x, y: (x, y) in significant or (y, x) in significant  # noqa: E731
    assert letters("abcd", differ) == {"a": "a", "b": "ab", "c": "c", "d": "bc"}
    assert ranks("abc", lambda *_: True) == {"a": 1, "b": 2, "c": 3}
    assert ranks("", lambda *_: True) == letters("", lambda *_: True) == {}


def test_more_letters_than_the_alphabet() -> None:
    names = [f"m{i:02}" for i in range(30)]
    found = letters(names, lambda *_: True)
    assert found["m00"] == "a" and found["m25"] == "z" and found["m26"] == "aa" and len(set(found.values())) == 30


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (Score(0.3, 0.2, 0.4), "apart"),
        (Score(0.45, 0.3, 0.6), "near"),
        (Score(0.55, 0.45, 0.65), "near"),
        (Score(0.9, 0.8, 1.0), ""),
        (Score(0.3), "near"),  # without an interval nothing is shown
        (Score(0.9), ""),
        (Score(None), ""),
        (Score(0.4, 0.3, 0.5), "near"),
        (Score(0.6, 0.5, 0.7), ""),  # just at the floor is not below it
        (Score(0.5), ""),
    ],
)
def test_a_floor_is_held_against_the_interval(share: Score, said: str) -> None:
    assert below_floor(share.value, share.lo, share.hi, 0.5) == said
