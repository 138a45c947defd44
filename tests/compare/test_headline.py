"""Headline, erased and kept on planted models whose knowledge is known because it was put there."""

from __future__ import annotations

import numpy as np
import pytest

from bench.compare.crossed import Run
from bench.compare.headline import ERASED, HEADLINE, KEPT, bounded, ceiling, ratio, scores, shares, telling
from bench.score.scoring import build
from tests.compare.conftest import MEMORY, Planted

METRICS = {name: build(name) for name in MEMORY}
UTILITY = build("retain_rouge")
MODELS = {
    "target": Planted(1),
    "retrain": Planted(0),
    "untouched": Planted(1.0, 1.0),
    "half": Planted(0.5, 0.95),
    "tenth": Planted(0.1, 0.95),
    "all": Planted(0.0, 0.95),
    "beyond": Planted(-0.16, 0.95),
    "destroyed": Planted(-0.16, 0.0),
    "better": Planted(0.1, 1.1),
}


def of(crossed, method: str, seeds=(0,)):
    told = telling(crossed, METRICS, crossed.seeds("target"))
    return scores([shares(crossed, told, UTILITY, Run(method, seed)) for seed in seeds])


def test_dose_for_dose(planted) -> None:
    """Nothing is 0, half about a half, retrain's level 1, and beyond it nothing more; utility is told apart."""
    crossed = planted(MODELS, noise=0.003)
    found = {name: of(crossed, name) for name in MODELS if name not in ("target", "retrain")}
    erased = {name: score[ERASED].value for name, score in found.items()}
    assert erased["untouched"] == pytest.approx(0, abs=0.01) and erased["half"] == pytest.approx(0.5, abs=0.05)
    assert erased["tenth"] == pytest.approx(0.9, abs=0.05) and erased["all"] == pytest.approx(1, abs=0.02)
    assert erased["beyond"] == 1.0 and found["beyond"][HEADLINE].value <= 2 * 0.96 / 1.96
    order = ["untouched", "half", "tenth", "all"]
    assert sorted(order, key=lambda m: found[m][HEADLINE].value) == order
    assert found["destroyed"][HEADLINE].value < 0.07 and found["destroyed"][KEPT].value < 0.05
    assert found["better"][KEPT].value == 1.0  # more utility than the target's earns nothing


def test_the_target_has_0_and_retrain_1(planted) -> None:
    crossed = planted(MODELS)
    target, retrain = of(crossed, "target"), of(crossed, "retrain")
    assert (target[HEADLINE].value, target[ERASED].value, target[KEPT].value) == (0, 0, 1)
    assert retrain[ERASED].value == pytest.approx(1) and retrain[HEADLINE].value > 0.95


def test_headline_is_the_harmonic_mean_and_erased_that_of_its_shares(planted) -> None:
    """By hand from the means of one table: what one metric still shows is not erased, whatever the others say."""
    crossed = planted(MODELS)
    ways = []
    for metric in METRICS.values():
        x, t, r = (crossed.estimate(metric, Run(m, 0)).value for m in ("half", "target", "retrain"))
        ways.append((t - x) / (t - r))
    erased = 3 / sum(1 / np.clip(w, 0, 1) for w in ways)
    kept = min(1, ratio(crossed, UTILITY, Run("half", 0), Run("target", 0)).value)
    found = of(crossed, "half")
    assert found[ERASED].value == pytest.approx(erased) and found[KEPT].value == pytest.approx(kept)
    assert found[HEADLINE].value == pytest.approx(2 / (1 / erased + 1 / kept))
    hiding = crossed.values[Run("all", 0)]
    hiding["forget", "extraction_strength"] = crossed.values[Run("target", 0)]["forget", "extraction_strength"]
    assert of(planted_again(crossed), "all")[ERASED].value == 0


def planted_again(crossed):
    """The same values without what was already computed."""
    return type(crossed)(crossed.ids, crossed.clusters, crossed.values)


def test_intervals_are_within_their_range_and_hold_the_value(planted) -> None:
    for seeds in ((0,), (0, 1), (0, 1, 2)):
        crossed = planted(MODELS, seeds, noise=0.1)
        for method in MODELS:
            for score in of(crossed, method, seeds).values():
                assert 0 <= score.lo <= score.value <= score.hi <= 1, (method, score)
                assert score.n == len(seeds)


def test_two_clusters_have_no_interval(planted) -> None:
    found = of(planted(MODELS, authors=2), "half")
    assert all(score.value is not None and score.lo is None for score in found.values())


def test_a_metric_that_cannot_tell_is_named_and_left_out(planted) -> None:
    """Truth preference is the same in target and retrain: it would divide by nothing."""
    crossed = planted(MODELS)
    column = ("forget", "log_truth_ratio")
    crossed.values[Run("target", 0)][column] = crossed.values[Run("retrain", 0)][column] - 0.01
    told = telling(crossed, METRICS, (0,))
    assert tuple(told.metrics) == MEMORY[:2]
    assert "target and retrain differ by 0.00" in told.blind["truth_preference"]
    assert of(crossed, "half")[ERASED].value == pytest.approx(0.5, abs=0.06)


def test_a_gap_in_the_wrong_direction_tells_nothing(planted) -> None:
    """Retrain looks as if it knew more than the target: untouched would be 1."""
    crossed = planted(MODELS | {"target": Planted(0.0), "retrain": Planted(1.0)})
    told = telling(crossed, METRICS, (0,))
    assert not told.metrics and set(told.blind) == set(MEMORY)
    assert shares(crossed, told, UTILITY, Run("half", 0)) is None


def test_a_noisy_gap_tells_nothing(planted) -> None:
    """The lower end of the gap's interval must be half of it: Fieller's condition, so that the share is bounded."""
    crossed = planted({"target": Planted(0.16), "retrain": Planted(0)}, noise=0.25, questions=1)
    assert "extraction_strength" in telling(crossed, METRICS, (0,)).blind


def test_few_clusters_decide_by_items(planted) -> None:
    assert tuple(telling(planted(MODELS, authors=2, questions=20), METRICS, (0,)).metrics) == MEMORY


def test_without_target_nothing_can_be_told(planted) -> None:
    crossed = planted({name: model for name, model in MODELS.items() if name != "target"})
    for seeds in ((), (0,)):
        told = telling(crossed, METRICS, seeds)
        assert not told.metrics and told.blind == dict.fromkeys(MEMORY, "no value for target or retrain")


def test_the_ceiling_is_another_retrain_models(planted) -> None:
    """Seed by seed the next one's: near 1, below it by as much as seeds differ; with one seed there is none."""
    crossed = planted(MODELS, (0, 1, 2), noise=0.1)
    told = telling(crossed, METRICS, (0, 1, 2))
    found = ceiling(crossed, told, UTILITY, (0, 1, 2))
    expected = [shares(crossed, told, UTILITY, Run("retrain", b), Run("retrain", a), Run("target", a))
                for a, b in ((0, 1), (1, 2), (2, 0))]  # fmt: skip
    assert [f.headline().value for f in found] == [e.headline().value for e in expected]
    assert 0.9 < scores(found)[HEADLINE].value < 1
    assert ceiling(crossed, told, UTILITY, (0,)) == []


def test_a_share_of_the_targets_value_is_not_cut_off_above(planted) -> None:
    crossed = planted(MODELS)
    better = bounded([ratio(crossed, UTILITY, Run("better", 0), Run("target", 0))])
    assert better.value == pytest.approx(1.1, abs=0.01) and better.lo < better.value < better.hi
    ruined = bounded([ratio(crossed, UTILITY, Run("destroyed", 0), Run("target", 0))])
    assert ruined.lo >= 0
    assert bounded([ratio(planted(MODELS, authors=2), UTILITY, Run("better", 0), Run("target", 0))]).lo is None


def test_the_order_of_items_is_nothing(planted) -> None:
    crossed = planted(MODELS, (0, 1))
    order = {s: np.random.default_rng(1).permutation(len(ids)) for s, ids in crossed.ids.items()}
    turn = lambda of: {s: [values[i] for i in order[s]] for s, values in of.items()}  # noqa: E731
    values = {run: {(s, c): v[order[s]] for (s, c), v in of.items()} for run, of in crossed.values.items()}
    other = type(crossed)(turn(crossed.ids), turn(crossed.clusters), values)
    for method in ("half", "beyond"):
        for name, score in of(crossed, method, (0, 1)).items():
            assert of(other, method, (0, 1))[name][:3] == pytest.approx(score[:3], abs=1e-9)
