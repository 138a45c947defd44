"""The board is a pure function of results: controls on top, ranks and rules as stated, nothing left out in silence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from bench.api import Score
from bench.board.leaderboard import number, render, rows, short
from bench.compare.analysis import Rules, analyse
from bench.compare.comparing import PERMUTED, too_few
from bench.store import files
from bench.store.record import Cell, Record

SCORES = ("forget_quality", "model_utility", "mia_auc", "task_aggregate")


@pytest.fixture
def board(tmp_path):
    """A function from (method, seed, utility, aggregate) or (method, seed, status) to results with their records."""

    def made(*specs):
        records = {}
        for method, seed, *rest in specs:
            cell = Cell("tofu:forget10", method, "tiny", "embedded", seed)
            scores = {}
            if len(rest) == 2:
                utility, aggregate = rest
                scores = {
                    "forget_quality": Score(1.0 if method == "retrain" else 1e-3, 1e-4, 1e-2, 40),
                    "model_utility": Score(utility, utility - 0.1, utility + 0.1, 100),
                    "mia_auc": Score(None, note="no holdout split"),
                    "task_aggregate": Score(aggregate, aggregate - 0.1, aggregate + 0.1, 100),
                }
            record = Record(cell, "ok" if scores else rest[0], {"score": method}, {}, scores=scores, error="boom")
            files.save(tmp_path, record, items(method, seed) if scores else None)
            records[cell] = record
        return tmp_path, records

    return made


def items(method: str, seed: int) -> pd.DataFrame:
    """Forty forget items of ten authors with a truth ratio."""
    rng = np.random.default_rng([seed, *method.encode()])
    names = [f"{i:02}" for i in range(40)]
    frame = {"set": "forget", "id": names, "cluster": [f"author-{i // 4}" for i in range(40)]}
    return pd.DataFrame({**frame, "log_truth_ratio": rng.normal(size=40).astype(np.float32)})


CONTROLS = (("target", 0, 0.9, 0.0), ("retrain", 0, 0.9, 0.8))


def test_controls_stand_on_top_and_the_rest_by_aggregate(board):
    tables = analyse(*board(("b", 0, 0.8, 0.2), *CONTROLS, ("a", 0, 0.8, 0.7)))
    assert [row["method"] for row in rows(tables)] == ["target", "retrain", "a", "b"]
    text = render(tables, Rules())
    assert text.index("*target*") < text.index("*retrain*") < text.index("| a |") < text.index("| b |")


def test_several_seeds_are_one_row_of_means(board):
    """Aggregates 0.4 and 0.6 average to 0.5; forget quality's geometric mean of 1e-3 and 1e-3 is itself."""
    results, records = board(("retrain", 0, 0.9, 0.8), ("retrain", 1, 0.9, 0.8), ("a", 0, 0.8, 0.4), ("a", 1, 0.8, 0.6))
    row = next(row for row in rows(analyse(results, records)) if row["method"] == "a")
    assert row["seeds"] == [0, 1] and row["by_seed"]["task_aggregate"] == [0.4, 0.6]
    assert row["scores"]["task_aggregate"]["value"] == pytest.approx(0.5)
    assert row["scores"]["forget_quality"]["value"] == pytest.approx(1e-3)


def test_the_retrain_band_stands_below_a_table_of_several_seeds(board):
    (table,) = analyse(*board(("retrain", 0, 0.9, 0.8), ("retrain", 1, 0.9, 0.8), ("retrain", 2, 0.9, 0.8)))
    assert table.band.ks.n == 3 and 0 < table.band.ks.lo <= table.band.ks.value <= table.band.ks.hi < 1
    assert table.band.log10_p.lo <= table.band.log10_p.hi <= 0
    assert "retrain models of different seeds (3 pairs)" in render([table], Rules())


def test_cells_without_scores_are_listed_and_not_averaged(board):
    tables = analyse(*board(*CONTROLS, ("a", 0, 0.8, 0.4), ("a", 1, "diverged"), ("c", 0, "failed")))
    found = {row["method"]: row for row in rows(tables)}
    assert found["a"]["seeds"] == [0] and found["a"]["problems"] == ["seed 1 diverged: boom"]
    assert found["a"]["scores"]["task_aggregate"]["value"] == 0.4
    assert found["c"]["seeds"] == [] and found["c"]["problems"] == ["seed 0 failed: boom"]
    text = render(tables, Rules())
    assert "left out, diverged: boom (a: seed 1)" in text and "left out, failed: boom (c: seed 0)" in text
    assert "Unscored, no holdout split: mia_auc." in text


def _left_out(results, records) -> dict[str, str]:
    (table,) = analyse(results, records)
    return {f"{cell.method} {cell.seed}": reason for cell, reason in table.left_out}


def test_what_a_number_may_not_rest_on_is_named_with_its_reason(board):
    results, records = board(*CONTROLS, *((name, 0, 0.8, 0.5) for name in ("dirty", "old", "other", "part", "torn")),
                             ("lone", 7, 0.8, 0.5))  # fmt: skip

    def change(name, **fields):
        cell = next(cell for cell in records if cell.method == name)
        records[cell] = dataclasses.replace(records[cell], **fields)
        return cell

    change("dirty", environment={"dirty": True})
    change("old", identity={"metric forget_quality": 0})
    change("other", identity={"retrain": "another"})
    change("part", scores={"forget_quality": Score(0.1)})
    files.record_path(results, change("torn")).with_suffix(".parquet").write_bytes(b"PAR1")
    found = _left_out(results, records)
    assert found.keys() == {"dirty 0", "old 0", "other 0", "part 0", "torn 0", "lone 7"}
    assert "uncommitted" in found["dirty 0"]
    assert found["old 0"] == "stale: scored by an older version of forget_quality. Run: python -m bench score"
    assert "changed since" in found["other 0"]
    assert found["part 0"] == "partial: it has no model_utility, mia_auc, task_aggregate"
    assert "cannot be read" in found["torn 0"]
    assert found["lone 7"] == "its retrain reference (seed 7) is gone"
    assert "dirty 0" not in {
        f"{cell.method} {cell.seed}" for cell, _ in analyse(results, records, Rules(dirty=True))[0].left_out
    }


def test_items_that_are_not_those_of_the_rest_are_left_out(board):
    results, records = board(*CONTROLS, ("a", 0, 0.8, 0.5))
    record = next(record for cell, record in records.items() if cell.method == "a")
    files.save(results, record, items("a", 0).iloc[1:])
    assert _left_out(results, records) == {
        "a 0": "measured on other items of the forget set than the rest of the table"
    }


def test_seeds_that_do_not_match_are_named(board):
    many = [(m, seed, 0.8, 0.5) for m in ("retrain", "a") for seed in (0, 1)]
    (table,) = analyse(*board(*many, ("b", 1, 0.8, 0.5)))
    assert any("the others have 0, 1, b (1)" in note for note in table.notes)
    assert {c.seeds for c in table.comparisons if {c.a, c.b} == {"a", "b"}} == {(1,)}


def test_a_collapsed_method_is_set_apart_not_ranked(board):
    """Utility 0.44 is below half of the target's 0.9; at 0.48 of it, 0.432, it is not."""
    results, records = board(*CONTROLS, ("a", 0, 0.44, 0.7), ("b", 0, 0.8, 0.5))
    (table,) = analyse(results, records)
    assert [row.method for row in table.rows] == ["target", "retrain", "b", "a"]
    assert table.rows[-1].apart == "model utility 0.440 is below 0.5 of the target's 0.900"
    assert table.rows[-1].rank is None and "| apart | a |" in render([table], Rules())
    (table,) = analyse(results, records, Rules(collapsed=0.48))
    assert not any(row.apart for row in table.rows)


def test_a_task_that_is_not_known_here_has_its_first_four_scores(board):
    results, records = board(*CONTROLS)
    moved = {}
    for cell, record in records.items():
        of = cell._replace(task="mine")
        moved[of] = dataclasses.replace(record, cell=of)
        files.save(results, moved[of], items(cell.method, 0))
    (table,) = analyse(results, moved)
    assert tuple(table.headlines.values()) == SCORES and table.details == {"All scores": SCORES}


def test_the_world_stands_in_the_heading_and_order_of_records_does_not_count(board):
    results, records = board(*CONTROLS, ("b", 0, 0.8, 0.2), ("a", 0, 0.8, 0.7))
    text = render(analyse(results, records), Rules())
    assert "## tofu:forget10: embedded world, model tiny, seed 0" in text
    assert "no number below is a TOFU or LUME number" in text
    assert render(analyse(results, dict(reversed(records.items()))), Rules()) == text


def test_what_was_found_once_is_read_not_computed(board, monkeypatch):
    results, records = board(*CONTROLS, ("a", 0, 0.8, 0.5), ("b", 0, 0.8, 0.2))
    first = analyse(results, records)
    monkeypatch.setattr("bench.compare.findings._compute", lambda *_: pytest.fail("computed again"))
    assert analyse(results, records) == first
    next((results / "analysis").iterdir()).write_text("{")
    with pytest.raises(pytest.fail.Exception):
        analyse(results, records)


def test_numbers_as_printed():
    assert number("mia_auc", Score(0.5, 0.4, 0.61234, 9)._asdict()) == "0.500 [0.400, 0.612]"
    assert number("mia_auc", Score(0.5, n=1)._asdict()) == "0.500 [unknown]"
    assert number("forget_quality", Score(1.234e-21, 1e-29, 2e-17, 300)._asdict()) == "1.2e-21 [1e-29, 2e-17]"
    assert number("mia_auc", Score(None)._asdict()) == "-"
    assert short("mia_auc", Score(0.5, 0.4, 0.61234, 9)) == "0.500 ± 0.106"
    assert short("mia_auc", Score(0.5)) == "0.500 ± ?"
    assert short("forget_quality", Score(1e-4, 1e-6, 1e-3)) == "-4.0 ± 1.5"
    assert short("forget_quality", Score(0.0, 0.0, 0.0)) == "< -300"


def test_what_can_never_be_significant_is_not_bold(board):
    """Two clusters are swapped in four ways: no p is below 1/2."""
    results, records = board(*CONTROLS, ("a", 0, 0.8, 0.5), ("b", 0, 0.8, 0.2))
    (table,) = analyse(results, records)
    few = [c._replace(test=PERMUTED, n=2) for c in table.comparisons]
    assert too_few(few, 0.05) == {c.metric: 2 for c in few}
    assert too_few([c._replace(n=40) for c in few], 0.05) == {}
    text = render([dataclasses.replace(table, comparisons=tuple(few))], Rules())
    assert "Too few clusters" in text and "**-3.0 ± 1.0**" not in text
    many = tuple(c._replace(n=40) for c in few)
    assert "**-3.0 ± 1.0**" in render([dataclasses.replace(table, comparisons=many)], Rules())


def test_a_single_seed_among_several_is_named(board):
    results, records = board(
        ("target", 0, 0.9, 0.0), ("target", 1, 0.9, 0.0), ("retrain", 0, 0.9, 0.8), ("retrain", 1, 0.9, 0.8),
        ("a", 0, 0.8, 0.5), ("a", 1, 0.8, 0.4), ("b", 0, 0.8, 0.2),
    )  # fmt: skip
    text = render(analyse(results, records), Rules())
    assert "One seed only, so its ± has no variance between seeds: b." in text


def test_files_without_a_record_stand_on_the_board():
    assert "- x.json is cut short" in render([], Rules(), ["x.json is cut short"])
    assert "Left out of every table" not in render([], Rules())


def test_how_many_seeds_reached_the_level_stands_beside_the_number():
    assert short("", Score(0.8, n=1, note="reached by 1 of 3 seeds")) == "0.800 ± ? (reached by 1 of 3 seeds)"
    assert short("", Score(None, note="starts below")) == "starts below"
