"""Ways between forgetting and keeping, drawn through a few points. numpy and scipy, nothing of this project."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

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
    times = np.arange(len(sides[0]))
    fine = np.linspace(0, times[-1], FINE * times[-1] + 1)
    measured = np.asarray(sides, dtype=float)
    angles = np.arcsin(np.sqrt(np.clip(measured, 0, 1)))
    curves = np.sin(PchipInterpolator(times, angles, axis=1)(fine)) ** 2
    curves[:, ::FINE] = measured  # to the last digit
    return curves.tolist()  # type: ignore[no-any-return]
