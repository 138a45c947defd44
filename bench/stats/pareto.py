"""The points that nothing beats. Nothing of this project."""

from __future__ import annotations

from collections.abc import Mapping


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points that no other is at least as good as in both numbers and better in one, by the first.

    Larger is better in both; points that are equal are all kept.
    """
    best: list[str] = []
    highest, at = float("-inf"), float("inf")
    for name in sorted(points, key=lambda n: (-points[n][0], -points[n][1])):
        x, y = points[name]
        if y > highest or (y == highest and x == at):
            best.append(name)
            highest, at = y, x
    return best[::-1]
