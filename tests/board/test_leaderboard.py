"""The board is a pure function of results: the headline first, no claim without seeds, nothing left out in silence."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bench.api import Score
from bench.board.leaderboard import render, rows
from bench.board.numbers import number, short
from bench.board.verdict import best, sentence
from bench.compare.analysis import Rules, analyse
from bench.store import files
from tests.board.conftest import controls

FIVE = (0, 1, 2, 3, 4)


def several(*methods: tuple[str, float, float], seeds=FIVE) -> list[tuple]:
    return [*controls(*seeds), *((name, seed, *level) for name, *level in methods for seed in seeds)]


def test_controls_stand_on_top_and_the_rest_by_headline(board):
    tables = analyse(*board(*several(("little", 0.7, 0.9), ("much", 0.1, 0.9))))
    assert [row["method"] for row in rows(tables)] == ["target", "retrain", "much", "little"]
    found = {row["method"]: row for row in rows(tables)}
    assert found["target"]["scores"]["headline"]["value"] == 0
    assert 0.9 < found["retrain"]["scores"]["headline"]["value"] <= 1  # the ceiling: retrain models of other seeds
    assert found["much"]["scores"]["erased"]["value"] == pytest.approx(0.9, abs=0.05)
    assert found["much"]["scores"]["kept"]["value"] == pytest.approx(1.0, abs=0.05)
    assert {"headline", "erased", "kept", "ks_distance"} <= found["little"]["scores"].keys()


def test_what_is_shown_to_be_better_ranks_first_and_shares_no_letter(board):
    (table,) = analyse(*board(*several(("a", 0.1, 0.9), ("b", 0.1, 0.9), ("worse", 0.6, 0.9))))
    found = {row.method: (row.rank, row.letters) for row in table.rows}
    assert found["a"] == found["b"] == (1, "a") and found["worse"] == (2, "b")
    said = sentence(table, Rules())
    assert "nobody is shown to beat " in said and "worse" not in said.split("; ")[1]
    assert best(table, "model_utility", Rules()) == set()  # nobody is beaten there, so bold would say nothing


def test_one_seed_ranks_nobody_and_is_not_bold(board):
    (table,) = analyse(*board(*several(("a", 0.1, 0.9), ("b", 0.8, 0.9), seeds=(0,))))
    assert [row.method for row in table.rows] == ["target", "retrain", "a", "b"]
    assert all(row.rank is None and not row.letters for row in table.rows)
    text = render([table], Rules())
    assert "one seed ranks nobody" in text and "these runs, items only" in text
    assert "**" not in text.split("| method |")[2].split("<details>")[0]
    assert all(row["rank"] is None for row in rows([table]))


def test_a_destroyed_model_has_a_headline_of_0_and_is_set_apart(board):
    (table,) = analyse(*board(*several(("good", 0.2, 0.9), ("ruin", 0.0, -0.12))))
    last = table.rows[-1]
    assert last.method == "ruin" and last.rank is None and "floor 0.5" in last.apart
    assert last.scores["headline"].value < 0.1 < 0.8 < last.scores["erased"].value
    assert "| ruin | apart |" in render([table], Rules())
    assert not any("ruin" in (c.a, c.b) for c in table.comparisons)


def test_a_floor_within_the_interval_is_near_and_not_apart(board):
    """The retain level of half the target's value, above and below which seeds fall."""
    specs = several(("good", 0.2, 0.9))
    specs += [("edge", seed, 0.2, 0.6 + 0.03 * (seed - 2)) for seed in FIVE]
    (table,) = analyse(*board(*specs))
    row = table.row("edge")
    assert row is not None and row.near and not row.apart and row.rank is not None
    assert "Near the floor" in render([table], Rules())


def test_two_authors_have_no_interval_and_no_rank(board):
    (table,) = analyse(*board(*several(("a", 0.1, 0.9), ("b", 0.8, 0.9)), authors=2))
    assert all(row.scores["headline"].lo is None for row in table.rows) and not table.ranked
    assert "no interval, no test, no rank can be had" in render([table], Rules())


def test_without_a_target_nothing_is_ranked_and_it_says_why(board):
    specs = [spec for spec in several(("a", 0.1, 0.9)) if spec[0] != "target"]
    (table,) = analyse(*board(*specs))
    assert "there is no target to measure against" in sentence(table, Rules())
    assert not table.ranked


def test_what_tells_from_retrain_is_marked(board):
    (table,) = analyse(*board(*several(("far", 0.8, 0.9), ("near", 0.0, 0.9))))
    text = render([table], Rules())
    far, near = (next(line for line in text.splitlines() if line.startswith(f"| {m} |")) for m in ("far", "near"))
    assert far.count("≠") == 2 and "≠" not in near
    assert "no corrected test tells near from retrain" in text


def test_nothing_is_said_of_tests_that_a_task_does_not_have(board):
    (table,) = analyse(*board(*several(("far", 0.8, 0.9), ("near", 0.0, 0.9))))
    others = [c for c in table.comparisons if c.metric == "headline"]
    assert others and "from retrain" not in sentence(dataclasses.replace(table, comparisons=others), Rules())


def test_cells_without_scores_are_listed_and_not_averaged(board):
    tables = analyse(*board(*controls(0), ("a", 0, 0.3, 0.9), ("a", 1, "diverged"), ("c", 0, "failed")))
    found = {row["method"]: row for row in rows(tables)}
    assert found["a"]["seeds"] == [0] and found["a"]["problems"] == ["seed 1 diverged: boom"]
    assert found["c"]["seeds"] == [] and found["c"]["problems"] == ["seed 0 failed: boom"]
    text = render(tables, Rules())
    assert "Left out, diverged: boom (a: seed 1)." in text and "Left out, failed: boom (c: seed 0)." in text


def _left_out(results, records) -> dict[str, str]:
    (table,) = analyse(results, records)
    return {f"{cell.method} {cell.seed}": reason for cell, reason in table.left_out}


def test_what_a_number_may_not_rest_on_is_named_with_its_reason(board):
    names = ("old", "other", "empty", "torn")
    results, records = board(*controls(0), *((name, 0, 0.3, 0.9) for name in names), ("lone", 7, 0.3, 0.9))

    def change(name, **fields):
        cell = next(cell for cell in records if cell.method == name)
        records[cell] = dataclasses.replace(records[cell], **fields)
        return cell

    change("old", identity={"metric forget_quality": 0})
    change("other", identity={"retrain": "another"})
    change("empty", scores={})
    lone = change("lone")
    records[lone] = dataclasses.replace(records[lone], scores={"forget_quality": Score(0.1, n=3)})
    files.record_path(results, change("torn")).with_suffix(".parquet").write_bytes(b"PAR1")
    found = _left_out(results, records)
    assert found.keys() == {"old 0", "other 0", "empty 0", "torn 0", "lone 7"}
    assert found["old 0"] == "stale: scored by an older version of forget_quality. Run: python -m bench score"
    assert "changed since" in found["other 0"] and "no score" in found["empty 0"]
    assert "cannot be read" in found["torn 0"]
    assert found["lone 7"] == "its retrain reference (seed 7) is gone"


def test_cells_of_changed_code_stand_on_the_board_with_a_mark(board):
    results, records = board(*controls(0), ("mine", 0, 0.3, 0.9))
    cell = next(cell for cell in records if cell.method == "mine")
    environment = {"dirty": True, "changed": ["methods/mine.py"]}
    records[cell] = dataclasses.replace(records[cell], environment=environment)
    (table,) = analyse(results, records)
    text = render([table], Rules())
    assert "| mine † |" in text and "mine †: made by code that no commit holds (methods/mine.py)" in text
    assert table.left_out == ()


def test_other_items_than_most_have_are_left_out(board):
    """Retrain's first item is renamed: it is retrain that is left out, not the rest of the table."""
    results, records = board(*several(("a", 0.3, 0.9), seeds=(0, 1)))
    cell = next(cell for cell in records if cell.method == "retrain" and cell.seed == 0)
    items = files.items(results, cell)
    items.loc[items["set"] == "forget", "id"] = items.loc[items["set"] == "forget", "id"].replace("00", "renamed")
    files.save(results, records[cell], items)
    assert _left_out(results, records) == {
        "retrain 0": "measured on other items of the forget set than most of the table"
    }


def test_an_empty_item_table_is_left_out(board):
    results, records = board(*controls(0), ("a", 0, 0.3, 0.9))
    cell = next(cell for cell in records if cell.method == "a")
    files.save(results, records[cell], files.items(results, cell).iloc[:0])
    assert "holds no item" in _left_out(results, records)["a 0"]


def test_a_copied_seed_is_no_second_run(board):
    results, records = board(*several(("a", 0.3, 0.9), seeds=(0, 1)))
    one, other = sorted(cell for cell in records if cell.method == "a")
    files.save(results, records[other], files.items(results, one))
    assert _left_out(results, records)["a 1"] == "a copy of seed 0: every number of every item is the same"


def test_a_null_in_a_trace_is_no_trace(board):
    results, records = board(*controls(0), ("a", 0, 0.3, 0.9))
    cell = next(cell for cell in records if cell.method == "a")
    curve = {"trace forget probability": [1.0, None], "trace retain probability": [1.0, 0.9]}
    records[cell] = dataclasses.replace(records[cell], curve=curve)  # type: ignore[arg-type]
    (table,) = analyse(results, records)
    assert table.rows[-1].matched.at_retrain.note == "no trace"


def test_methods_with_other_seeds_are_shown_and_not_ranked(board):
    specs = [*several(("a", 0.3, 0.9), ("b", 0.5, 0.9), seeds=(0, 1)), ("few", 1, 0.1, 0.9)]
    (table,) = analyse(*board(*specs))
    row = table.row("few")
    assert table.seeds == (0, 1) and row is not None and row.seeds == (1,) and row.rank is None
    assert any("Not ranked, for they have other ones: few (1)" in note for note in table.notes)
    assert not any("few" in (c.a, c.b) for c in table.comparisons)


def test_a_score_that_a_seed_lacks_has_no_value_and_says_so(board):
    results, records = board(*several(("a", 0.3, 0.9), seeds=(0, 1)))
    cell = next(cell for cell in records if cell.method == "a" and cell.seed == 1)
    scores = records[cell].scores | {"rouge": Score(None, note="lost")}
    records[cell] = dataclasses.replace(records[cell], scores=scores)
    (table,) = analyse(results, records)
    row = table.row("a")
    assert row is not None and row.scores["rouge"].value is None and row.scores["rouge"].lo is None
    assert row.scores["rouge"].note == "no value in seed 1: lost"


def test_a_task_that_is_not_known_here_shows_all_it_has_and_claims_nothing(board):
    results, records = board(*controls(0), ("a", 0, 0.3, 0.9), task="mine")
    (table,) = analyse(results, records)
    assert len(table.headlines) == 4 and set(table.details) == {"All scores"}
    text = render([table], Rules())
    assert "## mine: a task of your own" in text and "embedded world (invented" not in text
    assert (
        "declares no memorisation metrics" in text
        and "by looking at these very" not in text
        and "settings a method" not in text
    )


def test_variants_and_new_metrics_are_on_the_board(board):
    results, records = board(*controls(0), ("a", 0, 0.3, 0.9), ("a@beta=2", 0, 0.2, 0.9))
    cell = next(cell for cell in records if cell.method == "a")
    records[cell] = dataclasses.replace(records[cell], scores=records[cell].scores | {"my_metric": Score(0.4, n=3)})
    text = render(analyse(results, records), Rules())
    assert "| a@beta=2 |" in text and " my metric |" in text


def test_tofu_stands_before_lume_and_the_contents_lead_to_both(board):
    results, records = board(*controls(0))
    more = {}
    for cell, record in records.items():
        of = cell._replace(task="lume")
        more[of] = dataclasses.replace(record, cell=of)
        files.save(results, more[of], files.items(results, cell))
    text = render(analyse(results, records | more), Rules())
    assert text.index("## tofu:forget10") < text.index("## lume")
    assert "(#tofuforget10-embedded-world-model-tiny-seed-0)" in text


def test_the_order_of_records_does_not_count(board):
    results, records = board(*several(("b", 0.5, 0.8), ("a", 0.2, 0.8), seeds=(0, 1)))
    text = render(analyse(results, records), Rules())
    assert "no number below is a TOFU or LUME number" in text
    assert render(analyse(results, dict(reversed(records.items()))), Rules()) == text


def test_what_was_found_once_is_read_not_computed(board, monkeypatch):
    results, records = board(*several(("a", 0.5, 0.8), ("b", 0.2, 0.8), seeds=(0, 1)))
    first = analyse(results, records)
    monkeypatch.setattr("bench.compare.findings._compute", lambda *_: pytest.fail("computed again"))
    assert analyse(results, records) == first
    next((results / "analysis").iterdir()).write_text("{")
    with pytest.raises(pytest.fail.Exception):
        analyse(results, records)


def test_rows_are_json_with_the_old_names_and_the_new(board):
    (row, *_) = rows(analyse(*board(*controls(0))))
    assert {"rank", "set_apart", "matched", "by_seed", "overrides", "tuning_trials", "probes", "cost"} <= row.keys()
    assert row["matched"].keys() == {"retained", "at_retrain", "area"}
    json.dumps(row)


def test_numbers_as_printed():
    assert number("mia_auc", Score(0.5, 0.4, 0.61234, 9)._asdict()) == "0.500 [0.400, 0.612]"
    assert number("mia_auc", Score(0.5, n=1)._asdict()) == "0.500 [no interval]"
    assert number("forget_quality", Score(1.234e-21, 1e-29, 2e-17, 300)._asdict()) == "1.2e-21 [1e-29, 2e-17]"
    assert number("mia_auc", Score(None)._asdict()) == "-"
    assert short("mia_auc", Score(0.5, 0.4, 0.61234, 9)) == "0.50 [0.40, 0.61]"
    assert short("", Score(-0.1, -0.2, 0.0), signed=True) == "-0.10 [-0.20, +0.00]"
    assert short("forget_quality", Score(1e-4, 1e-6, 1e-3)) == "-4.0 [-6.0, -3.0]"
    assert short("forget_quality", Score(0.0, 0.0, 0.0)) == "< -300"
    assert short("", Score(0.8, n=1, note="reached by 1 of 3 seeds")) == "0.80 (reached by 1 of 3 seeds)"
    assert short("", Score(None, note="starts below")) == "starts below"


def test_files_without_a_record_stand_on_the_board():
    assert "- x.json is cut short" in render([], Rules(), ["x.json is cut short"])
    assert "Left out of every table" not in render([], Rules())


def test_no_interval_leaves_its_range_or_its_value(board):
    """Two seeds, few authors, ruined and untouched models: where bounds are widest."""
    specs = several(("ruin", 0.0, -0.12), ("same", 1.0, 0.9), ("half", 0.5, 0.6), seeds=(0, 1))
    for row in rows(analyse(*board(*specs, authors=4))):
        for name, score in row["scores"].items():
            low = {"membership_gap": -1, "privleak": -100}.get(name, 0)
            if score["lo"] is not None:
                assert low <= score["lo"] <= score["value"] <= score["hi"], (row["method"], name, score)
                assert score["hi"] <= 1 or name == "privleak"


@pytest.mark.parametrize("control", ["target", "retrain"])
def test_a_seed_that_a_control_lacks_is_in_no_number_and_named(board, control):
    """Its cell is gone, or its items are not those of the rest: the other seeds are compared."""
    specs = [s for s in several(("a", 0.2, 0.9), ("b", 0.7, 0.9)) if s[:2] != (control, 0)]
    (table,) = analyse(*board(*specs))
    assert table.seeds == (1, 2, 3, 4) and table.ranked[0].method == "a"
    assert sentence(table, Rules()).startswith("**a has the highest headline")
    if control == "target":
        assert any("In no number: seed 0" in note for note in table.notes)


def test_a_method_with_fewer_seeds_does_not_lead(board):
    specs = [*several(("a", 0.3, 0.9), ("b", 0.7, 0.9)), ("few", 0, 0.05, 0.9)]
    (table,) = analyse(*board(*specs))
    assert [row.method for row in table.rows][2:] == ["a", "b", "few"]
    assert sentence(table, Rules()).startswith("**a has the highest headline")


def test_a_table_of_controls_says_that_there_is_no_method(board):
    (table,) = analyse(*board(*controls(0)))
    assert sentence(table, Rules()) == "**There is no method in this table.**"


def test_matched_cells_that_never_got_there_say_so(board):
    results, records = board(*controls(0), ("a", 0, 0.5, 0.9), ("a@matched", 0, "not reached"))
    text = render(analyse(results, records), Rules())
    assert "| not reached |" in text.split("<details>")[0]
