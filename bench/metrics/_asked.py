"""Attacks that need more than one pass over a model, so that they only run when `--probes` names them."""

from __future__ import annotations

ASKED_FOR = {"reference": "mia_reference", "gradient-norm": "mia_gradient_norm"}
"""The metric that each makes possible."""
