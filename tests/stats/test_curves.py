"""Trade-offs read at a level from few points and from many: the density of a trace must not show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from bench.compare.trade_off import kept_at
from bench.stats.curves import FINE, drawn_through

LEVELS = np.linspace(0.05, 0.9, 18)


def run(shape: str, points: int) -> tuple[list[float], list[float]]:
    """Forget and retain probability at `points` + 1 moments of a run that slows down, in shapes that runs have."""
    t = np.linspace(0, 1, points + 1)
    t = 1 - (1 - t) ** 2  # the learning rate decays to 0
    forget = 0.98 / (1 + np.exp(10 * (t - 0.45))) / (1 / (1 + np.exp(-4.5)))
    if shape == "ruin":  # retain follows, a little later
        retain = 0.98 / (1 + np.exp(10 * (t - 0.55)))
    elif shape == "dip":  # retain falls and comes back half of the way
        retain = 0.98 - 0.6 * np.exp(-(((t - 0.6) / 0.2) ** 2)) - 0.2 * t
    else:  # kept
        retain = 0.98 - 0.3 * t**2
    return forget.tolist(), retain.tolist()


@pytest.mark.parametrize("shape", ["ruin", "dip", "kept"])
@pytest.mark.parametrize("points", [10, 20, 40])
def test_the_value_at_a_level_does_not_depend_on_the_density_of_the_trace(shape: str, points: int) -> None:
    dense, sparse = run(shape, 2000), drawn_through(*run(shape, points))
    for level in LEVELS:
        assert kept_at(*sparse, level) == pytest.approx(kept_at(*dense, level), abs=0.01)


def test_the_default_of_twenty_points_is_near_even_with_straight_lines() -> None:
    for shape in ("ruin", "dip", "kept"):
        for level in LEVELS:
            assert kept_at(*run(shape, 20), level) == pytest.approx(kept_at(*run(shape, 2000), level), abs=0.01)


def test_the_points_themselves_stand_and_nothing_is_drawn_beyond_them() -> None:
    measured = [1.0, 0.9, 0.2, 0.0, 0.3, 0.3]
    (drawn,) = drawn_through(measured)
    assert drawn[::FINE] == measured
    for i, (a, b) in enumerate(pairwise(measured)):
        piece = np.array(drawn[i * FINE : (i + 1) * FINE + 1])
        assert min(a, b) - 1e-12 <= piece.min() and piece.max() <= max(a, b) + 1e-12


def test_two_points_are_left_alone() -> None:
    assert drawn_through([1.0, 0.0], [1.0, 0.5]) == [[1.0, 0.0], [1.0, 0.5]]


def test_a_share_that_rounding_put_past_an_end_is_drawn_from_the_end() -> None:
    (drawn,) = drawn_through([1 + 1e-15, 0.5, -1e-17])
    (ended,) = drawn_through([1.0, 0.5, 0.0])
    assert drawn == pytest.approx(ended, abs=1e-12)


def test_standing_still_is_drawn_without_dividing_by_nothing() -> None:
    with np.errstate(divide="raise", invalid="raise"):
        (drawn,) = drawn_through([1.0, 0.7, 0.7, 0.7, 0.2, 0.2, 0.4])
    assert np.array(drawn[FINE : 3 * FINE]) == pytest.approx(0.7, abs=1e-12)


def test_it_is_the_monotone_cubic_of_scipy() -> None:
    """Shares that turn, stand still and end flat, of several runs at once."""
    rng = np.random.default_rng(0)
    for points in (3, 4, 11, 21):
        measured = np.round(rng.random((30, points)), 1)
        measured[:5] = np.sort(measured[:5])
        times = np.arange(points)
        theirs = PchipInterpolator(times, np.arcsin(np.sqrt(measured)), axis=1)
        drawn = np.array(drawn_through(*measured.tolist()))
        fine = np.linspace(0, points - 1, FINE * (points - 1) + 1)
        assert np.abs(drawn - np.sin(theirs(fine)) ** 2).max() < 1e-13
