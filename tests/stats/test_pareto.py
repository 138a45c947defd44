"""The Pareto front, by hand and against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.stats.pareto import front


def test_by_hand() -> None:
    """d is beaten by b in both, e by a in one and equal in the other; f equals b and is kept."""
    points = {"a": (0.0, 3.0), "b": (1.0, 2.0), "c": (2.0, 1.0), "d": (0.5, 1.5), "e": (0.0, 2.5), "f": (1.0, 2.0)}
    assert front(points) in (["a", "b", "f", "c"], ["a", "f", "b", "c"])
    assert front({}) == []
    assert front({"only": (float("-inf"), 0.0)}) == ["only"]


numbers = st.integers(0, 4).map(float)


@given(st.dictionaries(st.text(max_size=3), st.tuples(numbers, numbers), max_size=9))
def test_it_is_what_nothing_beats(points: dict[str, tuple[float, float]]) -> None:
    best = {
        name
        for name, (x, y) in points.items()
        if not any(u >= x and v >= y and (u, v) != (x, y) for u, v in points.values())
    }
    found = front(points)
    assert set(found) == best
    assert [points[name][0] for name in found] == sorted(points[name][0] for name in found)
