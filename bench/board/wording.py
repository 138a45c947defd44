"""A paired test in words."""

from __future__ import annotations

from typing import NamedTuple

from bench.api import Metric
from bench.compare.analysis import Comparison, Rules
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP
from bench.score.limits import is_p
from bench.store.record import RETRAIN

_GOALS = {KS_DISTANCE: "minimise", MEMBERSHIP_GAP: "match"}
_TITLES = {KS_DISTANCE: "KS distance to the retrain model", MEMBERSHIP_GAP: "membership attack's AUC"}


class Words(NamedTuple):
    """What a comparison says, a line each."""

    number: str
    said: str
    difference: str
    test: str
    equivalence: str


def words(name: str, metric: Metric | None, c: Comparison, rules: Rules, of: int = 0) -> Words:
    """Which of the two is better, by how much, by what test, and whether they are shown to be as good as each other.

    Args:
        name: the number that is compared. metric: its metric; None of a part of the headline or a distance.
        of: how many comparisons `c.p_holm` is corrected for, which is then what decides; 0: the question was asked
            beforehand, so `c.p` does.
    """
    distance = metric is not None and is_p(metric)
    what = "KS distance to the retrain model" if distance else _TITLES.get(name, name.replace("_", " "))
    goal = _GOALS.get(name, "maximise") if metric is None else "minimise" if distance else metric.goal
    said = _said(c, goal) if (c.p_holm if of else c.p) < rules.alpha else "no difference is shown"
    if len(c.seeds) == 1:
        said += " in these runs; other seeds are unknown"
    verdict = "shown" if c.equivalent < rules.alpha else "not shown"
    corrected = f"; corrected for {of} comparisons p = {c.p_holm:.2g}" if of else ", not corrected"
    return Words(
        name.replace("_", " "),
        said,
        f"difference in {what}: {c.difference:+.3f} [{c.lo:+.3f}, {c.hi:+.3f}]",
        f"{c.test}, {c.n} clusters: p = {c.p:.2g}{corrected}",
        f"within {rules.margin:g} of each other: TOST p = {c.equivalent:.2g}, {verdict}",
    )


def _said(c: Comparison, goal: str) -> str:
    if goal != "match":
        return f"{c.a if (c.difference > 0) == (goal == 'maximise') else c.b} is better"
    side = "higher" if c.difference > 0 else "lower"
    if c.metric == MEMBERSHIP_GAP and c.b == RETRAIN:
        return f"{c.a} is {side} than retrain, where the same is wanted"
    return f"{c.a} is {side}; which is better depends on the retrain model's"
