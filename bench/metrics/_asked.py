"""What is measured beyond the one pass over a model, and only when `--probes` names it."""

from __future__ import annotations

from bench.data import NEIGHBOURS

ABSTENTION = "abstention"
"""Methods that act at inference are asked for it always."""

NEAR = "neighbours"
"""Texts of the task's own, `bench.data.Splits.neighbours`."""

ASKED_FOR: dict[str, tuple[str, ...]] = {
    "reference": ("mia_reference",),
    "gradient-norm": ("mia_gradient_norm",),
    ABSTENTION: ("abstention_forget", "abstention_retain", "abstention_general"),
    NEAR: ("keeping_in_domain", "keeping_cross_domain", *NEIGHBOURS),
}
"""The metrics that each makes possible."""
