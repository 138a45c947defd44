"""The numbers of one table, each beside what it is by its definition: by seed, over seeds, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

import numpy as np
import pytest

from bench.api import Score
from bench.compare import headline
from bench.compare.comparing import compare
from bench.compare.crossed import Crossed, Run
from bench.compare.headline import ERASED, HEADLINE, KEPT
from bench.compare.numbers import (
    FORGET_QUALITY,
    KS_DISTANCE,
    MEMBERSHIP,
    MEMBERSHIP_GAP,
    UTILITY,
    Asked,
    Numbers,
    common_seeds,
    over_seeds,
)  # fmt: skip
from bench.score.limits import distance_limits, limits, p_limits
from bench.score.scoring import build
from bench.store.record import Cell, Record
from tests.compare.conftest import MEMORY, Planted

SEEDS = (0, 1, 2)
MODELS = {"target": Planted(1), "retrain": Planted(0), "half": Planted(0.5, 0.9), "well": Planted(0.05, 0.97)}
ROLES = {FORGET_QUALITY: "forget_quality", UTILITY: "retain_rouge", MEMBERSHIP: "mia_auc"}
ASKED = Asked(ROLES, MEMORY, {}, 0.05)
QUALITY, AUC, ROUGE, RETAIN = map(build, ("forget_quality", "mia_auc", "rouge", "retain_rouge"))


@pytest.fixture(scope="module")
def crossed() -> Crossed:
    from tests.compare.conftest import crossed_of, items

    return crossed_of({(name, s): items(model, s, 5) for name, model in MODELS.items() for s in SEEDS})


@pytest.fixture(scope="module")
def numbers(crossed: Crossed) -> Numbers:
    return Numbers(crossed, SEEDS, ASKED)


def without(crossed: Crossed, *lacking: tuple[str, int], fixed: frozenset[str] = frozenset()) -> Crossed:
    """The same table without some runs, and without what was computed of it."""
    left = {run: of for run, of in crossed.values.items() if run not in lacking}
    return Crossed(crossed.ids, crossed.clusters, left, fixed)


def distance(crossed: Crossed, method: str, seed: int, of: int | None = None) -> float:
    retrain = Run("retrain", seed if of is None else of)
    return crossed.estimate(QUALITY, Run(method, seed), retrain, distance=True).value


def records(numbers: Numbers, values: Mapping[str, float]) -> dict[Cell, Record]:
    """Of every run the same scores."""
    cells = [Cell("t", run.method, "tiny", "embedded", run.seed) for run in numbers.crossed.values]
    return {cell: Record(cell, "ok", {}, {}, scores={n: Score(v, n=9) for n, v in values.items()}) for cell in cells}


def test_distances_to_retrain_are_averaged_with_their_limits(crossed, numbers) -> None:
    scores = numbers.scores("half", records(numbers, {"rouge": 0.5}))
    by_seed = [distance(crossed, "half", s) for s in SEEDS]
    found = [crossed.distance(QUALITY, Run("half", s)) for s in SEEDS]
    lo, hi = distance_limits([of.estimate for of in found], [of.gaps for of in found])
    assert scores[KS_DISTANCE] == (pytest.approx(np.mean(by_seed)), lo, hi, 3, "")
    assert numbers.by_seed("half")[KS_DISTANCE] == dict(zip(SEEDS, by_seed, strict=True))
    assert numbers.distance_limits(QUALITY, "retrain") is None and numbers.distance_limits(ROUGE, "half") is None


def test_retrain_is_as_far_as_its_models_are_apart(crossed, numbers) -> None:
    """Of all pairs; seed by seed each with the next."""
    apart = [distance(crossed, "retrain", a, b) for a, b in combinations(SEEDS, 2)]
    assert min(apart) < max(apart)
    assert numbers.band() == (pytest.approx(np.mean(apart)), min(apart), max(apart), 3, "")
    assert numbers.scores("retrain", records(numbers, {}))[KS_DISTANCE] == Score(pytest.approx(np.mean(apart)), n=3)
    two = Numbers(without(crossed, ("retrain", 1)), SEEDS, ASKED).band()
    assert two == (pytest.approx(far := distance(crossed, "retrain", 0, 2)), far, far, 1, "")
    next_one = {
        s: crossed.estimate(QUALITY, Run("retrain", (s + 1) % 3), Run("retrain", s), distance=True).value for s in SEEDS
    }
    assert numbers.by_seed("retrain")[KS_DISTANCE] == next_one


@pytest.mark.parametrize("why", ["one seed", "one checkpoint", "no such test"])
def test_where_retrain_models_cannot_be_compared_there_is_no_band(crossed, why: str) -> None:
    lacking = [run for run in crossed.values if run.seed and why == "one seed"]
    fixed = frozenset({"retrain"} if why == "one checkpoint" else ())
    asked = ASKED._replace(
        headlines={UTILITY: "retain_rouge", FORGET_QUALITY: "rouge"} if why == "no such test" else ROLES
    )
    found = Numbers(without(crossed, *lacking, fixed=fixed), (0,) if lacking else SEEDS, asked)
    assert found.band() is None
    if why != "no such test":
        assert found.series(KS_DISTANCE, "retrain") == {} == found.series("forget_quality", "retrain")
        assert KS_DISTANCE in found.by_seed("half")


def test_membership_is_held_against_retrain_seed_by_seed(crossed, numbers) -> None:
    gaps = {
        s: crossed.estimate(AUC, Run("half", s)).value - crossed.estimate(AUC, Run("retrain", s)).value for s in SEEDS
    }
    assert numbers.by_seed("half")[MEMBERSHIP_GAP] == pytest.approx(gaps)
    own, other = ({s: crossed.estimate(AUC, Run(m, s)) for s in SEEDS} for m in ("half", "retrain"))
    expected = compare(MEMBERSHIP_GAP, "half", "retrain", own, other, 0.05)
    assert numbers.gap_of["half"] == expected and set(numbers.gap_of) == set(MODELS) - {"retrain"}
    score = numbers.scores("half", records(numbers, {}))[MEMBERSHIP_GAP]
    assert score == (pytest.approx(np.mean([*gaps.values()])), expected.lo, expected.hi, expected.n, "")
    for found in (numbers.by_seed("retrain"), numbers.scores("retrain", records(numbers, {}))):
        assert MEMBERSHIP_GAP not in found


def test_a_gap_of_membership_lies_within_1_and_without_clusters_has_no_interval(crossed, planted) -> None:
    numbers = Numbers(crossed, SEEDS, ASKED)
    wide = numbers.gap_of["half"]._replace(lo=-1.5, hi=1.5)
    numbers.gap_of = {"half": wide}
    assert numbers.scores("half", records(numbers, {}))[MEMBERSHIP_GAP][1:3] == (-1.0, 1.0)
    few = Numbers(planted(MODELS, SEEDS, authors=1, questions=2), SEEDS, ASKED)
    gaps = few.by_seed("half")[MEMBERSHIP_GAP]
    assert not few.gap_of
    assert few.scores("half", records(few, {}))[MEMBERSHIP_GAP] == Score(pytest.approx(sum(gaps.values()) / 3), n=3)


def test_the_attack_behind_a_membership_score_is_compared(crossed) -> None:
    score = Numbers(crossed, SEEDS, ASKED._replace(headlines={MEMBERSHIP: "mia_score"}))
    assert type(score.attack) is type(AUC) and score.by_seed("half").keys() == {MEMBERSHIP_GAP}
    other = Numbers(crossed, SEEDS, ASKED._replace(headlines={MEMBERSHIP: "rouge"}))
    assert other.attack is None and other.by_seed("half") == {}


def test_without_roles_there_is_neither_headline_nor_distance(crossed) -> None:
    bare = Numbers(crossed, SEEDS, ASKED._replace(headlines={}))
    assert bare.told == ({}, {}) and bare.shares_of("half") == {} and bare.by_seed("half") == {}
    assert bare.scores("half", records(bare, {"own": 0.25})) == {"own": Score(0.25, n=9)}
    assert bare.series("nothing_of_that_name", "half") == {} and bare.band() is None


def test_the_headline_and_its_parts_are_of_the_tables_seeds(crossed, numbers) -> None:
    """Retrain stands for itself by another seed's model."""
    assert tuple(numbers.told.metrics) == MEMORY
    runs = [headline.shares(crossed, numbers.told, RETAIN, Run("half", s)) for s in SEEDS]
    found = numbers.scores("half", records(numbers, {"rouge": 0.5}))
    assert {name: found[name] for name in (HEADLINE, ERASED, KEPT)} == headline.scores(runs)
    assert numbers.by_seed("half")[ERASED] == {s: of.erased().value for s, of in enumerate(runs)}
    ceiling = headline.ceiling(crossed, numbers.told, RETAIN, SEEDS)
    assert numbers.by_seed("retrain")[KEPT] == {s: of.kept().value for s, of in enumerate(ceiling)}


def test_metrics_enter_by_the_seeds_of_which_both_controls_are_there(crossed) -> None:
    """A metric that nobody knows here is no metric of the headline."""
    lacking = without(crossed, ("target", 2), ("retrain", 1))
    asked = ASKED._replace(memorisation=(*MEMORY, "nothing_of_that_name"))
    found = Numbers(lacking, SEEDS, asked)
    known = {name: build(name) for name in MEMORY}
    assert found.told == headline.telling(lacking, known, (0,)) and tuple(found.told.metrics) == MEMORY
    assert found.shares_of("half") == {}, "of two seeds it has no value"


def test_a_method_counts_with_the_tables_seeds_where_it_has_them_all(crossed) -> None:
    found = Numbers(without(crossed, ("well", 1)), (0, 1), ASKED)
    assert (found.used("half"), found.used("well"), found.used("nobody")) == ((0, 1), (0, 2), ())
    assert tuple(found.series("rouge", "well")) == (0, 2) and found.series("rouge", "nobody") == {}
    assert found.series("rouge", "half")[1].value == crossed.estimate(ROUGE, Run("half", 1)).value
    scores = found.scores("well", records(found, {"rouge": 0.5}))
    assert scores[HEADLINE].n == scores[KS_DISTANCE].n == 2


def test_a_score_over_seeds_has_the_interval_of_its_metric(crossed, numbers) -> None:
    """A p-value that of its distance, read at the items that both models score."""
    values = [Score(v, n=9) for v in (0.2, 0.3, 0.7)]
    around = limits(ROUGE, [crossed.estimate(ROUGE, Run("half", s)) for s in SEEDS])
    assert numbers.score("rouge", "half", values) == (pytest.approx(0.4), *around, 9, "")
    assert numbers.score("own", "half", values) == Score(pytest.approx(0.4), n=9)
    assert numbers.score("neighbours_other_kind", "half", values) == Score(pytest.approx(0.4), n=9), "no items"
    assert numbers.score("rouge", "half", [Score(None, note="x")] * 3) == Score(None, note="x")
    p = numbers.score("forget_quality", "half", [Score(v, n=30) for v in (1e-3, 1e-2, 1e-1)])
    inside = p_limits(numbers.distance_limits(QUALITY, "half"), crossed.paired(QUALITY, Run("half", 0)), 1e-2)
    assert p == (pytest.approx(1e-2), pytest.approx(inside.lo), pytest.approx(inside.hi), 30, "")
    assert numbers.score("forget_quality", "retrain", [Score(1.0)] * 3) == Score(1.0)


def test_who_lacks_a_metric_in_one_seed_has_no_interval_of_it(crossed) -> None:
    cut = without(crossed)
    values = {run: dict(of) for run, of in cut.values.items()}
    values[Run("half", 1)]["forget", "rouge"] = np.full(len(cut.ids["forget"]), np.nan)
    found = Numbers(Crossed(cut.ids, cut.clusters, values), SEEDS, ASKED)
    assert set(found.intervals(ROUGE)) == set(MODELS) - {"half"} and found.series("rouge", "half") == {}
    assert found.score("rouge", "half", [Score(0.5)] * 3) == Score(0.5)
    assert found.share_of_target("half", "rouge") == Score(None)


def test_who_lacks_a_cluster_has_an_interval_of_its_own(crossed) -> None:
    values = {run: dict(of) for run, of in crossed.values.items()}
    for seed in SEEDS:
        of = values[Run("half", seed)]
        of["forget", "rouge"] = np.where(np.arange(len(crossed.ids["forget"])) < 6, np.nan, of["forget", "rouge"])
    cut = Crossed(crossed.ids, crossed.clusters, values)
    found = Numbers(cut, SEEDS, ASKED).intervals(ROUGE)
    assert set(found) == set(MODELS)
    for method in MODELS:
        assert found[method] == pytest.approx(limits(ROUGE, [cut.estimate(ROUGE, Run(method, s)) for s in SEEDS]))


def test_floors_are_held_against_the_target_of_the_same_seed(crossed, numbers) -> None:
    runs = [headline.ratio(crossed, RETAIN, Run("half", s), Run("target", s)) for s in SEEDS]
    assert numbers.share_of_target("half", "retain_rouge") == headline.bounded(runs)
    short = Numbers(without(crossed, ("target", 1)), SEEDS, ASKED)
    for of, method, name in ((numbers, "half", "own"), (numbers, "nobody", "rouge"), (short, "half", "rouge")):
        assert of.share_of_target(method, name) == Score(None)


def test_comparisons_are_those_of_their_series_with_the_tables_margin(crossed) -> None:
    numbers = Numbers(crossed, SEEDS, ASKED._replace(margin=0.4))
    found = numbers.comparisons(["well", "half"])
    assert [(c.metric, c.a, c.b) for c in found] == [
        (HEADLINE, "half", "well"),
        *((HEADLINE, m, control) for m in ("half", "well") for control in ("target", "retrain")),
        *((name, m, "retrain") for name in (KS_DISTANCE, MEMBERSHIP_GAP) for m in ("half", "well")),
        *((name, "half", "well") for name in ROLES.values()),
    ]
    every = [*found, *(aside := numbers.aside([*reversed(MODELS)], found))]
    for c in every:
        expected = compare(c.metric, c.a, c.b, numbers.series(c.metric, c.a), numbers.series(c.metric, c.b), 0.4)
        assert c._replace(p_holm=c.p) == expected._replace(p_holm=c.p)
    assert all(c.p_holm == 1.0 for c in aside)
    once = [(c.metric, frozenset((c.a, c.b))) for c in every]
    pairs = {frozenset(pair) for pair in permutations(MODELS, 2)}
    assert len(once) == len(set(once)) and all((n, pair) in once for n in (HEADLINE, *ROLES.values()) for pair in pairs)


def test_a_mean_over_seeds_says_what_it_lacks() -> None:
    """The largest count of items, the first note; of one seed the score itself."""
    two = [Score(0.2, 0.1, 0.3, 5), Score(0.6, n=7, note="odd")]
    assert over_seeds("rouge", two, (3, 8)) == Score(pytest.approx(0.4), n=7, note="odd")
    lost = [Score(None, n=4), Score(0.5, n=9), Score(None, note="torn")]
    assert over_seeds("rouge", lost, (3, 8, 5)) == Score(None, note="no value in seed 3, 5: torn")
    assert over_seeds("rouge", [Score(None, note="torn"), Score(None, note="more")], (0, 1)) == Score(None, note="torn")
    assert over_seeds("own", [Score(1e-4), Score(1e-2)], (0, 1)).value == pytest.approx(0.00505)
    assert over_seeds("forget_quality", [Score(1e-300), Score(1e-2)], (0, 1)).value == pytest.approx(1e-151)


def test_seeds_that_equally_many_methods_have() -> None:
    """The most of them, then the largest."""
    assert common_seeds({"a": (0, 1), "b": (1, 2), "c": (5,)}) == (1, 2)
    assert common_seeds({"a": (0,), "b": (2, 1, 0), "c": (0,)}) == (0,)
