"""From records and what is found of them to tables: what a row holds, who is ranked where, what a reader is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.api import Score, Series
from bench.compare.analysis import HEADLINE, Row, Rules, Table, across_tasks, analyse, asked, attacks_on, ordering
from bench.compare.comparing import Comparison
from bench.compare.findings import Findings
from bench.compare.numbers import Asked
from bench.compare.robustness import robustness
from bench.compare.trade_off import AT_RETRAIN
from bench.errors import UsageError
from bench.store import attacked
from bench.store.record import Cell, Record
from tests.compare.conftest import Planted, items, write
from tests.compare.test_robustness import found as attacks_of

SEEDS, RULES = (0, 1), Rules()
NOTHING = Findings(SEEDS, {}, {}, {}, [], [], (), {}, None, {})
TASK = SimpleNamespace(
    headlines={"model utility": "retain_rouge", "extraction": "extraction_strength", "lost": "never_scored"},
    details={"Forget": ("rouge", "never_scored", "probability")},
    floors={"probability": 0.25},
    memorisation=["extraction_strength"],
)
TUNED = {"origin": "tuned", "trials": 12, "objective": "deployable"}


def record(method: str, seed: int = 0, **fields: Any) -> Record:
    given = {"scores": {"rouge": Score(0.5)}} | fields
    return Record(Cell("known", method, "tiny", "embedded", seed), "ok", {}, given.pop("identity", {}), **given)


def every(*methods: str, seeds: Iterable[int] = SEEDS, **fields: Any) -> list[Record]:
    return [record(method, seed, **fields) for method in methods for seed in seeds]


Make = Callable[..., Table]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """The table of some records of a known task, from what is said to be found of them."""

    def known(name: str) -> Any:
        if name == "unknown":
            raise UsageError(name)
        return TASK

    def made(records: Iterable[Record], found: Findings = NOTHING, rules: Rules = RULES) -> Table:
        monkeypatch.setattr("bench.compare.analysis.make_task", known)
        monkeypatch.setattr("bench.compare.analysis.findings", lambda *_: found)
        (one,) = analyse(tmp_path, {of.cell: of for of in records}, rules)
        return one

    return made


# -- what a table names ------------------------------------------------------------------------------------------------


def test_a_table_names_what_its_task_declares_and_some_record_has(table) -> None:
    """What no table names follows, but for what has no value anywhere."""
    first = record(
        "a", 0, scores=dict.fromkeys(("retain_rouge", "extraction_strength", "rouge", "lost_one"), Score(None))
    )
    given = ("probability", "neighbours_other_kind", "keeping_in_domain", "mia_auc")
    second = record("a", 1, scores={**dict.fromkeys(given, Score(0.5)), "lost_one": Score(None)})
    one = table([first, second])
    assert one.headlines == {"model utility": "retain_rouge", "extraction": "extraction_strength"}
    assert one.details == {
        "Forget": ("rouge", "probability"),
        "Kept, by distance from what was forgotten": ("keeping_in_domain", "neighbours_other_kind"),
        "Other scores": ("mia_auc",),
    }
    assert one.floors == {"retain_rouge": 0.5, "probability": 0.25} and one.memorisation == ("extraction_strength",)
    assert (one.data, one.model, one.task, one.series) == ("embedded", "tiny", "known", "")
    assert asked(one, Rules(margin=0.2)) == Asked(one.headlines, one.memorisation, one.floors, 0.2)


def test_without_more_scores_no_more_is_named(table) -> None:
    one = table(every("a"))
    assert one.headlines == {} and one.details == {"Forget": ("rouge",)} and one.floors == {"probability": 0.25}


def test_a_task_that_declares_nothing_has_its_scores(table, monkeypatch) -> None:
    for name in vars(TASK).copy():
        monkeypatch.delattr(TASK, name)
    one = table(every("a"))
    assert (one.headlines, one.details, one.floors) == ({}, {"Other scores": ("rouge",)}, {})
    assert one.memorisation == ()


def test_of_an_unknown_task_the_first_four_scores_lead(table) -> None:
    names = ("one_a", "two_b", "three", "four", "five")
    of = record("a", scores=dict.fromkeys(names, Score(0.5)))
    one = table([dataclasses.replace(of, cell=of.cell._replace(task="unknown"))])
    assert one.headlines == {"one a": "one_a", "two b": "two_b", "three": "three", "four": "four"}
    assert (one.details, one.floors, one.memorisation) == ({"All scores": names}, {}, ())


def test_what_is_asked_of_the_findings_is_what_the_table_says(monkeypatch, tmp_path) -> None:
    told: list[Any] = []
    monkeypatch.setattr("bench.compare.analysis.make_task", lambda _: TASK)
    monkeypatch.setattr("bench.compare.analysis.findings", lambda *of: told.append(of) or NOTHING)
    fit = record("a", 0, scores={"retain_rouge": Score(0.5)})
    failed = dataclasses.replace(record("a", 1, scores={}, error="boom"), status="failed")
    records = {of.cell: of for of in (fit, failed)}
    (one,) = analyse(tmp_path, records, Rules(margin=0.2, collapsed=0.7))
    floors = {"retain_rouge": 0.7, "probability": 0.25}
    assert told == [
        (tmp_path, {fit.cell: fit}, Asked({"model utility": "retain_rouge"}, ("extraction_strength",), floors, 0.2))
    ]
    assert one.left_out == ((failed.cell, "failed: boom"),) and one.row("a").seeds == (0,)


def test_what_is_found_stands_in_the_table(table) -> None:
    broken = record("b", 1).cell
    pair = Comparison("a", "b", "rouge", 0.1, 0.0, 0.2, 0.5, 1.0, "t", 9, 1.0, SEEDS)
    found = NOTHING._replace(comparisons=[pair], aside=[pair.turned()], enters=("rouge",), blind={"x": "why"},
                             band=Score(0.1), broken={broken: "torn"})  # fmt: skip
    one = table(every("a", "b"), found)
    assert (one.seeds, one.comparisons, one.aside) == (SEEDS, (pair,), (pair.turned(),))
    assert (one.enters, one.blind, one.band) == (("rouge",), {"x": "why"}, Score(0.1))
    assert one.left_out == ((broken, "torn"),) and one.row("b").seeds == (0,) and one.row("nobody") is None


def test_variants_controls_and_checkpoints_have_their_places(table) -> None:
    given = {"checkpoint": "somebody"}
    records = [*every("b@x=2", "a@x=1", "a"), *every("target", "measured", identity=given), *every("retrain")]
    one = table(records)
    assert [row.method for row in one.rows] == ["target", "retrain", "a", "measured"]
    assert [row.method for row in one.variants] == ["a@x=1", "b@x=2"]
    assert one.fixed == ("target",) and one.measured == ("measured",)
    assert {row.method: row.origin for row in one.rows} == {
        "target": "",
        "retrain": "",
        "a": "published",
        "measured": "published",
    }


def test_tables_stand_by_data_and_model_tuned_ones_and_tofu_first(tmp_path) -> None:
    """Cells come in any order; an unknown task needs no items here, for nothing of it can be read."""
    places = [("b", "tiny", "tofu:x"), ("a", "tiny", "zoo"), ("a", "tiny", "ape"), ("a", "tiny", "tofu:x"),
              ("a", "tiny@z", "zoo"), ("a", "tiny@y", "zoo"), ("a", "tinier", "zoo")]  # fmt: skip
    cells = [Cell(task, "m", model, data, seed) for data, model, task in places for seed in (1, 0)]
    tables = analyse(tmp_path, {cell: Record(cell, "failed", {}, {}) for cell in cells})
    assert [(t.data, t.model, t.task) for t in tables] == [
        ("a", "tinier", "zoo"), ("a", "tiny@y", "zoo"), ("a", "tiny@z", "zoo"),
        ("a", "tiny", "tofu:x"), ("a", "tiny", "ape"), ("a", "tiny", "zoo"), ("b", "tiny", "tofu:x"),
    ]  # fmt: skip
    assert all([cell.seed for cell, _ in t.left_out] == [0, 1] and not t.rows for t in tables)


# -- one row -----------------------------------------------------------------------------------------------------------


def test_a_row_is_of_the_seeds_that_count(table) -> None:
    """Seed 2 is not among those of the table: nothing of it is in the row."""
    by = ({"lr": 1}, {"lr": 2}, {"lr": 3})
    records = [
        record(
            "a", seed, scores={"rouge": Score(0.1 + 0.2 * seed), f"only_{seed}": Score(0.5)}, parameters=by[seed],
            overrides={"lr": "--set"}, cost={"unlearn_seconds": 10.0 * (seed + 1)}, tuning_trials=5 - seed,
            settings={"file": seed}, identity={"probes": f"p{1 - seed}"}, notes=("shared", f"of {seed}"),
        )
        for seed in (2, 1, 0)
    ]  # fmt: skip
    one = table(records).row("a")
    assert one.seeds == SEEDS and one.scores["rouge"].value == pytest.approx(0.2)
    assert one.by_seed["rouge"] == pytest.approx((0.1, 0.3)) and one.by_seed["only_1"] == (None, 0.5)
    assert "only_2" not in one.by_seed and one.scores["only_0"].note == "no value in seed 1: "
    assert one.cost == {"unlearn_seconds": 15.0, "peak_memory_mb": None}
    assert (one.parameters, one.settings, one.tuning_trials) == ({"lr": 1}, {"file": 0}, 5)
    assert one.overrides == {"lr": ("--set", 2)} and one.probes == ("p0", "p1")
    assert one.notes == ("shared", "of 0", "of 1") and one.origin == "by hand"


def test_seeds_whose_parameters_are_from_elsewhere_say_both(table) -> None:
    one = table([record("a", 0, settings=TUNED), record("a", 1)]).row("a")
    assert one.origin == "tuned (n=12, deployable), published"


def test_what_only_the_findings_know_of_a_seed_stands_beside_the_scores(table) -> None:
    found = NOTHING._replace(scores={"a": {HEADLINE: Score(0.4)}}, by_seed={"a": {HEADLINE: {0: 0.3}}})
    one = table(every("a"), found).row("a")
    assert one.scores == {HEADLINE: Score(0.4)}
    assert one.by_seed == {"rouge": (0.5, 0.5), HEADLINE: (0.3, None)}


def test_a_cost_that_one_seed_lacks_is_that_of_the_others(table) -> None:
    one = table([record("a", 0, cost={"peak_memory_mb": 5.0}), record("a", 1)]).row("a")
    assert one.cost == {"unlearn_seconds": None, "peak_memory_mb": 5.0} and one.probes == ("",)


def test_a_row_of_other_seeds_is_of_its_own(table) -> None:
    assert table(every("a", seeds=(3, 1))).row("a").seeds == (1, 3)


def test_code_that_no_commit_holds_is_named(table) -> None:
    changed = {"a": {"dirty": True, "changed": ["x.py", "y.py"]}, "b": {"dirty": True}, "c": {"changed": ["x.py"]}}
    one = table([of for name, where in changed.items() for of in every(name, environment=where)])
    assert {row.method: row.changed for row in one.rows} == {
        "a": "x.py, y.py",
        "b": "which files was not kept",
        "c": "",
    }
    assert "a \u2020: made by code that no commit holds (x.py, y.py)" in one.notes
    assert sum("no commit" in note for note in one.notes) == 2


def test_trade_offs_are_read_against_retrain_seed_by_seed(table) -> None:
    """Straight ways from (1, 1) to (0, y): at retrain's 0.5 half of what is lost is lost, at a level of 0.2 most."""

    def way(y: float) -> dict[str, list[float]]:
        return {"trace forget probability": [1.0, 0.0], "trace retain probability": [1.0, y]}

    records = [record(name, s, curve=way(y + s / 10)) for name, y in (("a", 0.4), ("b", 0.2)) for s in (0, 1, 2)]
    records += [record("retrain", s, scores={"probability": Score(0.5 if s < 2 else 0.9)}) for s in (0, 1, 2)]
    one = table(records, rules=Rules(level=0.2, margin=0.3))
    a, b = one.row("a").matched, one.row("b").matched
    assert (a.retained.value, b.retained.value) == pytest.approx((0.2 + 0.8 * 0.45, 0.2 + 0.8 * 0.25))
    assert (a.at_retrain.value, b.at_retrain.value) == pytest.approx((0.725, 0.625)) and a.at_retrain.n == 2
    (pair,) = one.matched
    assert (pair.a, pair.b, pair.metric, pair.seeds) == ("a", "b", AT_RETRAIN, (0, 1, 2))
    assert pair.difference == pytest.approx((0.1 + 0.1 + 0.02) / 3)
    assert pair.equivalent < 0.05, "within the margin that the rules state"
    alone = table([of for of in records if of.cell.method == "a"])
    assert alone.row("a").matched.at_retrain == Score(None, note="not reached") and alone.matched == ()


# -- order, ranks and letters ------------------------------------------------------------------------------------------


def test_rows_are_ordered_by_the_headline_or_the_first_number_of_the_task() -> None:
    scores = {HEADLINE: Score(0.2), "rouge": Score(0.3), "retain_rouge": Score(0.4)}
    assert ordering({"x": "rouge"}, scores) == 0.2
    del scores[HEADLINE]
    assert ordering({"x": "rouge", "y": "retain_rouge"}, scores) == -0.3, "less of it is better"
    assert ordering({"y": "retain_rouge", "x": "rouge"}, scores) == 0.4
    assert ordering({"z": "unknown_one"}, {"unknown_one": Score(0.5)}) == 0.5
    assert (
        ordering({"x": "rouge"}, {"rouge": Score(None)}) is ordering({"x": "rouge"}, {}) is ordering({}, scores) is None
    )


def compared(a: str, b: str, difference: float, p: float, metric: str = HEADLINE) -> Comparison:
    return Comparison(a, b, metric, difference, -1.0, 1.0, p, p, "t", 9, 1.0, SEEDS)


HEADLINES = {"best": 0.9, "second": 0.5, "tie-b": 0.3, "tie-a": 0.3, "none": None, "few": 0.95, "ruined": 0.99}
RANKED = [
    compared("second", "best", -0.4, 0.01),
    compared("best", "tie-a", 0.6, 0.01),
    compared("best", "tie-b", 0.6, 0.01),
    compared("second", "tie-a", 0.2, 0.06),
    compared("tie-b", "second", 0.2, 0.01),  # against the order of their means
    compared("ruined", "best", 0.1, 0.01),
    compared("second", "tie-a", 0.2, 0.01, "rouge"),
    compared("none", "tie-a", 0.2, 0.01, "rouge"),
]


def ranked() -> tuple[list[Record], Findings]:
    scores = {name: {HEADLINE: Score(value)} for name, value in HEADLINES.items()}
    shares = {"ruined": {"probability": Score(0.1, 0.05, 0.2)}}
    records = [*every(*(name for name in HEADLINES if name != "few"), "target"), record("few")]
    return records, NOTHING._replace(scores=scores, target_shares=shares, comparisons=RANKED)


def test_who_is_shown_to_be_better_ranks_first_and_shares_no_letter(table) -> None:
    """Controls first, then by headline; then other seeds, no value and who is set apart, none of whom has a rank."""
    rows = table(*ranked()).rows
    assert [(row.method, row.rank, row.letters) for row in rows] == [
        ("target", None, ""), ("best", 1, "a"), ("second", 2, "b"), ("tie-a", 2, "bc"), ("tie-b", 2, "c"),
        ("none", None, ""), ("few", None, ""), ("ruined", None, ""),
    ]  # fmt: skip
    assert [row.method for row in table(*ranked()).ranked] == ["best", "second", "tie-a", "tie-b"]


def test_at_a_level_that_nobody_reaches_all_are_alike(table) -> None:
    assert {(row.rank, row.letters) for row in table(*ranked(), Rules(alpha=0.01)).ranked} == {(1, "a")}


def test_one_seed_gives_no_ranks(table) -> None:
    records, found = ranked()
    one = table([of for of in records if of.cell.seed == 0], found._replace(seeds=(0,)))
    assert not one.ranked and not any(row.letters for row in one.rows)


def test_a_floor_sets_apart_or_is_near_and_the_words_say_which(table) -> None:
    """The task's floor 0.25 of one number, the rules' 0.5 of utility; of nothing known nothing is said."""
    low, near, high = Score(0.1, 0.05, 0.2), Score(0.3, 0.2, 0.6), Score(0.9, 0.8, 1.0)
    shares = {"both": (low, low), "edge": (high, near), "fine": (high, high), "lost": (Score(None), Score(None))}
    found = NOTHING._replace(
        target_shares={m: {"retain_rouge": u, "probability": p} for m, (u, p) in shares.items()}
        | {"one": {"probability": low}}
    )
    scores = dict.fromkeys(("retain_rouge", "probability"), Score(0.5))
    one = table(every(*shares, "one", scores=scores), found)
    said = {row.method: (row.apart, row.near) for row in one.rows}
    words = ("retain rouge 0.10 of the target's, floor 0.5", "probability 0.10 of the target's, floor 0.25")
    assert said == {
        "both": ("; ".join(words), ""), "edge": ("", "probability 0.30 of the target's, floor 0.25"),
        "fine": ("", ""), "lost": ("", ""), "one": (words[1], ""),
    }  # fmt: skip


def test_settings_that_were_not_tuned_as_others_were_set_apart(table) -> None:
    """Of fewer trials, or of none; what is set apart already keeps its reason, controls are never asked."""
    less = TUNED | {"trials": 6}
    records = [*every("tuned", settings=TUNED), *every("less", settings=less), *every("published", "ruined", "target")]
    found = NOTHING._replace(target_shares={"ruined": {"probability": Score(0.1, 0.05, 0.2)}})
    said = {row.method: row.apart for row in table(records, found).rows}
    assert said == {
        "target": "", "tuned": "", "ruined": "probability 0.10 of the target's, floor 0.25",
        "less": "settings tuned (n=6, deployable), beside some of more trials",
        "published": "settings published, beside tuned ones",
    }  # fmt: skip


# -- what a reader must know -------------------------------------------------------------------------------------------


def test_what_a_reader_must_know_is_said_once(table) -> None:
    records = [
        *every("target", "retrain", identity={"checkpoint": "given"}, notes=("invented",)),
        *every("a", seeds=(0, 1, 4, 3), overrides={"lr": "--set", "beta": "--set", "steps": "task"},
               parameters={"lr": 1, "beta": 2, "steps": 3}, notes=("invented",)),
        *every("few", seeds=(2, 0)),
    ]  # fmt: skip
    found = NOTHING._replace(
        scores={
            "a": {"rouge": Score(0.5, note="of one"), "loss": Score(None, note="diverged"), "x": Score(None)},
            "few": {"mia_auc": Score(None, note="diverged"), "loss": Score(None, note="diverged"), "y": Score(0.1)},
        }
    )
    one = table(records, found)
    assert one.notes == (
        "invented",
        "One checkpoint for all seeds: target and retrain. Seeds are of the methods alone, so intervals and "
        "tests do not know how much another target and retrain would differ; the ceiling is unknown.",
        "In no number: seed 3, 4, which the target, retrain or most methods lack.",
        "Compared over seeds 0, 1. Not ranked, for they have other ones: few (0, 2).",
        "a: lr = 1, beta = 2 by --set",
        "a: rouge: of one",
        "Unscored, diverged: loss, mia_auc.",
        "Unscored, no value: x.",
    )


def test_where_nothing_is_odd_nothing_is_said(table) -> None:
    assert table(every("target", "a")).notes == ()
    given = every("target", "a", seeds=(0,), identity={"checkpoint": "given"})
    assert table(given, NOTHING._replace(seeds=(0,))).notes == (), "one seed needs no word on others"


# -- over tasks --------------------------------------------------------------------------------------------------------


def test_methods_are_ranked_over_the_tasks_that_compare_seeds(table, monkeypatch) -> None:
    """c is set apart, so last; d has no value on one task, so it is not there; steps of a series, tables of
    one seed or without a headline and controls are no part of it."""
    base = table(every("a"))

    def rows(**values: float | None) -> tuple[Row, ...]:
        return tuple(dataclasses.replace(base.rows[0], method=m, scores={HEADLINE: Score(v)}, apart="why" * (m == "c"))
                     for m, v in values.items())  # fmt: skip

    def of(task: str, *made: Row, **other: Any) -> Table:
        return dataclasses.replace(base, task=task, rows=made, **other)

    both = [of(f"t{n}", *rows(a=0.5 + n / 10, b=0.4, c=0.9, d=None if n == 1 else 0.3, target=0.0, retrain=1.0))
            for n in range(3)]  # fmt: skip
    bare = dataclasses.replace(rows(z=0.1)[0], scores={"rouge": Score(0.9)})
    passed = [
        of("step", *rows(b=0.9, a=0.1), series="scale"),
        of("one", *rows(b=0.9, a=0.1), seeds=(0,)),
        of("bare", bare),
    ]
    elsewhere = of("t0", *rows(b=0.9, a=0.1), bare, model="other")
    monkeypatch.setattr("bench.compare.analysis.rank_tasks", lambda *of: of)
    values = {f"t{n}": {"a": 0.5 + n / 10, "b": 0.4, "c": -np.inf} | ({} if n == 1 else {"d": 0.3}) for n in range(3)}
    assert across_tasks([*both, *passed, elsewhere], 0.1) == {
        ("embedded", "tiny"): (values, 0.1), ("embedded", "other"): ({"t0": {"b": 0.9, "a": 0.1}}, 0.1),
    }  # fmt: skip
    assert across_tasks(both) == {("embedded", "tiny"): (values, 0.05)}


def test_a_step_of_a_series_says_so(table, monkeypatch) -> None:
    monkeypatch.setattr(TASK, "series", Series("scale", "share", 0.1), raising=False)
    monkeypatch.setattr("bench.compare.studies.found.make_task", lambda _: TASK)
    assert table(every("a")).series == "scale"


# -- attacks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def under_attack(tmp_path: Path) -> tuple[Path, dict[Cell, Record], Mapping[Cell, attacked.Attacked]]:
    """Three seeds of controls and two methods, seed 2 of m unfinished; another model's cells say other things."""
    rng = np.random.default_rng(0)
    level = {"target": 1.0, "retrain": 0.1, "m": 0.5, "n": 0.2}
    records, found = {}, {}
    for model in ("tiny", "other"):
        for method, at in level.items():
            for seed in range(3):
                cell = Cell("known", method, model, "embedded", seed)
                lost = (method, seed) == ("m", 2)
                records[cell] = Record(
                    cell, "failed" if lost else "ok", {"train": "m"}, {}, scores={"rouge": Score(0.5)}
                )
                known = np.clip(at / (1 + (model == "other")) + rng.normal(0, 0.1, 100), 0, 1)
                attacked.save(tmp_path, cell, attacks_of({("asking", ""): {0.0: known}}))
                found[cell] = attacked.read(tmp_path, cell)
    return tmp_path, records, found


def test_attacks_of_one_cell_are_those_of_its_table(table, under_attack) -> None:
    results, records, found = under_attack
    cell = next(c for c in records if (c.method, c.model, c.seed) == ("m", "tiny", 1))
    fit = {c: r for c, r in records.items() if c.model == "tiny" and r.status == "ok"}
    rows = robustness(fit, {c: found[c] for c in fit}, 0.3)
    own = attacks_on(results, records, cell, Rules(margin=0.3))
    assert own == [row for row in rows if row.method == "m"] and len(own) == 1 and own[0].seeds == (0, 1)
    assert list(table([r for c, r in records.items() if c.model == "tiny"], rules=Rules(margin=0.3)).attacks) == rows
    attacked.path(results, cell).unlink()
    assert attacks_on(results, records, cell) == []


def test_attacks_that_cannot_be_read_are_told_of(table, under_attack) -> None:
    results, records, _ = under_attack
    cell = next(c for c in records if (c.method, c.model, c.seed) == ("m", "tiny", 1))
    attacked.path(results, cell).write_bytes(b"PAR1")
    one = table([r for c, r in records.items() if c.model == "tiny"])
    assert "run the attacks again" in one.notes[-1]
    assert [row.seeds for row in one.attacks if row.method == "m"] == [(0,)]


def test_variants_without_any_method_or_control_are_of_their_own_seeds(tmp_path) -> None:
    records = write(tmp_path, {("fo-npo@beta=0.2", seed): items(Planted(0.5), seed) for seed in SEEDS}, ["rouge"])
    (found,) = analyse(tmp_path, records, RULES)
    assert not found.rows
    assert [(row.method, row.seeds) for row in found.variants] == [("fo-npo@beta=0.2", SEEDS)]
