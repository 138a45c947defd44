"""Whose published behaviour a metric reproduces where it is not the correct one (see docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Compat = Literal["", "tofu", "tofu-training", "open-unlearning"]
"""Whose; "" reproduces nobody's."""
COMPATS: tuple[Compat, ...] = ("", "tofu", "tofu-training", "open-unlearning")

CHANGED: Mapping[Compat, frozenset[str]] = {
    "": frozenset(),
    "tofu": frozenset(),
    "tofu-training": frozenset({"log_truth_ratio"}),
    "open-unlearning": frozenset({"log_truth_ratio", "normalised_probability", "extraction_strength"}),
}
"""The columns whose scored items have other values under a published behaviour, so that an item table is not enough."""

EPSILON = 1e-10  # what open-unlearning adds to its denominators
