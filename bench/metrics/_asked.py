"""What a run measures of a model only where `--probes` names it, beside the probes that files declare."""

from __future__ import annotations

ABSTENTION = "abstention"
ASKED_FOR = {
    "reference": ("mia_reference",),
    "gradient-norm": ("mia_gradient_norm",),
    ABSTENTION: ("abstention_forget", "abstention_retain", "abstention_general"),
}
"""The metrics that each makes possible. Methods that act at inference are always asked how often they abstain."""
