"""What the shapes of metrics hand to the metrics that they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from bench import registry
from bench.api import Metric
from bench.metrics._forms import Composite, LessRetrain, Mean
from bench.score.scoring import build

Values = dict[tuple[str, str], np.ndarray]


def values(metric: Metric, seed: int) -> Values:
    """Six items of every column that a metric reads; log R is below 0, so that no utility is."""
    rng = np.random.default_rng(seed)
    return {need: rng.uniform(0.1, 0.9, size=6) * (-1 if need[1] == "log_truth_ratio" else 1) for need in metric.needs}


@pytest.mark.parametrize("name", registry.names("metric"))
def test_as_published_one_unscored_item_leaves_no_number(name: str) -> None:
    """Through every part of a part: whichever column has the NaN.

    But for exact memorisation, which leaves an answer without tokens out as published too.
    """
    metric = build(name, "tofu")
    own, retrain = values(metric, 0), values(metric, 1)
    assert np.isfinite(metric.score(own, retrain))
    for column in (own[need] for need in own if need[1] != "exact_memorisation"):
        kept, column[2] = column[2], np.nan
        assert np.isnan(metric.score(own, retrain))
        column[2] = kept


class Level(Mean):
    """A mean."""

    needs = (("forget", "loss"),)


class Excess(LessRetrain):
    """It less retrain's."""

    needs = Level.needs
    parts = (Level,)


class Doubled(Composite):
    """A function of a comparison."""

    needs = Level.needs
    needs_retrain = True
    parts = (Excess,)

    def combine(self, values):
        return 2 * values[Excess]


def test_a_metric_made_of_a_comparison_compares_too() -> None:
    """2 ((1 + 3)/2 - 0.5)."""
    assert Doubled().score({Level.needs[0]: np.array([1.0, 3.0])}, {Level.needs[0]: np.array([0.5])}) == 3.0
