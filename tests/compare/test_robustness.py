"""What attacks bring back: planted truths are found, nothing where nothing is, and the error rate is what it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.board import robustness as board
from bench.compare.analysis import Rules
from bench.compare.robustness import POWER, robustness
from bench.store import attacked
from bench.store.attacked import BARE, DELIVERED, Attacked, Point
from bench.store.record import Cell, Record

CLUSTERS, EACH, SEEDS = 20, 5, 3
NAN = float("nan")
N = CLUSTERS * EACH
ITEMS = tuple((f"i{n}", f"author-{n // EACH}") for n in range(N))
ABOUT = {
    "title": "a", "light": True, "needs": "weights", "injects": "nothing", "axis": "steps", "at": None,
    "from_plain": True, "controls": ["control"], "injects_by": {}, "doc": "",
}  # fmt: skip
Readings = Mapping[tuple[str, str], Mapping[float, np.ndarray]]
"""By attack and line: what is known at each step."""


def cell(method: str, seed: int) -> Cell:
    return Cell("tofu:forget10", method, "tiny", "embedded", seed)


def found(readings: Readings, kept: float = 1.0, plain: np.ndarray | None = None, form: str = DELIVERED,
          **about) -> Attacked:  # fmt: skip
    """The attacks of one cell; `plain` is what the model knows unattacked."""
    plain = np.zeros(N) if plain is None else plain
    points = [Point("plain", form, "", "", 0.0, plain, np.ones(4))]
    for (attack, line), by in readings.items():
        points += [Point(attack, form, line, "", step, known, np.full(4, kept)) for step, known in by.items()]
    names = dict.fromkeys(["plain", *(attack for attack, _ in readings)])
    done = {name: {"key": "k", "model": "m", "about": {**ABOUT, **about}, "seconds": 1.0, "error": "", "notes": []}
            for name in names}  # fmt: skip
    return Attacked(ITEMS, tuple((f"r{n}", f"r{n}") for n in range(4)), tuple(points), done)


def table(models: Mapping[str, list[Attacked]]) -> tuple[dict[Cell, Record], dict[Cell, Attacked]]:
    """Records and attacks of methods, a seed each."""
    every = {cell(method, seed): of for method, seeds in models.items() for seed, of in enumerate(seeds)}
    keys = {"train": "m", "measure": "m", "score": "m"}
    return {c: Record(c, "ok", keys, {}) for c in every}, every


def noisy(random: np.random.Generator, level: float, points: int = 1) -> dict[float, np.ndarray]:
    """Knowledge at some steps: a level, what authors have in common, and noise."""
    common = np.repeat(random.normal(0, 0.1, CLUSTERS), EACH)
    return {float(p): level + common + random.normal(0, 0.1, N) for p in range(points)}


def test_retrain_attacked_as_the_method_gives_nothing() -> None:
    random = np.random.default_rng(0)
    steps = [noisy(random, 0.3, 6) for _ in range(SEEDS)]
    same = [found({("relearning", ""): of}) for of in steps]
    target = [found({("relearning", ""): noisy(random, 1.0, 6)}, plain=np.ones(N)) for _ in range(SEEDS)]
    (row,) = robustness(*table({"retrain": same, "target": target, "m": same}), margin=0.05)
    assert row.excess is not None
    assert row.excess.difference == 0 and row.excess.lo == row.excess.hi == 0 and row.excess.p_holm == 1
    assert row.share.value == 0


def test_what_is_planted_is_found_at_its_step() -> None:
    """Half comes back at step 4, of retrain a tenth, and at other steps nothing."""
    random = np.random.default_rng(1)

    def made(level: float) -> list[Attacked]:
        steps = [{**noisy(random, 0.1, 8), 4.0: noisy(random, level)[0.0]} for _ in range(SEEDS)]
        return [found({("relearning", ""): of}) for of in steps]

    target = [found({("relearning", ""): noisy(random, 1.0, 8)}, plain=np.ones(N)) for _ in range(SEEDS)]
    (row,) = robustness(*table({"retrain": made(0.1), "target": target, "m": made(0.5)}), margin=0.05)
    assert row.chosen == (("", 4.0),)
    assert row.excess is not None
    assert row.excess.lo < 0.4 < row.excess.hi and row.excess.significant(0.05)
    assert row.share.value == pytest.approx(0.4, abs=0.1) and row.share.lo < 0.4 < row.share.hi
    assert row.after == pytest.approx(0.5, abs=0.08) and row.before == 0


def test_means_before_are_taken_off_item_by_item() -> None:
    """What a method never forgot has not come back."""
    level = np.linspace(0, 1, N)
    model = [found({("rounding", ""): {8.0: level}}, plain=level)] * SEEDS
    retrain = [found({("rounding", ""): {8.0: np.zeros(N)}})] * SEEDS
    target = [found({("rounding", ""): {8.0: np.ones(N)}}, plain=np.ones(N))] * SEEDS
    (row,) = robustness(*table({"retrain": retrain, "target": target, "m": model}), margin=0.05)
    assert row.excess is not None and row.excess.difference == 0
    assert row.share.value == pytest.approx(0.5)  # and yet half of the gap is open


@pytest.mark.slow
def test_choosing_the_best_of_many_steps_keeps_the_error_rate() -> None:
    """Of 30 noisy steps the best is chosen: the corrected test of nothing fires in 5%, not in most, of all tables."""
    random = np.random.default_rng(2)
    tables, fired = 300, 0
    naive, crossed = [], []
    for _ in range(tables):
        by = {
            name: [found({("a", ""): noisy(random, 0.3, 30)}) for _ in range(SEEDS)]
            for name in ("retrain", "target", "m")
        }
        (row,) = robustness(*table(by), margin=0.05)
        assert row.excess is not None
        fired += row.excess.p < 0.05 and row.excess.difference > 0
        crossed.append(row.excess.difference)
        naive.append(max(of[1] - of[2] for of in row.curves[""]))
    assert fired / tables < 0.04  # 0.025 of a two-sided test, and what 300 tables leave open
    error = float(np.std(crossed)) / tables**0.5
    assert abs(np.mean(crossed)) < 3 * error
    assert np.mean(naive) > 5 * error  # the best of all steps, read where it was chosen, is too large


def test_a_ruined_model_has_given_nothing_back() -> None:
    back = [found({("relearning", ""): {1.0: np.ones(N)}}, kept=0.89)] * SEEDS
    retrain = [found({("relearning", ""): {1.0: np.zeros(N)}})] * SEEDS
    target = [found({("relearning", ""): {1.0: np.ones(N)}}, plain=np.ones(N))] * SEEDS
    (row,) = robustness(*table({"retrain": retrain, "target": target, "m": back}), margin=0.05)
    assert row.excess is None and "costs more than 10%" in row.weak and row.seeds == tuple(range(SEEDS))
    enough = [found({("relearning", ""): {1.0: np.ones(N)}}, kept=0.9)] * SEEDS
    (row,) = robustness(*table({"retrain": retrain, "target": target, "m": enough}), margin=0.05)
    assert row.excess is not None and row.excess.difference == 1 and row.suppressed is None


def test_a_line_that_target_and_retrain_answer_alike_says_nothing() -> None:
    def made(level: float) -> list[Attacked]:
        return [found({("relearning", "odd"): {1.0: np.full(N, level)}})] * SEEDS

    (row,) = robustness(*table({"retrain": made(0.5), "target": made(0.54), "m": made(0.9)}), margin=0.05)
    assert row.weak == "it does not tell target from retrain"
    assert row.excess is not None and row.excess.p_holm == 1 and row.excess.metric == f"relearning / odd / {DELIVERED}"


def test_half_of_the_way_back_lies_between_what_retrain_and_target_knew_before() -> None:
    """Retrain knew 0.2 and target 1, half is 0.6: the method is there at step 2, retrain never."""

    def made(plain: float, *levels: float) -> list[Attacked]:
        steps = {float(step): np.full(N, level) for step, level in enumerate(levels)}
        return [found({("relearning", ""): steps}, plain=np.full(N, plain))] * SEEDS

    retrain, target = made(0.2, 0.2, 0.2, 0.2), made(1.0, 1.0, 1.0, 1.0)
    (row,) = robustness(*table({"retrain": retrain, "target": target, "m": made(0.2, 0.2, 0.55, 0.65)}), margin=0.05)
    assert row.speed is not None and row.speed[:3] == (2.0, None, 2.0)


def test_a_seed_that_scores_nothing_is_none_of_a_lines_seeds() -> None:
    def made(level: float) -> list[Attacked]:
        return [found({("relearning", ""): {1.0: np.full(N, NAN if seed == 1 else level)}}) for seed in range(SEEDS)]

    (row,) = robustness(*table({"retrain": made(0.1), "target": made(0.9), "m": made(0.3)}), margin=0.05)
    assert row.seeds == (0, 2) and row.after == pytest.approx(0.3)


def test_without_target_retrain_or_the_model_as_it_is_used_there_is_nothing_to_say() -> None:
    of = [found({("relearning", ""): {1.0: np.ones(N)}})] * SEEDS
    bare = [found({("relearning", ""): {1.0: np.ones(N)}}, form=BARE)] * SEEDS
    for models in ({"retrain": of, "m": of}, {"target": of, "m": of}, {}, {"target": of, "retrain": of, "m": bare}):
        assert robustness(*table(models), margin=0.05) == []


def test_questions_that_the_target_does_not_answer_are_weak() -> None:
    def made(level: float) -> list[Attacked]:
        return [found({("prefix", ""): {0.0: np.full(N, level)}}, needs="questions")] * SEEDS

    for level, weak in ((POWER - 0.01, True), (POWER, False)):
        (row,) = robustness(*table({"retrain": made(0.0), "target": made(level), "m": made(0.2)}), margin=0.05)
        assert bool(row.weak) is weak


def test_questions_are_read_only_in_ways_in_which_the_target_answers() -> None:
    """The method says more when it is asked in a way in which the target is silent: that way is named and not read.

    When it is asked in the other the target has 0.8 of what should be kept and the method 0.7: 0.1 is suppressed."""

    def made(silent: float, answered: float, kept: float) -> list[Attacked]:
        of = found({("prefix", ""): {0.0: np.zeros(N)}}, needs="questions")
        asked = of.points[-1]._replace(kept=np.full(4, kept))
        ways = [asked._replace(setting=name, known=np.full(N, level))
                for name, level in (("one", silent), ("two", silent), ("three", answered))]  # fmt: skip
        return [dataclasses.replace(of, points=(of.points[0], *ways))] * SEEDS

    target, method = made(POWER - 0.01, POWER, 0.8), made(1.0, 0.2, 0.7)
    (row,) = robustness(*table({"retrain": made(0.0, 0.0, 0.8), "target": target, "m": method}), margin=0.05)
    assert (row.powerless, row.chosen, row.weak) == (("one", "two"), (("three", 0.0),), "")
    assert row.usable == (("one", 0.0), ("two", 0.0), ("three", 0.0))
    assert row.after == pytest.approx(0.2) and row.suppressed == pytest.approx(0.1)
    assert (row.curves["one"], row.curves["three"]) == (
        (pytest.approx((0.0, 1.0, 0.0, POWER - 0.01)),), (pytest.approx((0.0, 0.2, 0.0, POWER)),),
    )  # fmt: skip


def test_only_what_was_read_of_the_same_model_counts() -> None:
    """A cell that was unlearned anew, or whose items are others, has no attacks until they are carried out again."""
    model = [found({("rounding", ""): {8.0: np.ones(N)}})] * SEEDS
    records, every = table({"retrain": model, "target": model, "m": model})
    assert robustness(records, every, 0.05)
    anew = {c: dataclasses.replace(r, keys={**r.keys, "train": "other"}) for c, r in records.items() if c.method == "m"}
    assert not robustness({**records, **anew}, every, 0.05)
    others = {c: dataclasses.replace(of, items=of.items[::-1]) for c, of in every.items() if c.method == "m"}
    assert not robustness(records, {**every, **others}, 0.05)


def test_taking_off_what_hides_is_a_line_of_its_own() -> None:
    """Of a model that only hides the bare weights know all: before is what the user saw, so all of it came back."""
    hidden = found({("rounding", ""): {8.0: np.zeros(N)}})
    off = found({("rounding", ""): {8.0: np.ones(N)}}, plain=np.ones(N), form=BARE)
    both = [dataclasses.replace(hidden, points=hidden.points + off.points)] * SEEDS
    retrain = [found({("rounding", ""): {8.0: np.zeros(N)}})] * SEEDS
    target = [found({("rounding", ""): {8.0: np.ones(N)}}, plain=np.ones(N))] * SEEDS
    rows = robustness(*table({"retrain": retrain, "target": target, "m": both}), margin=0.05)
    by = {(row.line.attack, row.form): row for row in rows}
    assert {key: row.excess and row.excess.difference for key, row in by.items()} == {
        ("plain", BARE): 1, ("rounding", DELIVERED): 0, ("rounding", BARE): 1,
    }  # fmt: skip
    assert by["plain", BARE].share.value == 1


def test_items_that_are_not_scored_do_not_count() -> None:
    known = np.where(np.arange(N) < N // 2, np.nan, 1.0)
    readings = {("relearning", ""): {0.0: known}}
    model, none = [found(readings)] * SEEDS, [found({("relearning", ""): {0.0: np.where(np.isnan(known), known, 0.0)}})]
    (row,) = robustness(*table({"retrain": none * SEEDS, "target": model, "m": model}), margin=0.05)
    assert row.after == 1 and row.excess is not None and row.excess.n == CLUSTERS // 2


def test_each_seed_gives_other_authors_away() -> None:
    """Five authors are given of ten, others in each of two seeds: all ten are scored, each where it was not given."""
    given = [np.arange(N) // EACH % 2 == seed for seed in range(2)]

    def made(level: float, plain: float = 0.0) -> list[Attacked]:
        of = [np.where(taught, np.nan, level) for taught in given]
        return [found({("relearning", ""): {4.0: each}}, plain=np.full(N, plain)) for each in of]

    (row,) = robustness(*table({"retrain": made(0.1), "target": made(1.0, 1.0), "m": made(0.5)}), margin=0.05)
    assert row.excess is not None and row.excess.n == CLUSTERS and row.seeds == (0, 1)
    assert row.excess.difference == pytest.approx(0.4) and row.share.value == pytest.approx(0.4)
    assert row.after == pytest.approx(0.5) and row.before == 0


def test_seeds_with_other_items_count_alike() -> None:
    """The mean is over seeds of the means over what each scores, and its clusters are all that some seed scores."""
    parts = [np.where(np.arange(N) < cut, np.nan, level) for cut, level in ((0, 0.2), (N // 2, 0.6))]
    model = [found({("relearning", ""): {0.0: of}}) for of in parts]
    none = [found({("relearning", ""): {0.0: of * 0}}) for of in parts]
    target = [found({("relearning", ""): {0.0: of}}, plain=np.ones(N)) for of in parts]
    (row,) = robustness(*table({"retrain": none, "target": target, "m": model}), margin=0.05)
    assert row.excess is not None and row.excess.n == CLUSTERS
    assert row.excess.difference == pytest.approx(0.4) and row.after == pytest.approx(0.4)


@pytest.mark.parametrize(("ruined", "read_at"), [((), 128.0), ((128.0,), 32.0), ((128.0, 32.0), 8.0)])
def test_where_an_attack_is_read_nobody_chooses(ruined: tuple[float, ...], read_at: float) -> None:
    """At the step that it names, or the nearest at which the model keeps enough, though others serve attackers more."""

    def made(level: float, ruined: tuple[float, ...] = ()) -> list[Attacked]:
        curve = {step: np.full(N, level / (1 + step)) for step in (0.0, 8.0, 32.0, 128.0)}
        of = found({("fine-tuning", ""): curve}, plain=np.full(N, level), at=128.0)
        points = tuple(p._replace(kept=np.zeros(4)) if p.step in ruined else p for p in of.points)
        return [dataclasses.replace(of, points=points)] * SEEDS

    (row,) = robustness(*table({"retrain": made(0.0), "target": made(1.0), "m": made(0.8, ruined)}), margin=0.05)
    assert row.chosen == (("", read_at),)


def test_holm_over_all_lines_and_methods() -> None:
    """Two lines of two methods, one of them a control, which is no test: the smallest p is multiplied by two."""
    random = np.random.default_rng(3)

    def made(level: float) -> list[Attacked]:
        return [found({("a", "x"): noisy(random, level), ("a", "control"): noisy(random, 0.1)}) for _ in range(SEEDS)]

    rows = robustness(*table({"retrain": made(0.1), "target": made(1.0), "m": made(0.5), "n": made(0.1)}), margin=0.05)
    assert len(rows) == 4 and sum(row.line.control for row in rows) == 2
    smallest = min((row.excess for row in rows if row.excess and not row.line.control), key=lambda c: c.p)
    assert smallest.p_holm == pytest.approx(2 * smallest.p)
    assert all(row.excess is not None and row.excess.p_holm == 1 for row in rows if row.line.control)


def test_files_hold_what_was_written(tmp_path) -> None:
    made = found({("rounding", "to nearest"): {8.0: np.linspace(0, 1, N), 4.0: np.full(N, np.nan)}})
    attacked.save(tmp_path, cell("m", 0), made)
    again = attacked.read(tmp_path, cell("m", 0))
    assert (again.items, again.kept, again.done) == (made.items, made.kept, made.done)
    for old, new in zip(made.points, again.points, strict=True):
        assert old[:5] == new[:5]
        np.testing.assert_allclose(new.known, old.known, rtol=5e-4)
    assert again.has("rounding", "k") and not again.has("rounding", "other") and not again.has("leak", "k")
    place = attacked.path(tmp_path, cell("m", 0))
    place.write_bytes(place.read_bytes()[:-9])
    said: list[str] = []
    assert attacked.every(tmp_path, {cell("m", 0): None}, said.append) == {}
    assert "run the attacks again" in said[0]


def test_what_never_went_has_not_come_back() -> None:
    """Of a method that forgets nothing an attack without a before finds all: that is left, and nothing came back."""
    random = np.random.default_rng(5)

    def made(level: float) -> list[Attacked]:
        known = noisy(random, level)
        plain = found({("rounding", ""): known}, plain=known[0.0])
        inside = found({("patching", ""): noisy(random, level)}, from_plain=False)
        points = plain.points + tuple(p for p in inside.points if p.attack == "patching")
        return [dataclasses.replace(plain, points=points, done={**inside.done, **plain.done})] * SEEDS

    rows = robustness(*table({"retrain": made(0.0), "target": made(1.0), "m": made(0.9)}), margin=0.05)
    shown: Any = SimpleNamespace(attacks=tuple(rows))
    assert [row.line.attack for row in board.most(shown)] == ["rounding"]
    assert "though not that more comes back, shown by a corrected test, of m (1 of 1)" in board.sentence(shown, Rules())
