"""Results that are damaged, newer, doubled or out of place are named and counted, never dropped in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.api import Score
from bench.board.leaderboard import render
from bench.cli.main import main
from bench.compare.analysis import Rules, analyse
from bench.errors import BenchError
from bench.run.rescore import rescore
from bench.run.state import state_of
from bench.store import files
from bench.store.record import SCHEMA, Cell, Record


def cell(method: str, seed: int = 0) -> Cell:
    return Cell("tofu:forget10", method, "tiny", "embedded", seed)


def saved(results: Path, method: str, seed: int = 0) -> Path:
    """A record with all headline scores and ten forget items; returns its place."""
    scores = {
        "forget_quality": Score(1.0 if method == "retrain" else 0.001, 0.0001, 1.0, 10),
        "model_utility": Score(0.8, 0.7, 0.9, 10),
        "mia_auc": Score(None, note="no holdout split"),
        "task_aggregate": Score(0.5, 0.4, 0.6, 10),
    }
    truth = np.random.default_rng([seed, *method.encode()]).normal(size=10)
    names = [f"{i}" for i in range(10)]
    items = pd.DataFrame({"set": "forget", "id": names, "cluster": names, "log_truth_ratio": truth})
    keys = {"train": method, "measure": f"{method}-{seed}", "score": f"{method}-{seed}"}
    return files.save(results, Record(cell(method, seed), "ok", keys, {}, scores=scores), items)


@pytest.fixture
def results(tmp_path):
    for method in ("target", "retrain", "fo-ga", "fo-npo"):
        saved(tmp_path, method)
    return tmp_path


def read(results: Path) -> tuple[set[str], list[str]]:
    problems: list[str] = []
    return {c.method for c in files.records(results, problems.append)}, problems


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def npo(results: Path) -> Path:
    return files.record_path(results, cell("fo-npo"))


def parquet(results: Path) -> Path:
    return files.items_path(results, cell("fo-npo"))


# -- records ---------------------------------------------------------------------------------------------------------

BROKEN = {
    "newer": lambda path: edited(path, schema=SCHEMA + 1),
    "without a schema": lambda path: edited(path, schema=None),
    "of an unknown past": lambda path: edited(path, schema=-1),
    "truncated": lambda path: path.write_text(path.read_text()[:200]),
    "empty": lambda path: path.write_text(""),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    "a list": lambda path: path.write_text("[]"),
    "a number": lambda path: path.write_text("7"),
    "a seed in words": lambda path: edited(path, cell={**cell("fo-npo")._asdict(), "seed": "0"}),
    "a score in words": lambda path: edited(path, scores={"rouge": Score("high")._asdict()}),  # type: ignore[arg-type]
    "scores that are none": lambda path: edited(path, scores=None),
    "a key too many": lambda path: edited(path, surprise=1),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("gone")),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_record_that_cannot_be_read_is_named_and_the_others_stand(results, damage):
    damage(npo(results))
    methods, problems = read(results)
    assert methods == {"target", "retrain", "fo-ga"}
    assert len(problems) == 1 and str(npo(results)) in problems[0]


def test_a_newer_record_says_what_to_do(results):
    edited(npo(results), schema=SCHEMA + 1)
    (problem,) = read(results)[1]
    assert f"schema {SCHEMA + 1}" in problem and "Update the program" in problem


def test_no_truncation_of_a_record_goes_unseen(results):
    """Wherever it is cut, but for the closing line feed."""
    whole = npo(results).read_text()
    for length in range(0, len(whole) - 1, 97):
        npo(results).write_text(whole[:length])
        with pytest.raises(BenchError, match="is no record"):
            files.find(results, cell("fo-npo"))


def test_of_two_records_of_one_cell_the_one_in_its_place_stands(results):
    copy = npo(results).with_name("a-copy.seed0.json")  # sorts before the original
    shutil.copy(npo(results), copy)
    edited(copy, scores={})
    problems: list[str] = []
    assert files.records(results, problems.append)[cell("fo-npo")].scores
    assert len(problems) == 1
    assert f"{copy} claims {cell('fo-npo')}" in problems[0] and "two for one cell" in problems[0]


@pytest.mark.parametrize(
    "place", ["fo-npo.seed0.json", "embedded/fo-npo.seed0.json", "old/embedded/tiny/t/m.seed0.json"]
)
def test_a_record_at_another_depth_is_not_lost_in_silence(results, place):
    stray = results / place
    stray.parent.mkdir(parents=True, exist_ok=True)
    npo(results).rename(stray)
    methods, problems = read(results)
    assert "fo-npo" not in methods
    assert len(problems) == 1 and str(stray) in problems[0] and f"belongs in {npo(results)}" in problems[0]


def test_files_of_other_kinds_and_unfinished_writes_are_no_records(results):
    for place in ("rows/k.json", "analysis/k.json", "ablate/k.json", "embedded/tiny/tofu-forget10/.x.json.tmp.json"):
        (results / place).parent.mkdir(exist_ok=True)
        (results / place).write_text("{}")
    assert read(results)[1] == []


# -- item tables -----------------------------------------------------------------------------------------------------


def test_a_missing_or_truncated_item_table_is_named_and_its_scores_stand(results):
    whole = parquet(results).read_bytes()
    for length in [*range(0, len(whole) - 1, 101), len(whole) - 1]:
        parquet(results).write_bytes(whole[:length])
        methods, problems = read(results)
        assert "fo-npo" in methods and len(problems) == 1 and str(parquet(results)) in problems[0]
        with pytest.raises(BenchError, match="Run the cell again"):
            files.items(results, cell("fo-npo"))
    parquet(results).unlink()
    assert "No such file" in read(results)[1][0]


def test_a_changed_byte_in_the_values_is_seen(results):
    """Pages carry checksums, so values are either those that were written or refused."""
    whole = bytearray(parquet(results).read_bytes())
    sound = files.items(results, cell("fo-npo"))
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for place in range(4, footer, 7):
        parquet(results).write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            pd.testing.assert_frame_equal(files.items(results, cell("fo-npo")), sound)
        except BenchError:
            refused += 1
    assert refused > footer / 7 / 2


def test_a_table_of_something_else_is_no_item_table(results):
    pd.DataFrame({"x": [1]}).to_parquet(parquet(results))
    with pytest.raises(BenchError, match="no item table: it has no set, id, cluster"):
        files.items(results, cell("fo-npo"))


def test_a_cell_whose_items_cannot_be_read_is_left_out_of_its_table(results):
    parquet(results).write_bytes(parquet(results).read_bytes()[:-9])
    records = files.records(results, lambda _: None)
    (table,) = analyse(results, records)
    ((left, why),) = table.left_out
    assert left == cell("fo-npo") and str(parquet(results)) in why
    assert [row.method for row in table.rows] == ["target", "retrain", "fo-ga"]


# -- rows ------------------------------------------------------------------------------------------------------------


def test_broken_rows_are_named_and_the_item_table_is_taken(results):
    rows = files.rows_path(results, "fo-npo-0")
    rows.parent.mkdir()
    rows.write_bytes(b"PAR1 not really")
    said: list[str] = []
    done = rescore(results, said.append)
    assert (done.whole, done.compact, done.broken) == (0, 4, 1)
    assert len(said) == 1 and str(rows) in said[0]


def test_a_cell_with_neither_rows_nor_items_keeps_its_scores(results):
    parquet(results).unlink()
    said: list[str] = []
    assert rescore(results, said.append).broken == 1
    assert str(parquet(results)) in said[0]
    assert files.find(results, cell("fo-npo")).scores["model_utility"].value == 0.8


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["leaderboard"],
        ["leaderboard", "--json"],
        ["compare", "fo-ga", "fo-ga2"],
        ["show", "fo-ga2"],
        ["score"],
    ],
    ids=" ".join,
)
def test_commands_that_read_results_count_what_they_left_out(results, command, capsys):
    saved(results, "fo-ga2")
    BROKEN["newer"](npo(results))
    BROKEN["truncated"](files.record_path(results, cell("target")))
    files.items_path(results, cell("retrain")).write_bytes(b"PAR1")
    command = [*command, "--results", str(results)]
    main(command)
    said = capsys.readouterr().err
    assert "3 files left out" in said
    for path in (npo(results), files.record_path(results, cell("target")), files.items_path(results, cell("retrain"))):
        assert f"left out: {path}" in said
    assert main(command) == 1


def test_sound_results_leave_nothing_out(results, capsys):
    assert main(["leaderboard", "--results", str(results)]) == 0
    assert "left out" not in capsys.readouterr().err


# -- cells that do not fit together ----------------------------------------------------------------------------------


def test_a_cell_whose_retrain_reference_is_gone_is_listed(results):
    files.record_path(results, cell("retrain")).unlink()
    (table,) = analyse(results, files.records(results, lambda _: None))
    reasons = {left.method: why for left, why in table.left_out}
    assert set(reasons) == {"target", "fo-ga", "fo-npo"}
    assert set(reasons.values()) == {"its retrain reference (seed 0) is gone"}
    assert table.rows == ()


def test_seeds_that_do_not_match_are_stated(results):
    for method in ("target", "retrain", "fo-ga"):
        saved(results, method, 1)
    (table,) = analyse(results, files.records(results, lambda _: None))
    (note,) = [note for note in table.notes if "Compared over seeds 0, 1" in note]
    assert "they have other ones: fo-npo (0)" in note
    assert {row.method: row.seeds for row in table.rows}["fo-npo"] == (0,)


def test_a_cell_without_the_retrain_of_its_seed_is_listed_and_not_averaged(results):
    saved(results, "fo-ga", 1)
    tables = analyse(results, files.records(results, lambda _: None))
    assert tables[0].left_out == ((cell("fo-ga", 1), "its retrain reference (seed 1) is gone"),)
    assert {row.method: row.seeds for row in tables[0].rows}["fo-ga"] == (0,)
    assert "Left out, its retrain reference (seed 1) is gone (fo-ga: seed 1)." in render(tables, Rules())


def test_a_cell_whose_item_table_is_damaged_is_made_again(results):
    keys = files.find(results, cell("fo-npo")).keys
    assert state_of(results, cell("fo-npo"), keys, {}) == ("done", "")
    parquet(results).write_bytes(b"PAR1")
    state, reason = state_of(results, cell("fo-npo"), keys, {})
    assert state == "stale" and str(parquet(results)) in reason
