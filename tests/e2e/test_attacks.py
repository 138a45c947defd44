"""Attacks from the outside: a finished cell gains them, nothing else of it changes, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.store import attacked
from bench.store.attacked import BARE, DELIVERED, Attacked
from bench.store.record import Cell

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("attacks")]  # one worker: its runs are shared
METHODS = "fo-ga,key-space-detection"


@pytest.fixture(scope="module")
def words(world) -> list[str]:
    return ["--methods", METHODS, "--tasks", "tofu:forget10", "--data", str(world), "--workers", "1"]


@pytest.fixture(scope="module")
def finished(bench, words):
    return bench("run", *words)


@pytest.fixture(scope="module")
def under_attack(bench, words, finished):
    files = {path: path.read_bytes() for path in folder(bench).iterdir()}
    ran = bench("run", *words, "--attacks", "rounding,leak")
    assert {path: path.read_bytes() for path in files} == files  # records and items are as they were
    assert "nothing to do: every cell is done and up to date" in ran.stderr
    return ran


def folder(bench) -> Path:
    return bench.folder / "results" / "files" / "tiny" / "tofu-forget10"


def found(bench, method: str) -> Attacked:
    return attacked.read(bench.folder / "results", Cell("tofu:forget10", method, "tiny", "files", 0))


def test_all_models_are_attacked_and_those_with_hooks_twice(bench, under_attack):
    for method in ("target", "retrain", "fo-ga"):
        assert {point.form for point in found(bench, method).points} == {DELIVERED}
        assert list(found(bench, method).done) == ["plain", "rounding", "leak"]
    assert {point.form for point in found(bench, "key-space-detection").points} == {DELIVERED, BARE}


def test_taking_the_hooks_off_shows_the_target(bench, under_attack):
    """Weights that were never changed are the target's, under every attack of weights."""
    own, target = found(bench, "key-space-detection"), found(bench, "target")
    bare = {point[0:1] + point[2:5]: point.known for point in own.points if point.form == BARE}
    assert bare
    for point in target.points:
        np.testing.assert_array_equal(bare[point[0:1] + point[2:5]], point.known)


def test_the_second_time_there_is_nothing_to_do(bench, words, under_attack):
    assert "no attack to carry out" in bench("run", *words, "--attacks", "leak").stderr


def test_a_cell_gains_one_attack_and_keeps_the_others(bench, words, under_attack):
    before = found(bench, "fo-ga")
    bench("run", *words, "--attacks", "noise")
    after = found(bench, "fo-ga")
    assert list(after.done) == [*before.done, "noise"]
    assert all(after.done[name] == before.done[name] for name in before.done)


def test_what_is_gone_from_the_cache_is_unlearned_again_and_attacked_to_the_bit(bench, words, under_attack):
    before = found(bench, "fo-ga")
    record = json.loads((folder(bench) / "fo-ga.seed0.json").read_text())
    shutil.rmtree(bench.folder / ".cache" / "models" / record["keys"]["train"])
    attacked.path(bench.folder / "results", Cell("tofu:forget10", "fo-ga", "tiny", "files", 0)).unlink()
    bench("run", *words, "--attacks", "rounding,leak")
    after = found(bench, "fo-ga")
    for old, new in zip(before.points, after.points, strict=False):
        assert old[:5] == new[:5]
        np.testing.assert_array_equal(old.known, new.known)


def test_what_would_be_attacked_is_said(bench, words, under_attack):
    said = bench("run", *words, "--attacks", "pruning", "--dry-run").stdout
    assert "attack tofu:forget10/fo-ga/tiny/files/seed0: pruning" in said


def test_an_unknown_attack_is_refused_with_near_names(bench, words):
    assert "Did you mean 'rounding'" in bench("run", *words, "--attacks", "roundin", status=2).stderr


def test_the_board_has_a_table_of_its_own(bench, under_attack):
    board = (bench.folder / "results" / "../leaderboard.md").read_text()
    assert "Is it really gone? Attacks (tofu:forget10)" in board
    rows = json.loads(bench("leaderboard", "--json").stdout)
    of = next(row for row in rows if row["method"] == "key-space-detection")["attacks"]
    assert {a["form"] for a in of} == {DELIVERED, BARE}
