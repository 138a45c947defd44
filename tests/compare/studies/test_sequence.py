"""The figures of requests one after another, on made cells whose truth is planted."""

from __future__ import annotations

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


def study(methods: Mapping[str, Known], utility: Mapping[str, Callable[[int], float]] = {}, seed: int = 0) -> Study:
    random = np.random.default_rng(seed)
    records, tables = {}, {}
    for method, known in {"target": TARGET, "retrain": RETRAIN, **methods}.items():
        for k, task in enumerate(TASKS.values()):
            for s in range(SEEDS):
                cell = Cell(task, method, "tiny", "embedded", s)
                worth = utility.get(method, lambda k: 0.8)(k)
                cost = {"unlearn_seconds": 2.0, "prepare_seconds": 40.0}
                scores = {"model_utility": Score(worth + random.normal(0, 0.001))}
                records[cell] = Record(cell, "ok", {}, {}, scores=scores, cost=cost)
                tables[cell] = table(known, k, random)
    made = sequence.study(Material("sequence:tofu", "embedded", "tiny", "request", TASKS, records, tables.__getitem__))
    assert made is not None
    return made


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
    assert made.rows == {}
    assert "have not the same items" in made.notes[0]
    assert "Run them on one data" in board.markdown(made, Rules())
