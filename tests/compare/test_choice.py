"""Where a line is read: each half of the clusters at the place that the other half gives most away at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bench.compare.choice import choose
from bench.compare.readings import Seen

NAN = np.nan
CROSSED = ((0.8, 0.1, 0.8, 0.1), (0.2, 0.6, 0.2, 0.6))
"""Even clusters give most away at the first place, odd ones at the second."""


def seen(own: Sequence[Sequence[float]], retrain: float | np.ndarray = 0.0, target: float | np.ndarray = 1.0) -> Seen:
    """One seed and one item a cluster, by place: steps of one setting."""
    known = np.array(own)
    places, items = known.shape
    models = [known, *(np.broadcast_to(level, known.shape) for level in (retrain, target))]
    blank = np.full((2, 1, places, 1), NAN)
    return Seen((5,), tuple(("", float(p)) for p in range(places)), np.stack(models)[:, None],
                np.zeros((3, 1, items)), blank, 1.0)  # fmt: skip


@pytest.mark.parametrize("clusters", [2, 4])
def test_each_half_is_read_where_the_other_gives_most_away(clusters: int) -> None:
    of = seen([place[:clusters] for place in CROSSED])
    choice = choose(of, [0, 1], None, np.arange(clusters))
    assert choice is not None and choice.seeds == (5,)
    assert list(choice.where) == [1, 0] * (clusters // 2) and choice.places == (1, 0)
    assert choice.at[0, 0] == pytest.approx([0.2, 0.1] * (clusters // 2))


def test_a_single_cluster_has_no_other_half() -> None:
    choice = choose(seen([[0.1, 0.2], [0.6, 0.5]]), [0, 1], None, np.zeros(2, dtype=int))
    assert choice is not None and list(choice.where) == [1, 1]


def test_a_place_at_which_nobody_is_scored_was_not_chosen() -> None:
    """Of the odd clusters the target was not asked."""
    target = np.array([1.0, NAN, 1.0, NAN])
    choice = choose(seen(CROSSED, target=target), [0, 1], None, np.arange(4))
    assert choice is not None and choice.places == (1,)
    assert choose(seen(CROSSED, target=np.full(4, NAN)), [0, 1], None, np.arange(4)) is None


def test_what_the_method_was_not_asked_is_as_if_it_were_not_there() -> None:
    asked = choose(seen([[NAN, *place] for place in CROSSED]), [0, 1], None, np.arange(5))
    plain = choose(seen(CROSSED), [0, 1], None, np.arange(4))
    assert asked is not None and plain is not None
    assert list(asked.where) == list(plain.where)


def test_the_way_to_where_a_line_is_read_takes_two_steps_or_more() -> None:
    choice = choose(seen(CROSSED), [0, 1], None, np.arange(4))
    assert choice is not None
    places = (("", 0.0), ("", 1.0))
    curves = choice.curves(places, [0, 1])
    assert curves is not None and curves.steps == (0.0, 1.0)
    assert curves.own[:, 0] == pytest.approx(np.array(CROSSED))
    assert choice.curves(places, [1]) is None
