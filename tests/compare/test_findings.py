"""A whole table from its files: seeds that differ, scores that are missing, a target that is, copies, nulls."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import pytest

from bench.api import Score
from bench.compare.findings import findings, of_pair
from bench.compare.headline import ERASED, HEADLINE, KEPT
from bench.compare.numbers import FORGET_QUALITY, MEMBERSHIP, UTILITY, Asked, common_seeds, over_seeds
from tests.compare.conftest import MEMORY, SCORES, Planted, items

ROLES = {FORGET_QUALITY: "forget_quality", UTILITY: "retain_rouge", MEMBERSHIP: "mia_auc"}
ASKED = Asked(ROLES, MEMORY, {"retain_rouge": 0.5}, 0.05)
METHODS = {
    "target": Planted(1),
    "retrain": Planted(0),
    "well": Planted(0.05, 0.97),
    "half": Planted(0.5, 0.97),
    "hardly": Planted(0.9, 0.99),
    "ruined": Planted(-0.16, 0.1),
}
SEEDS = (0, 1, 2)


def tables(seeds=SEEDS, **more):
    return {(name, s): items(model, s) for name, model in (METHODS | more).items() for s in seeds}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    from tests.compare.conftest import write

    results = tmp_path_factory.mktemp("whole")
    return findings(results, write(results, tables()), ASKED)


def test_what_a_table_says(whole) -> None:
    assert whole.seeds == SEEDS and whole.enters == MEMORY and not whole.broken
    value = {m: of[HEADLINE].value for m, of in whole.scores.items()}
    assert value["target"] == 0 and value["well"] > value["half"] > value["hardly"] > 0.05
    assert 0.9 < value["retrain"] <= 1  # what another retrain model scores in a method's place
    for method, of in whole.scores.items():
        for name in (HEADLINE, ERASED, KEPT):
            assert 0 <= of[name].lo <= of[name].value <= of[name].hi <= 1, method
        assert 0 <= of["ks_distance"].value <= 1
    assert whole.band.lo <= whole.band.value <= whole.band.hi < whole.scores["target"]["ks_distance"].value
    assert whole.scores["target"]["membership_gap"].value > 0.2 > abs(whole.scores["well"]["membership_gap"].value)


def test_no_interval_leaves_its_range(whole) -> None:
    for of in whole.scores.values():
        for name in SCORES:
            score = of[name]
            assert 0 <= score.value <= 1
            if score.lo is not None:
                assert 0 <= score.lo <= score.value <= score.hi <= 1, name


def test_the_two_families(whole) -> None:
    """The verdict: three pairs and three methods with target and retrain; a ruined model is in none. The second: the
    pairs on what papers report, the methods with retrain on what could give them away. Corrected together."""
    ranked = ("half", "hardly", "well")
    pairs = list(combinations(ranked, 2))
    asked = {(c.metric, c.a, c.b) for c in whole.comparisons}
    verdict = {(HEADLINE, *p) for p in pairs} | {(HEADLINE, m, c) for m in ranked for c in ("target", "retrain")}
    reported = {(n, *p) for n in ROLES.values() for p in pairs}
    telltale = {(n, m, "retrain") for n in ("ks_distance", "membership_gap") for m in ranked}
    assert asked == verdict | reported | telltale
    for c in whole.comparisons:
        assert c.p_holm >= min(1, 2 * c.p) and c.seeds == SEEDS
    of = {(c.a, c.b): c for c in whole.comparisons if c.metric == HEADLINE}
    assert of["half", "well"].significant(0.05) and of["half", "well"].difference < 0
    assert of["half", "target"].significant(0.05)


def test_it_is_read_back_as_it_was_computed(tmp_path, on_disk) -> None:
    records = on_disk(tmp_path, tables((0, 1)))
    first = findings(tmp_path, records, ASKED)
    (kept,) = (tmp_path / "analysis").iterdir()
    assert findings(tmp_path, records, ASKED) == first
    kept.write_text("{", encoding="utf-8")
    assert findings(tmp_path, records, ASKED) == first


def test_one_seed_ranks_nothing(tmp_path, on_disk) -> None:
    found = findings(tmp_path, on_disk(tmp_path, tables((0,))), ASKED)
    assert found.scores["half"][HEADLINE].value > 0.3 and found.band is None
    assert found.comparisons and not any(c.significant(0.05) for c in found.comparisons)
    assert HEADLINE not in found.scores["retrain"]  # no other retrain model to measure the ceiling with


def test_seeds_that_differ(tmp_path, on_disk) -> None:
    """half has seeds 0 and 1 only: it is not compared; its own numbers are over its own seeds."""
    given = {run: frame for run, frame in tables().items() if run != ("half", 2)}
    found = findings(tmp_path, on_disk(tmp_path, given), ASKED)
    assert found.seeds == SEEDS
    assert found.scores["half"][HEADLINE].n == 2
    assert not any("half" in (c.a, c.b) for c in found.comparisons)
    assert {c.a for c in found.comparisons} | {c.b for c in found.comparisons} >= {"well", "hardly"}


def test_who_was_tuned_among_fewer_settings_than_another_is_not_compared(tmp_path, on_disk) -> None:
    """half's second seed has 6 trials where well has 12, hardly none; neither a variant's nor a control's count."""
    records = on_disk(tmp_path, tables((0, 1), **{"well@variant": Planted(0.05, 0.97)}))
    trials = {"well": (12, 12), "half": (12, 6), "well@variant": (20, 20), "target": (20, 20)}
    tuned = {
        cell: dataclasses.replace(record, settings={"origin": "tuned", "trials": of[cell.seed], "objective": "oracle"})
        for cell, record in records.items() if (of := trials.get(cell.method))
    }  # fmt: skip
    plain, beside = findings(tmp_path, records, ASKED), findings(tmp_path, {**records, **tuned}, ASKED)
    compared = [{c.a for c in found.comparisons} | {c.b for c in found.comparisons} for found in (plain, beside)]
    assert compared[0] == {"well", "half", "hardly", "target", "retrain"}
    assert compared[1] == {"well", "target", "retrain"}
    aside = {c.a for c in beside.aside} | {c.b for c in beside.aside}
    assert aside == set(METHODS), "a variant is held against nobody"
    assert set(beside.scores) == {*METHODS, "well@variant"}


def test_the_seeds_of_a_table_with_a_headline_are_those_that_target_and_retrain_have(tmp_path, on_disk) -> None:
    records = on_disk(tmp_path, {run: frame for run, frame in tables().items() if run != ("target", 1)})
    assert findings(tmp_path, records, ASKED).seeds == (0, 2)
    assert findings(tmp_path, records, ASKED._replace(memorisation=())).seeds == SEEDS


def test_the_seeds_that_most_have() -> None:
    assert common_seeds({"a": (0, 1, 2), "b": (2, 1, 0), "c": (0,)}) == (0, 1, 2)
    assert common_seeds({"a": (0, 1), "b": (0,)}) == (0, 1)
    assert common_seeds({"a": ()}) == common_seeds({}) == ()


def test_a_score_that_one_seed_lacks_has_no_value(tmp_path, on_disk) -> None:
    """Neither a value from two seeds nor an interval from three: none, and why."""
    records = on_disk(tmp_path, tables())
    cell = next(c for c in records if (c.method, c.seed) == ("well", 1))
    scores = {**records[cell].scores, "mia_auc": Score(None, note="holdout lost")}
    records[cell] = dataclasses.replace(records[cell], scores=scores)
    found = findings(tmp_path, records, ASKED).scores["well"]
    assert found["mia_auc"][:3] == (None, None, None) and found["mia_auc"].note == "no value in seed 1: holdout lost"
    assert found["rouge"].value is not None


def test_without_a_target_the_rest_stands(tmp_path, on_disk) -> None:
    """No headline, nobody is set apart by a floor that cannot be held against anything, and nothing crashes."""
    given = {run: frame for run, frame in tables().items() if run[0] != "target"}
    found = findings(tmp_path, on_disk(tmp_path, given), ASKED)
    assert not found.enters and set(found.blind) == set(MEMORY)
    assert all(HEADLINE not in of for of in found.scores.values())
    assert all(share.value is None for of in found.target_shares.values() for share in of.values())
    assert found.scores["well"]["rouge"].lo is not None
    assert all(c.metric != HEADLINE for c in found.comparisons)


def test_without_retrain_the_rest_stands(tmp_path, on_disk) -> None:
    given = {run: frame for run, frame in tables().items() if run[0] != "retrain"}
    found = findings(tmp_path, on_disk(tmp_path, given), ASKED)
    assert not found.enters and found.band is None
    assert found.scores["well"]["forget_quality"].value is None
    assert found.target_shares["ruined"]["retain_rouge"].hi < 0.5


def test_copies_cannot_make_anything_significant(tmp_path, on_disk) -> None:
    one = tables((0,))
    given = {(method, s): frame for (method, _), frame in one.items() for s in SEEDS}
    found = findings(tmp_path, on_disk(tmp_path, given), ASKED)
    assert found.seeds == (0,) and len(found.broken) == 2 * len(METHODS)
    assert not any(c.significant(0.05) for c in found.comparisons)
    assert not (tmp_path / "analysis").exists()  # what rests on broken cells is not kept


def test_empty_tables_and_no_tables(tmp_path, on_disk) -> None:
    given = {run: frame.iloc[:0] for run, frame in tables((0, 1)).items()}
    found = findings(tmp_path, on_disk(tmp_path, given), ASKED)
    assert found.seeds == () and not found.scores and not found.comparisons and len(found.broken) == len(given)
    assert findings(tmp_path, {}, ASKED).scores == {}


def test_the_order_of_lines_is_nothing(tmp_path, on_disk, whole) -> None:
    shuffled = {run: frame.sample(frac=1, random_state=7) for run, frame in tables().items()}
    assert findings(tmp_path, on_disk(tmp_path, shuffled), ASKED) == whole


def test_over_seeds() -> None:
    """Of p-values the geometric mean; of one seed the score itself."""
    assert over_seeds("forget_quality", [Score(1e-4), Score(1e-2)], (0, 1)).value == pytest.approx(1e-3)
    assert over_seeds("forget_quality", [Score(0.0), Score(1e-2)], (0, 1)).value == 0.0
    assert over_seeds("rouge", [Score(0.2), Score(0.4)], (0, 1)).value == pytest.approx(0.3)
    one = Score(0.2, 0.1, 0.3, 5, "note")
    assert over_seeds("rouge", [one], (0,)) == one


def test_seeds_of_the_headline_average_to_it(whole) -> None:
    for method, of in whole.by_seed.items():
        for name in (HEADLINE, ERASED, KEPT, "ks_distance", "membership_gap"):
            if name in of and (method, name) != ("retrain", "ks_distance"):  # there every pair counts
                assert tuple(of[name]) == SEEDS
                assert sum(of[name].values()) / 3 == pytest.approx(whole.scores[method][name].value, abs=1e-12)


def test_pairs_outside_the_families_are_those_of_compare_and_never_significant(tmp_path, on_disk, whole) -> None:
    """Every pair of rows on the headline and on what papers report is in one of the two, once."""
    pairs = {(n, *p) for n in (HEADLINE, *ROLES.values()) for p in combinations(sorted(METHODS), 2)}
    inside = {(c.metric, *sorted((c.a, c.b))) for c in whole.comparisons} & pairs
    outside = {(c.metric, c.a, c.b) for c in whole.aside}
    assert inside | outside == pairs and not inside & outside and len(outside) == len(whole.aside)
    assert not any(c.significant(0.05) for c in whole.aside)
    alone = of_pair(tmp_path, on_disk(tmp_path, tables()), ASKED, "ruined", "well", ["retain_rouge"])
    (same,) = (c for c in whole.aside if (c.a, c.b, c.metric) == ("ruined", "well", "retain_rouge"))
    assert same == alone.comparisons["retain_rouge"]._replace(p_holm=1.0) and same.p < 1e-3
