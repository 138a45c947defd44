"""Ways between forgetting and keeping, drawn through a few points. Nothing of this project."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
FINE = 40
"""Points drawn for each that was measured: a straight line between two of them is then as good as the curve."""


def drawn_through(*sides: Sequence[float]) -> list[list[float]]:
    """Shares in [0, 1] at evenly spaced times of a run, each side as a smooth curve through its points, `FINE` a gap.

    A run speeds up and slows down, and straight lines between its points cut the corners: on the same run the value
    read at a level then changes with the number of points. Each side is drawn over time by a monotone cubic (Fritsch
    and Carlson 1980) in arcsin(sqrt(x)), where shares near 0 and 1 are no special case. Between two points neither side
    leaves the range of the two, so nothing is drawn that is better than what was measured.
    """
    if len(sides[0]) < 3:
        return [list(side) for side in sides]
    measured = np.asarray(sides, dtype=float)
    curves = np.sin(_monotone(np.arcsin(np.sqrt(np.clip(measured, 0, 1))))) ** 2
    curves[:, ::FINE] = measured  # to the last digit
    return curves.tolist()  # type: ignore[no-any-return]


def _monotone(y: Array) -> Array:
    """The monotone cubic through evenly spaced points [..., n], n at least 3, `FINE` values a gap and the last point.

    Slopes are the harmonic mean of those on both sides, 0 at a turn (Fritsch and Butland 1984); at the ends those of
    the parabola through three points, kept from overshooting. What scipy's PchipInterpolator draws, at a tenth of its
    time for a few points.
    """
    rise = np.diff(y, axis=-1)
    before, after = rise[..., :-1], rise[..., 1:]
    onward = before * after > 0
    inner = np.zeros_like(before)
    inner[onward] = 2 / (1 / before[onward] + 1 / after[onward])
    first, last = _end(rise[..., 0], rise[..., 1]), _end(rise[..., -1], rise[..., -2])
    slope = np.concatenate([first[..., None], inner, last[..., None]], axis=-1)[..., None]
    t = np.arange(FINE) / FINE
    left, right, gap = slope[..., :-1, :], slope[..., 1:, :], rise[..., None]
    drawn = y[..., :-1, None] + t * (left + t * (3 * gap - 2 * left - right + t * (left + right - 2 * gap)))
    return np.concatenate([drawn.reshape(*y.shape[:-1], -1), y[..., -1:]], axis=-1)


def _end(near: Array, far: Array) -> Array:
    """The slope at an end, from the rise of the gap there and of the next one."""
    slope = (3 * near - far) / 2
    kept = np.where((np.sign(near) != np.sign(far)) & (np.abs(slope) > 3 * np.abs(near)), 3 * near, slope)
    return np.where(np.sign(slope) == np.sign(near), kept, 0.0)
