"""Clusters are numbered as they come."""

from __future__ import annotations

import numpy as np

from bench.stats.intervals import units


def test_labels_are_numbered_in_the_order_in_which_they_first_stand() -> None:
    assert units(["b", "a", "b", "c", "a"]).tolist() == [0, 1, 0, 2, 1]
    assert units([(2, "x"), None, (2, "x")]).tolist() == [0, 1, 0]


def test_the_numbers_of_no_labels_are_whole_too() -> None:
    assert units([]).shape == (0,) and units([]).dtype == units(["a"]).dtype == np.int64
