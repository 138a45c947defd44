"""What of a table's attacks is laid side by side: which cells, forms, lines, seeds and places, and what is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bench.compare.readings import USABLE, Line, Models, Seen, by_model, lines, seen
from bench.store.attacked import BARE, DELIVERED, Attacked, Point
from bench.store.record import Cell, Record

ITEMS = (("one", "author-0"), ("two", "author-1"))
TEACHING = Line("teaching", "part", control=False)
SAID = {"injects": "facts", "needs": "weights", "axis": "steps", "controls": []}


def cell(method: str, seed: int = 0) -> Cell:
    return Cell("tofu:forget10", method, "tiny", "embedded", seed)


def done(model: str = "m", **how: Any) -> Mapping[str, Any]:
    return {"model": model, "about": SAID, **how}


def read(level: float, form: str = DELIVERED, attack: str = "teaching", step: float = 0.0) -> Point:
    return Point(attack, form, "part", "rate", step, np.full(2, level), np.full(3, 1 - level))


def models(**found: Attacked) -> dict[tuple[str, str], Models]:
    """`by_model` of methods that were trained as their records say, each with one seed."""
    every = {cell(name): of for name, of in found.items()}
    items, made = by_model({c: Record(c, "ok", {"train": "m"}, {}) for c in every}, every)
    assert items == ITEMS
    return made


def test_readings_stand_by_method_form_seed_line_and_place() -> None:
    points = (read(0.1), read(0.2, step=4.0), read(0.3, BARE))
    made = models(m=Attacked(ITEMS, points=points, done={"teaching": done()}))
    assert set(made) == {("m", DELIVERED), ("m", BARE)}
    of = made["m", DELIVERED][0]["teaching", "part"]
    assert list(of) == [("rate", 0.0), ("rate", 4.0)]
    known, kept = of["rate", 4.0]
    assert (known == 0.2).all() and len(known) == 2 and (kept == 0.8).all() and len(kept) == 3
    assert made["m", BARE][0]["teaching", "part"]["rate", 0.0][0][0] == 0.3


def test_the_controls_say_which_items_a_table_has() -> None:
    """A method before them in the alphabet, with other items, is passed over; they are not."""
    others = tuple(reversed(ITEMS))
    of = Attacked(ITEMS, points=(read(0.5),), done={"teaching": done()})
    every = {cell(name): of for name in ("another", "retrain", "target", "zero")}
    every[cell("another")] = dataclasses.replace(of, items=others)
    items, made = by_model({c: Record(c, "ok", {"train": "m"}, {}) for c in every}, every)
    assert items == ITEMS and [method for method, _ in made] == ["retrain", "target", "zero"]
    assert by_model({}, {}) == ((), {})


def test_attacks_of_another_model_or_done_otherwise_than_on_retrain_are_passed_over() -> None:
    """Attack by attack: what else was read of the cell stays."""
    points = (read(0.5), read(0.5, attack="asking"))
    how = {name: Attacked(ITEMS, points=points, done={"teaching": teaching, "asking": done(how="a")})
           for name, teaching in {"retrain": done(how="b"), "same": done(how="b"), "anew": done("n", how="b"),
                                  "untold": done(), "otherwise": done(how="c")}.items()}  # fmt: skip
    made = models(**how)
    assert {method: [attack for attack, _ in of[0]] for (method, _), of in made.items()} == {
        "retrain": ["teaching", "asking"], "same": ["teaching", "asking"],
        "anew": ["asking"], "otherwise": ["asking"], "untold": ["asking"],
    }  # fmt: skip


def test_lines_are_those_of_retrain_in_the_order_of_the_attacks() -> None:
    retrain: Models = {0: {("a", "y"): {}, ("b", "another one"): {}}, 1: {("a", "x"): {}, ("a", "y"): {}}}
    asking = {"injects": "facts", "injects_by": {"another": "nothing"}, "needs": "questions", "axis": "k",
              "controls": ["another one"], "doc": "Ask."}  # fmt: skip
    assert lines({"b": asking, "not on retrain": SAID, "a": SAID}, retrain) == [
        Line("b", "another one", True, "nothing", "questions", "k", "Ask."),
        Line("a", "y", False, "facts", "weights", "steps", ""),
        Line("a", "x", False, "facts", "weights", "steps", ""),
    ]
    elsewhere = asking | {"injects_by": {"one": "nothing"}}
    assert lines({"b": elsewhere}, {0: {("b", "another one"): {}}})[0].injects == "facts"


def reading(known: float, kept: float | None = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return np.array([known, known / 2]), np.array([] if kept is None else [kept, kept, kept - 0.3])


def model(*of_seed: Mapping[tuple[str, float], Any], name: str = "teaching", line: str = "part") -> Models:
    return {seed: {(name, line): of} for seed, of in enumerate(of_seed) if of}


def plain(*levels: float) -> Models:
    return model(*({("", 0.0): reading(level, level)} for level in levels), name="plain", line="")


A, B, C = ("rate 1", 0.0), ("rate 1", 4.0), ("rate 3", 0.0)


def test_a_line_is_seen_over_the_seeds_and_places_that_all_three_have() -> None:
    """Values tell method (1), retrain (2) and target (3), seed (0 to 2, of which retrain lacks 1) and place."""

    def own(who: int, places: Mapping[tuple[str, float], int], *seeds: int) -> Models:
        every = ({p: reading(who + s / 10 + n / 100, who + s / 10 + n / 100) for p, n in places.items()}
                 if s in seeds else {} for s in range(3))  # fmt: skip
        return model(*every)

    three = (own(1, {A: 0, B: 1, C: 2}, 0, 1, 2), own(2, {C: 2, A: 0}, 0, 2), own(3, {A: 0, B: 1, C: 2}, 2, 0))
    found = seen(TEACHING, three, [plain(4, 4.1, 4.2), plain(5, 5.1, 5.2), plain(6, 6.1, 6.2)])
    assert found is not None and found.seeds == (0, 2) and found.places == (A, C)
    level = np.array([[[who + s / 10 + n / 100 for n in (0, 2)] for s in (0, 2)] for who in (1, 2, 3)])
    np.testing.assert_allclose(found.known, np.stack([level, level / 2], axis=-1))
    np.testing.assert_allclose(found.kept, np.stack([level, level, level - 0.3], axis=-1)[[0, 2]])
    before = np.array([[who, who + 0.2] for who in (4, 5, 6)])
    np.testing.assert_allclose(found.before, np.stack([before, before / 2], axis=-1))
    assert found.kept_before == pytest.approx(np.mean([4, 4, 3.7, 4.2, 4.2, 3.9])), "of the method alone"


def test_what_one_of_the_three_lacks_is_not_seen() -> None:
    whole, unattacked = model({A: reading(0.5)}), plain(0.5)
    assert seen(TEACHING, [whole] * 3, [unattacked] * 3) is not None
    assert seen(TEACHING._replace(name="rest"), [whole] * 3, [unattacked] * 3) is None
    for i in range(3):
        lacking = [whole if at != i else model({B: reading(0.5)}) for at in range(3)]
        assert seen(TEACHING, lacking, [unattacked] * 3) is None, "no place"
        assert seen(TEACHING, [whole if at != i else {} for at in range(3)], [unattacked] * 3) is None, "no seed"
        assert seen(TEACHING, [whole] * 3, [unattacked if at != i else {} for at in range(3)]) is None, "no before"
    assert seen(TEACHING, [model({A: reading(np.nan)})] * 3, [unattacked] * 3) is None, "nothing scored"


def test_rows_of_what_is_kept_are_filled_where_nothing_was_read() -> None:
    unread = model({A: reading(0.5, 0.8), B: reading(0.5, None)})
    found = seen(TEACHING, [unread] * 3, [plain(0.5)] * 3)
    assert found is not None
    np.testing.assert_allclose(found.kept, np.broadcast_to([[0.8, 0.8, 0.5], [np.nan] * 3], (2, 1, 2, 3)))


def kept(*values: Any, target: Any = 1.0, before: float = 1.0) -> Seen:
    """Of one line with the method's `kept` [S, P, M] and a target's of one level."""
    own = np.array(values, dtype=float)
    s, p, _ = own.shape
    none = np.zeros((3, s, p, 1))
    both = np.stack([own, np.broadcast_to(np.asarray(target, dtype=float), own.shape)])
    return Seen(tuple(range(s)), tuple(("", float(n)) for n in range(p)), none, none[:, :, 0], both, before)


def test_a_model_keeps_enough_where_nine_tenths_are_left_over_items_and_seeds() -> None:
    """Of what it kept before: 0.72 of 0.8. A seed that was not read costs nothing, whatever the other lost."""
    nan, share = np.nan, USABLE * 0.8
    of = kept(
        [[share, share], [share - 0.1, share], [0.9, 0.9], [nan, nan], [0.1, nan]],
        [[share, share], [share, share], [0.1, 0.1], [0.1, 0.1], [0.9, 0.9]],
        before=0.8,
    )
    assert of.keeps().tolist() == [True, False, False, True, False]


def test_suppressed_is_what_the_target_has_more_at_the_places_asked_for() -> None:
    of = kept([[0.2, 0.4], [0.5, np.nan], [np.nan, np.nan]], [[0.6, 0.8], [0.7, 0.7], [np.nan, np.nan]], target=0.9)
    assert of.suppressed([0]) == pytest.approx(0.9 - 0.5)
    assert of.suppressed([1]) == pytest.approx(0.9 - (0.5 + 0.7 + 0.7) / 3)
    assert of.suppressed((0, 1)) == pytest.approx(0.9 - (0.2 + 0.4 + 0.6 + 0.8 + 0.5 + 0.7 + 0.7) / 7)
    assert of.suppressed([2]) is None
