"""The figures of requests one after another, on made cells whose truth is planted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.api import Score
from bench.board import studies as board
from bench.compare.analysis import Rules
from bench.compare.studies import found, sequence
from bench.compare.studies.study import Figure, Material, Study, over_seeds
from bench.score.estimates import Estimate
from bench.store.record import Cell, Record

K, AUTHORS, EACH, SEEDS = 4, 5, 6, 3
TASKS = {float(k): f"sequence:tofu:{k}" for k in range(1, K + 1)}
Known = Callable[[int, int], float]
"""What is known of part j after request k, both from 0."""
TARGET: Known = lambda k, j: 0.9  # noqa: E731
RETRAIN: Known = lambda k, j: 0.1 if j <= k else 0.9  # noqa: E731


def table(known: Known, k: int, random: np.random.Generator) -> pd.DataFrame:
    """The items of one cell: every author has something of its own."""
    rows = []
    for j in range(K):
        set_ = "forget" if j == k else "earlier" if j < k else "later"
        for author in range(AUTHORS):
            values = known(k, j) + random.normal(0, 0.02) + random.normal(0, 0.02, EACH)
            rows += [{"set": set_, "id": f"{j}-{author}-{n}", "cluster": f"author-{j}-{author}",
                      "extraction_strength": value} for n, value in enumerate(values)]  # fmt: skip
    return pd.DataFrame(rows).set_index("id")


def material(
    methods: Mapping[str, Known],
    utility: Mapping[str, Callable[[int], float]] = {},
    seed: int = 0,
    name: str = "sequence:tofu",
) -> Material:
    random = np.random.default_rng(seed)
    records, tables = {}, {}
    tasks = {at: f"{name}:{at:.0f}" for at in TASKS}
    for method, known in {"target": TARGET, "retrain": RETRAIN, **methods}.items():
        for k, task in enumerate(tasks.values()):
            for s in range(SEEDS):
                cell = Cell(task, method, "tiny", "embedded", s)
                worth = utility.get(method, lambda k: 0.8)(k)
                cost = {"unlearn_seconds": 2.0, "prepare_seconds": 40.0, "attached_mb": 1.5 * (k + 1)}
                scores = {"model_utility": Score(worth + random.normal(0, 0.001))}
                records[cell] = Record(cell, "ok", {}, {}, scores=scores, cost=cost)
                tables[cell] = table(known, k, random)
    return Material(name, "embedded", "tiny", "request", tasks, records, tables.__getitem__)


def study(methods: Mapping[str, Known], utility: Mapping[str, Callable[[int], float]] = {}, seed: int = 0) -> Study:
    made = sequence.study(material(methods, utility, seed))
    assert made is not None
    return made


def beside(own: Material, *others: Material) -> Material:
    """With the cells of others, where these are."""
    owners = {cell: of for of in (own, *others) for cell in of.records}
    records = {cell: of.records[cell] for cell, of in owners.items()}
    return dataclasses.replace(own, records=records, read=lambda cell: owners[cell].read(cell))


def without(own: Material, gone: Callable[[Cell], bool]) -> Material:
    return dataclasses.replace(own, records={cell: of for cell, of in own.records.items() if not gone(cell)})


def row(own: Material, method: str = "m") -> Mapping[str, Figure]:
    made = sequence.study(own)
    assert made is not None
    return made.rows[method]


def test_doing_nothing_leaves_the_gap_and_changes_nothing_later():
    row = study({"fo-ga": TARGET}).rows["fo-ga"]
    assert row["immediate"].value == pytest.approx(0.8, abs=0.02)
    assert row["immediate"].p < 1e-3
    for title in ("relapse", "premature", "later requests"):
        assert row[title].value == pytest.approx(0.0, abs=0.03)
    assert row["utility"].value == pytest.approx(0.0, abs=0.01)


def test_retraining_is_0_everywhere():
    row = study({"again": RETRAIN}).rows["again"]
    for title in ("immediate", "later requests", "premature", "utility", "utility a request"):
        assert row[title].value == pytest.approx(0.0, abs=0.02)
        assert row[title].p is None or row[title].p > 0.05


def test_what_comes_back_is_relapse_and_what_goes_too_early_is_premature():
    back: Known = lambda k, j: 0.1 + 0.15 * (k - j) if j <= k else 0.9  # noqa: E731
    early: Known = lambda k, j: 0.1 if j <= k + 1 else 0.9  # noqa: E731
    rows = study({"back": back, "early": early}).rows
    # the largest return of parts 1 to 3 is by the last request: 0.45, 0.30, 0.15
    assert rows["back"]["relapse"].value == pytest.approx(0.30, abs=0.03)
    assert rows["back"]["premature"].value == pytest.approx(0.0, abs=0.03)
    # of the six pairs k < j three are the next part, which is gone
    assert rows["early"]["premature"].value == pytest.approx(0.8 * 3 / 6, abs=0.03)
    assert rows["early"]["relapse"].value < 0.05


def test_what_is_the_same_after_every_request_has_no_relapse():
    own = material({"m": TARGET})
    same = dataclasses.replace(own, read=lambda cell: own.read(cell).assign(extraction_strength=0.9))
    assert row(same)["relapse"].value == pytest.approx(0)


def test_requests_that_work_less_and_less_have_a_slope():
    worse: Known = lambda k, j: 0.1 + 0.2 * j if j <= k else 0.9  # noqa: E731
    row = study({"worse": worse}).rows["worse"]
    assert row["later requests"].value == pytest.approx(0.2, abs=0.02)
    assert row["later requests"].p < 1e-3


def test_what_requests_cost_is_told_in_all_and_by_request():
    row = study({"costly": RETRAIN}, {"costly": lambda k: 0.8 - 0.1 * (k + 1)}).rows["costly"]
    assert row["utility"].value == pytest.approx(-0.4, abs=0.01)
    assert row["utility a request"].value == pytest.approx(-0.1, abs=0.005)
    assert row["seconds"].value == pytest.approx(0.05)


def test_the_curves_are_of_the_part_just_asked_for_and_of_utility_by_request():
    worse: Known = lambda k, j: 0.1 + 0.2 * j if j <= k else 0.9  # noqa: E731
    made = study({"worse": worse}, {"worse": lambda k: 0.8 - 0.1 * k})
    wanted = {"worse": ([0.1, 0.3, 0.5, 0.7], [0.8, 0.7, 0.6, 0.5]), "target": ([0.9] * K, [0.8] * K),
              "retrain": ([0.1] * K, [0.8] * K)}  # fmt: skip
    for curves, which in zip(made.curves, (0, 1), strict=True):
        assert set(curves.lines) == set(wanted)
        for method, line in curves.lines.items():
            assert [at for at, _ in line] == [1, 2, 3, 4]
            assert [figure.value for _, figure in line] == pytest.approx(wanted[method][which], abs=0.03)


def test_a_study_says_what_it_is_of():
    made = study({"m": TARGET})
    said = (made.name, made.data, made.model, made.title, made.axis)
    assert said == ("sequence:tofu", "embedded", "tiny", "4 requests one after another", "request")
    labels = [(curves.title, curves.y) for curves in made.curves]
    assert labels == [("The part just asked for", "known"), ("Utility", "model utility")]
    (grid,) = made.grids
    assert (grid.title, grid.down, grid.across) == (
        "What is known of each part after each request", "request", "part",
    )  # fmt: skip


def test_the_seeds_of_a_study_are_those_of_the_method_that_has_most():
    made = sequence.study(without(material({"a": TARGET, "b": TARGET}), lambda c: c.method == "b" and c.seed < 2))
    assert made is not None and made.seeds == (0, 1, 2) and made.rows["b"]["utility"].n == 1


def test_requests_that_were_not_run_leave_no_study():
    whole = material({"m": TARGET})
    tasks = {at: task for at, task in whole.tasks.items() if at < K}
    assert sequence.study(dataclasses.replace(whole, tasks=tasks)) is None
    assert sequence.study(without(whole, lambda cell: cell.method == "target")) is None


@pytest.mark.parametrize("left", [2, 3])
def test_a_part_of_two_authors_is_too_small_and_that_is_said(left: int):
    whole = material({"m": TARGET})
    small = [f"author-2-{n}" for n in range(left, AUTHORS)]
    read = lambda cell: whole.read(cell).loc[lambda items: ~items["cluster"].isin(small)]  # noqa: E731
    made = sequence.study(dataclasses.replace(whole, read=read))
    assert made is not None
    assert ["of 2 authors" in note for note in made.notes if "too few for intervals" in note] == [True] * (left == 2)
    assert (made.rows["m"]["immediate"].lo is None) is (left == 2)


def at_once(known: float, utility: float, **parameters: float) -> Material:
    """The cells of method m that forget the whole with one request."""
    last = material({"m": lambda k, j: known}, {"m": lambda k: utility})
    old = {cell._replace(task="tofu:forget10"): cell for cell in last.records
           if (cell.task, cell.method) == ("sequence:tofu:4", "m")}  # fmt: skip
    records = {new: dataclasses.replace(last.records[cell], parameters=parameters) for new, cell in old.items()}
    read = lambda cell: last.read(old[cell]).assign(set="forget")  # noqa: E731
    return dataclasses.replace(last, records=records, read=read)


def test_requests_are_held_against_one_request_for_all():
    """After the last 0.3 is known and utility is 0.7; at once it is 0.2 and 0.75.

    Both are drawn alike: author by author the gap does not vary, which leaves no interval but a sign test."""
    requests = material({"m": lambda k, j: 0.3 if j <= k else 0.9}, {"m": lambda k: 0.8 - 0.1 * (k + 1) / K})
    found = row(beside(requests, at_once(0.2, 0.75)))
    assert found["gap to one shot"].value == pytest.approx(0.1, abs=0.01)
    assert found["gap to one shot"].p is not None and found["gap to one shot"].lo is None
    assert found["utility to one shot"].value == pytest.approx(-0.05, abs=0.005)
    assert found["utility to one shot"].p is None
    columns = {"gap to one shot", "utility to one shot"}
    lacking = without(at_once(0.2, 0.75), lambda cell: cell.seed == 1)
    for other in (lacking, at_once(0.2, 0.75, lr=0.1), without(lacking, lambda cell: True)):
        assert not columns & set(row(beside(requests, other))), "of all seeds, and with the same parameters"


def test_the_order_of_requests_matters_as_much_as_its_ends_vary():
    """What is known in the end is 0.1, 0.2 and 0.6 in three orders: s = root(sum of (x - 0.3)^2 / 2) = root(0.07)."""
    ends = {"": 0.1, "-b": 0.2, "-c": 0.6}
    orders = [material({"m": lambda k, j, end=end: end if k == K - 1 else 0.9}, name=f"sequence{of}:tofu")
              for of, end in ends.items()]  # fmt: skip
    every = beside(*orders)
    assert row(every)["order"].value == pytest.approx(0.07**0.5, abs=0.01)
    asked_in_another = dataclasses.replace(every, name="sequence-c:tofu", tasks=orders[2].tasks)
    assert row(asked_in_another)["order"].value == pytest.approx(row(every)["order"].value)
    lacking = without(every, lambda cell: cell.task == "sequence-b:tofu:3" and cell.seed == 2)
    assert "order" not in row(lacking) and "order" not in row(every, "target")


def test_what_requests_take_is_told_where_it_is_known():
    """2 s a request beside 40 s a retraining, of seed 0 alone 6 s; 1.5 MB stay attached a request, and of a control
    nothing is told."""
    own = material({"m": TARGET})
    slow = {cell: dataclasses.replace(record, cost={**record.cost, "unlearn_seconds": 6.0})
            for cell, record in own.records.items() if (cell.method, cell.seed) == ("m", 0)}  # fmt: skip
    found = row(dataclasses.replace(own, records={**own.records, **slow}))
    assert found["seconds"].value == pytest.approx((6 / 40 + 2 / 40 + 2 / 40) / 3)
    assert found["kept, MB"].value == pytest.approx(6.0) and found["seconds"].p is None
    assert not {"seconds", "kept, MB"} & set(row(own, "target"))
    for method, name in (("m", "unlearn_seconds"), ("retrain", "prepare_seconds")):
        cell = Cell("sequence:tofu:2", method, "tiny", "embedded", 0)
        cost = {n: v for n, v in own.records[cell].cost.items() if n != name}
        untold = {**slow, cell: dataclasses.replace(own.records[cell], cost=cost)}
        found = row(dataclasses.replace(own, records={**own.records, **untold}))
        assert found["seconds"].value == pytest.approx(2 / 40) and found["seconds"].n == 2
    bare = {cell: dataclasses.replace(record, cost={}) for cell, record in own.records.items()}
    found = row(dataclasses.replace(own, records=bare))
    assert "seconds" not in found and found["kept, MB"].value == 0


def test_the_matrix_is_known_less_retrain():
    grid = study({"fo-ga": TARGET}).grids[0].values["fo-ga"]
    assert np.allclose(grid, [[0.8 if j <= k else 0.0 for j in range(K)] for k in range(K)], atol=0.05)


def test_a_method_that_lacks_a_request_is_no_row():
    random = np.random.default_rng(0)
    cells = [Cell(t, m, "tiny", "embedded", 0) for t in TASKS.values() for m in ("target", "retrain", "fo-ga")]
    records = {c: Record(c, "ok", {}, {}, scores={"model_utility": Score(0.8)}) for c in cells[:-1]}
    read = lambda cell: table(TARGET, int(cell.task[-1]) - 1, random)  # noqa: E731
    made = sequence.study(Material("sequence:tofu", "embedded", "tiny", "request", TASKS, records, read))
    assert made is not None
    assert list(made.rows) == ["target"]


def test_nothing_is_told_more_often_than_it_may_be():
    """Retrain beside itself, many times over: the family of a study is told from 0 in 5% of studies at most."""
    runs = 60
    false = 0
    for seed in range(runs):
        rows = study({"a": RETRAIN, "b": RETRAIN}, seed=seed).rows
        false += any(f.p is not None and f.p < 0.05 for m in ("a", "b") for f in rows[m].values())
    assert false <= 8  # of 60; more than 8 has a chance of 0.5% where the rate is 5%


def test_the_board_says_what_is_told_and_what_it_means():
    made = study({"fo-ga": TARGET, "again": RETRAIN})
    text = board.markdown(made, Rules())
    assert "Told from 0 by a corrected test: immediate: fo-ga." in text
    assert text.count("\n| ") == 4
    assert "S[k, k] - R[k, k]" in text
    assert board.plain(made, "fo-ga")["immediate"]["p"] < 0.05


def test_a_request_that_was_run_anew_with_other_settings_ends_the_chain():
    """What stands after it started from another model: the seed counts nowhere, and that is said."""
    random = np.random.default_rng(0)
    records = {}
    for k, task in enumerate(TASKS.values()):
        for method in ("target", "retrain", "fo-ga", "fo-npo"):
            for seed in (0, 1):
                key = f"{method} {k} {seed}" + (" anew" if (method, k, seed) == ("fo-ga", 1, 1) else "")
                before = f"{method} {k - 1} {seed}" if k else "target"
                cell = Cell(task, method, "tiny", "embedded", seed)
                scores = {"model_utility": Score(0.8)}
                records[cell] = Record(cell, "ok", {"train": key}, {"start": before}, scores=scores)
    material = Material("sequence:tofu", "embedded", "tiny", "request", TASKS, records,
                        lambda cell: table(TARGET, int(cell.task[-1]) - 1, random))  # fmt: skip
    assert material.seeds_of("fo-npo") == (0, 1)
    assert material.seeds_of("fo-ga") == (0,)
    made = sequence.study(material)
    assert made is not None
    assert [note for note in made.notes if note.startswith("fo-ga, seed 1: in no figure")]


def test_what_does_not_vary_has_no_interval_and_a_sign_test():
    same = Estimate(0.5, {"part": np.full(5, 0.5)}, {"part": np.ones(5)})
    assert over_seeds([same, same]) == Figure(0.5, n=5, p=2 / 2**5)
    broken = Estimate(0.5, {"part": np.array([0.4, np.nan, 0.6])}, {"part": np.ones(3)})
    assert over_seeds([broken]) == Figure(0.5, n=3)


def test_steps_of_other_items_under_one_label_are_left_out_with_a_sentence(tmp_path, monkeypatch):
    """Two directories of files are both called "files"; nothing else of the board may break."""
    random = np.random.default_rng(0)

    def read(results: Path, cell: Cell) -> pd.DataFrame:
        own = table(TARGET, int(cell.task[-1]) - 1, random).reset_index()
        return own.assign(id=own["id"] + " elsewhere") if cell.task.endswith("3") else own

    monkeypatch.setattr(found.files, "items", read)
    cells = [Cell(t, m, "tiny", "files", 0) for t in TASKS.values() for m in ("target", "retrain", "fo-ga")]
    records = {c: Record(c, "ok", {}, {}, scores={"model_utility": Score(0.8)}) for c in cells}
    (made,) = found.studies(tmp_path, records)
    assert made == Study("sequence:tofu", "files", "tiny", "no figures", "request", (), (), {}, notes=made.notes)
    assert "have not the same items (KeyError: " in made.notes[0]
    assert "Run them on one data" in board.markdown(made, Rules())
