"""What is measured beyond the one pass over a model, and only when `--probes` names it."""

from __future__ import annotations

ABSTENTION = "abstention"
"""Methods that act at inference are asked for it always."""

ASKED_FOR: dict[str, tuple[str, ...]] = {
    "reference": ("mia_reference",),
    "gradient-norm": ("mia_gradient_norm",),
    ABSTENTION: ("abstention_forget", "abstention_retain", "abstention_general"),
}
"""The metrics that each makes possible."""
