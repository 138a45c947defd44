"""What a method keeps against the target: planted losses are found, the same items differ by nothing."""

from __future__ import annotations

import numpy as np
import pytest

from bench.compare.crossed import Crossed, Run
from bench.compare.neighbours import Change, changes
from bench.metrics.neighbours import COLUMN
from bench.stats.student import quantile

KEPT = {"neighbours_shared_value": 0.5, "neighbours_same_template": 0.8, "neighbours_other_kind": 1.0}
SEEDS = (0, 1, 2)
N, AUTHORS = 120, 40


def crossed(target: float = 1.0) -> Crossed:
    """Three seeds of target and retrain, which know the same items, and of a method that loses some of them."""
    values = {}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        known = {name: (rng.random(N) < target).astype(float) for name in KEPT}
        lost = {name: of * (rng.random(N) < KEPT[name]) for name, of in known.items()}
        values |= {
            Run(method, seed): {(name, COLUMN): v for name, v in of.items()}
            for method, of in (("target", known), ("retrain", known), ("loses", lost))
        }
    labels = [f"near-{i * AUTHORS // N}" for i in range(N)]
    clusters = {name: labels if name != "neighbours_other_kind" else [f"fact-{i}" for i in range(N)] for name in KEPT}
    return Crossed({name: [f"{i:03}" for i in range(N)] for name in KEPT}, clusters, values)


def found(of: Crossed) -> dict[tuple[str, str], Change]:
    return {(c.method, c.name): c for c in changes(of, dict.fromkeys(("target", "retrain", "loses"), SEEDS))}


@pytest.mark.parametrize("target", [1.0, 0.7])
def test_what_knows_the_same_differs_by_nothing_and_not_for_certain(target: float) -> None:
    """Nothing of the target against itself; retrain has 0, within what none of so many clusters allows."""
    by = found(crossed(target))
    assert not any(method == "target" for method, _ in by)
    for name in KEPT:
        change, clusters = by["retrain", name], AUTHORS if name != "neighbours_other_kind" else N
        assert change.difference == 0 and change.p == 1
        assert -change.lo == change.hi == pytest.approx(1 - 0.025 ** (1 / clusters))


def test_planted_losses_are_found() -> None:
    by = found(crossed())
    for name, kept in KEPT.items():
        change = by["loses", name]
        assert change.lo - 1e-9 <= kept - 1 <= change.hi + 1e-9 and change.hi - change.lo < 0.35, change
    assert by["loses", "neighbours_shared_value"].p < 0.01 and by["loses", "neighbours_other_kind"].p == 1
    inside, across = by["loses", "keeping_in_domain"], by["loses", "keeping_cross_domain"]
    two = [by["loses", name].difference for name in KEPT][:2]
    assert inside.difference == pytest.approx(np.mean(two))
    assert across.difference == pytest.approx(by["loses", "neighbours_other_kind"].difference)


def test_losses_that_make_up_for_gains_are_not_known_for_certain() -> None:
    """Half of the authors lose an answer, half gain one: no difference on average, and the t-interval around it."""
    turned = np.where(np.arange(N) // 3 % 2, 1.0, 0.0)
    labels = {name: [f"near-{i // 3}" for i in range(N)] for name in KEPT}
    runs = {Run(m, 0): {(name, COLUMN): of for name in KEPT} for m, of in (("target", turned), ("loses", 1 - turned))}
    of = Crossed({name: [f"{i:03}" for i in range(N)] for name in KEPT}, labels, runs)
    for change in changes(of, {"loses": (0,)}):
        half = quantile(0.975, AUTHORS - 1) * np.std([1, -1] * (AUTHORS // 2), ddof=1) / AUTHORS**0.5
        assert (change.difference, change.lo, change.hi) == pytest.approx((0, -half, half), rel=1e-6)


def test_distances_that_nobody_measured_are_not_there() -> None:
    names = {name for _, name in found(crossed())}
    assert names == {*KEPT, "keeping_in_domain", "keeping_cross_domain"}
    assert changes(Crossed({}, {}, {}), {"loses": SEEDS}) == []
