"""Whole tables of planted items, through everything that the board computes them with: who is told from whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from bench.compare.comparing import Comparison
from bench.compare.crossed import Crossed, Run
from bench.compare.headline import HEADLINE
from bench.compare.numbers import FORGET_QUALITY, MEMBERSHIP, UTILITY, Asked, Numbers
from bench.keys import stream
from bench.store.record import RETRAIN, TARGET

ROLES = {FORGET_QUALITY: "forget_quality", UTILITY: "retain_rouge", MEMBERSHIP: "mia_auc"}
ASKED = Asked(ROLES, ("extraction_strength", "exact_memorisation", "truth_preference"), {}, 0.05)
AUTHORS, QUESTIONS = 10, 6
LABELS = {s: [f"{s}{i // QUESTIONS}" for i in range(AUTHORS * QUESTIONS)] for s in ("forget", "holdout", "retain")}
TABLES = 12


def table(doses: Mapping[str, float], spread: float, seeds: int, *name: object) -> list[Comparison]:
    """Comparisons of models with a dose of the target's knowledge that spreads between seeds; each model has its own
    effect on an author, the same in all seeds, and noise of its own on every item."""
    rng, n = stream("tables", spread, seeds, *doses.items(), *name), AUTHORS * QUESTIONS
    hard = {s: np.repeat(rng.normal(0, 0.05, AUTHORS), QUESTIONS) + rng.normal(0, 0.05, n) for s in LABELS}
    values: dict[Run, dict[tuple[str, str], np.ndarray]] = {}
    for model, dose in {TARGET: 1.0, RETRAIN: 0.0, **doses}.items():
        own = {s: np.repeat(rng.normal(0, 0.05, AUTHORS), QUESTIONS) for s in LABELS}
        for seed in range(seeds):
            known = dose + rng.normal(0, 0.0 if model == TARGET else spread)
            values[Run(model, seed)] = of_run = {}
            for s in LABELS:
                k = {"forget": known, "holdout": 0.0, "retain": 1.0}[s]
                x = lambda s=s, own=own: hard[s] + own[s] + rng.normal(0, 0.1, n)  # noqa: E731
                of_run[s, "extraction_strength"] = 0.1 + 0.6 * k + x()
                of_run[s, "exact_memorisation"] = 0.3 + 0.5 * k + x()
                of_run[s, "rouge"] = (0.7 if s == "retain" else 0.4 + 0.4 * k) + x()
                of_run[s, "log_truth_ratio"] = 0.4 - 1.2 * k + 4 * x()
                of_run[s, "loss"] = 1.5 - k + 4 * x()
    ids = {s: [f"{i:03}" for i in range(n)] for s in LABELS}
    return Numbers(Crossed(ids, LABELS, values), tuple(range(seeds)), ASKED).comparisons(sorted(doses))


@pytest.mark.parametrize(("spread", "seeds"), [(0.0, 5), (0.15, 3)])
def test_retrain_models_are_not_told_from_retrain(spread: float, seeds: int) -> None:
    """Five models that never saw the forget set, in the place of methods: not from each other, not from retrain, in 12
    tables (with an error of 0.06 three or more come once in 30); from the target on the headline, always."""
    wrong, right = 0, Counter[bool]()
    for i in range(TABLES):
        found = table({f"m{j}": 0.0 for j in range(5)}, spread, seeds, i)
        wrong += any(c.significant(0.05) for c in found if TARGET not in (c.a, c.b))
        right.update(c.p < 0.05 for c in found if TARGET in (c.a, c.b) and c.metric == HEADLINE)
    assert wrong < 3
    assert right[True] > 0.9 * right.total()


@pytest.mark.parametrize(("spread", "seeds"), [(0.05, 3), (0.15, 5)])
def test_equal_methods_are_not_told_from_each_other(spread: float, seeds: int) -> None:
    """Five methods that have lost 60% of it: 12 tables, pairs of methods on the headline and on what papers report."""
    wrong = 0
    for i in range(TABLES):
        found = table({f"m{j}": 0.4 for j in range(5)}, spread, seeds, i)
        wrong += any(c.significant(0.05) for c in found if not {c.a, c.b} & {TARGET, RETRAIN})
    assert wrong < 3


def test_what_is_far_apart_is_found() -> None:
    """Half against a tenth of the knowledge, five seeds: the headline tells them apart in nearly every table."""
    found = [table({"half": 0.5, "tenth": 0.1}, 0.03, 5, i) for i in range(TABLES)]
    told = [c.significant(0.05) and c.difference < 0 for of in found for c in of
            if (c.metric, c.a, c.b) == (HEADLINE, "half", "tenth")]  # fmt: skip
    assert len(told) == TABLES and sum(told) >= TABLES - 2
