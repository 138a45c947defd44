"""Headline, erased and kept on planted models whose knowledge is known because it was put there."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import Score
from bench.compare.crossed import Crossed, Run
from bench.compare.headline import (
    ERASED,
    HEADLINE,
    KEPT,
    SMALLEST_GAP,
    Shares,
    bounded,
    ceiling,
    ratio,
    scores,
    shares,
    telling,
)
from bench.score.estimates import Estimate, joined_parts, mean
from bench.score.scoring import build
from bench.stats.jackknife import free_interval, joined_interval
from bench.stats.student import quantile
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


@pytest.mark.parametrize(("clusters", "told"), [(4, True), (5, False)])
def test_from_five_clusters_on_these_decide(clusters: int, told: bool) -> None:
    """The gap is 0.3 and 0.7 in turn, cluster by cluster. Of 5: mean 0.46, error 0.219 / sqrt 5, t(4) = 2.78, so at
    least 0.19, less than half; of 4 clusters' 80 items the error is 0.2 / sqrt 80, and they tell."""
    labels = [f"author-{i // 20}" for i in range(20 * clusters)]
    gap = np.where(np.arange(20 * clusters) // 20 % 2, 0.7, 0.3)
    es = ("forget", "extraction_strength")
    crossed = Crossed({"forget": [str(i) for i in range(20 * clusters)]}, {"forget": labels},
                      {Run("target", 0): {es: 0.1 + gap}, Run("retrain", 0): {es: 0 * gap + 0.1}})  # fmt: skip
    found = telling(crossed, {"extraction_strength": METRICS["extraction_strength"]}, (0,))
    assert bool(found.metrics) is told
    if not told:
        low = 0.46 - quantile(0.975, 4) * np.std([0.3, 0.7, 0.3, 0.7, 0.3], ddof=1) / 5**0.5
        said = f"target and retrain differ by 0.460, at least {low:.3f}: too little to tell"
        assert found.blind == {"extraction_strength": said}


@pytest.mark.parametrize(("gap", "told"), [(SMALLEST_GAP - 1e-6, False), (SMALLEST_GAP + 1e-6, True)])
def test_the_smallest_gap_that_tells_is_a_mean_over_seeds(gap: float, told: bool) -> None:
    """A tenth of the gap apart, with nothing between clusters: t(1) times that error would be too much for a third."""
    es, n = ("forget", "extraction_strength"), 60
    runs = {Run(m, s): {es: np.full(n, 0.2 + (gap + d) * (m == "target"))}
            for s, d in enumerate((0.001, 0, -0.001)) for m in ("target", "retrain")}  # fmt: skip
    crossed = Crossed({"forget": [str(i) for i in range(n)]}, {"forget": [str(i // 6) for i in range(n)]}, runs)
    found = telling(crossed, {"extraction_strength": METRICS["extraction_strength"]}, (0, 1, 2))
    assert bool(found.metrics) is told and bool(found.blind) is not told


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


def harmonic(x: np.ndarray) -> np.ndarray:
    """Of the first three."""
    return 3 / (1 / x[0] + 1 / x[1] + 1 / x[2])


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (0, 1, 2)])
def test_intervals_are_joined_from_those_of_the_ratios(planted, seeds) -> None:
    """Kept has the interval of its one ratio within [0, 1]; the others are moved from the function of the means to the
    mean of the functions. Ratios correlate as they do when they lose the same clusters; retain's are others."""
    crossed = planted(MODELS, seeds, noise=0.1)
    told = telling(crossed, METRICS, seeds)
    for method in ("half", "all", "better"):
        runs = [shares(crossed, told, UTILITY, Run(method, seed)) for seed in seeds]
        terms = [*([run.ways[i] for run in runs] for i in range(3)), [run.utility for run in runs]]
        means = [mean(of) for of in terms]
        free = [free_interval(m.value, joined_parts(of)) for m, of in zip(means, terms, strict=True)]
        inside = np.array([np.mean([np.clip(e.value, 0, 1) for e in of]) for of in terms])
        limits = np.array([(min(np.clip(f.lo, 0, 1), x), max(np.clip(f.hi, 0, 1), x)) for f, x in zip(free, inside)])
        found = scores(runs)
        assert (found[KEPT].lo, found[KEPT].hi) == pytest.approx(tuple(limits[3]))
        correlation = np.eye(4)
        correlation[:3, :3] = np.corrcoef([m.without["forget"] for m in means[:3]])
        for name, function, n in ((ERASED, harmonic, 3), (HEADLINE, lambda x: 2 / (1 / harmonic(x) + 1 / x[3]), 4)):
            joined = joined_interval(function, inside[:n], limits[:n], correlation[:n, :n])
            moved = found[name].value - function(inside)
            assert found[name].lo == pytest.approx(max(joined.lo + moved, 0), abs=1e-9)
            assert found[name].hi == pytest.approx(min(joined.hi + moved, 1), abs=1e-9)


@pytest.mark.parametrize(("utility", "kept"), [(-0.1, 0.0), (0.4, 0.4), (1.2, 1.0)])
def test_kept_is_a_share(utility: float, kept: float) -> None:
    one = Shares((), Estimate(utility, {"retain": np.array([utility, 0.5])}, {"retain": np.ones(2)})).kept()
    assert one.value == kept and one.without["retain"].tolist() == [kept, 0.5]


def test_a_ratio_is_not_below_0_and_has_no_value_without_the_targets(planted) -> None:
    crossed = planted(MODELS, (0, 1), noise=0.1)
    runs = [ratio(crossed, UTILITY, Run("half", s), Run("target", s)) for s in (0, 1)]
    around = free_interval(mean(runs).value, joined_parts(runs))
    assert bounded(runs) == (pytest.approx(mean(runs).value), pytest.approx(around.lo), pytest.approx(around.hi), 2, "")
    few = planted(MODELS, (0, 1), authors=2)
    unsure = bounded([ratio(few, UTILITY, Run("half", s), Run("target", s)) for s in (0, 1)])
    assert unsure.value is not None and unsure[1:] == (None, None, 2, "")
    crossed.values[Run("target", 0)]["retain", "rouge"] = np.zeros(60)
    gone = planted_again(crossed)
    assert bounded([ratio(gone, UTILITY, Run("half", 0), Run("target", 0))]) == Score(None, n=1)
    assert shares(gone, telling(gone, METRICS, (0,)), UTILITY, Run("half", 0)) is None


def test_the_order_of_items_is_nothing(planted) -> None:
    crossed = planted(MODELS, (0, 1))
    order = {s: np.random.default_rng(1).permutation(len(ids)) for s, ids in crossed.ids.items()}
    turn = lambda of: {s: [values[i] for i in order[s]] for s, values in of.items()}  # noqa: E731
    values = {run: {(s, c): v[order[s]] for (s, c), v in of.items()} for run, of in crossed.values.items()}
    other = type(crossed)(turn(crossed.ids), turn(crossed.clusters), values)
    for method in ("half", "beyond"):
        for name, score in of(crossed, method, (0, 1)).items():
            assert of(other, method, (0, 1))[name][:3] == pytest.approx(score[:3], abs=1e-9)
