"""Numbers as people read them: a value with both ends of its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.api import Score
from bench.score.limits import is_p
from bench.score.scoring import find


def number(name: str, score: Mapping[str, Any]) -> str:
    """A score with its interval, or a dash where there is none; a p-value as such."""
    value, lo, hi = score["value"], score["lo"], score["hi"]
    ends = lo is not None and hi is not None  # an infinite one is kept as null
    if value is None:
        return "-"
    if _is_p(name):
        return f"{value:.2g}" + (f" [{lo:.1g}, {hi:.1g}]" if ends else "")
    return f"{value:.3f}" + (f" [{lo:.3f}, {hi:.3f}]" if ends else " [no interval]")


def short(name: str, score: Score, signed: bool = False) -> str:
    """A score as a table has it: two digits and both ends; of a p-value the logarithm; a dash without a value."""
    if score.value is None:
        return score.note if score.note in ("not reached", "starts below") else "-"
    if _is_p(name) and score.value == 0:
        return "< -300"
    if _is_p(name):
        return _tenth(score.value) + _ends(score, _tenth)
    form = (lambda v: f"{v + 0.0:+.2f}") if signed else (lambda v: f"{v:.2f}")
    reached = f" ({score.note})" if score.note.startswith("reached by") else ""
    return form(score.value) + _ends(score, form) + reached


def _tenth(p: float) -> str:
    return f"{round(log10(p), 1) + 0.0:.1f}"


def log10(p: float) -> float:
    """Of a p-value; what underflowed is -320, where 64-bit numbers end."""
    return math.log10(p) + 0.0 if p > 0 else -320.0


def _ends(score: Score, form: Any) -> str:
    return "" if score.lo is None or score.hi is None else f" [{form(score.lo)}, {form(score.hi)}]"


def _is_p(name: str) -> bool:
    metric = find(name) if name else None
    return metric is not None and is_p(metric)
