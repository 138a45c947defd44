"""An interval, and how clusters are numbered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


class Interval(NamedTuple):
    """A confidence interval; of several numbers at once arrays."""

    lo: Any
    hi: Any


def units(labels: Sequence[Hashable]) -> Array:
    """The number of each label, [n], counted in the order in which they first stand."""
    place = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([place[label] for label in labels], dtype=np.int64)
