"""Requests one after another from the outside: each cell starts from the model that the one before it left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import write_world

SERIES = "sequence:tofu"
METHODS = "fo-graddiff,key-space-detection"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sequence")]  # one worker: its runs are shared


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    """A world of which four authors are forgotten, of as many rows as TOFU's have."""
    data = write_world(tmp_path_factory.mktemp("sequence") / "tofu", forgotten=4, each=20)
    return ["--data", str(data), "--workers", "2", "--seeds", "0"]


@pytest.fixture(scope="module")
def finished(bench, words):
    return bench("run", "--methods", METHODS, "--tasks", SERIES, *words)


def record(results: Path, at: int, method: str) -> dict[str, Any]:
    return json.loads((results / f"files/tiny/sequence-tofu-{at}/{method}.seed0.json").read_text())


def test_each_request_starts_from_the_model_of_the_one_before(bench, finished):
    results = bench.folder / "results"
    for method in METHODS.split(","):
        for at in (2, 3, 4):
            assert record(results, at, method)["identity"]["start"] == record(results, at - 1, method)["keys"]["train"]
    starts = {record(results, at, "target")["keys"]["train"] for at in (1, 2, 3, 4)}
    assert len(starts) == 1
    assert record(results, 1, "fo-graddiff")["identity"]["start"] in starts


def test_what_acts_at_inference_gathers_what_is_attached(bench, finished):
    sizes = [record(bench.folder / "results", at, "key-space-detection")["cost"]["attached_mb"] for at in (1, 2, 3, 4)]
    assert 0 < sizes[0] < sizes[1] < sizes[2] < sizes[3]


def test_a_later_request_alone_makes_those_before_it(bench, finished, words, tmp_path):
    """With nothing but the prepared models in the cache; and it comes to the same scores, to the bit."""
    cache = bench.folder / ".cache"
    kept = tmp_path / "cache"
    results = bench.folder / "results"
    made = {record(results, at, m)["keys"]["train"] for at in (1, 2, 3, 4) for m in METHODS.split(",")}
    shutil.copytree(cache, kept, ignore=lambda _, names: made & set(names))
    alone = ["--methods", "fo-graddiff", "--tasks", f"{SERIES}:3", "--results", str(tmp_path / "r")]
    said = bench("run", *alone, "--cache", str(kept), *words).stderr
    assert f"{SERIES}: no method has every step of it" in said and f"--tasks {SERIES}" in said
    one, other = (record(of, 3, "fo-graddiff") for of in (results, tmp_path / "r"))
    assert one["keys"] == other["keys"]
    assert one["scores"] == other["scores"]
    assert not (tmp_path / "r/files/tiny/sequence-tofu-2").exists()


def test_another_setting_of_the_first_request_makes_all_after_it_anew(bench, finished, words):
    said = bench("run", "--dry-run", "--methods", "fo-graddiff", "--tasks", SERIES, "--set", "fo-graddiff.lr=1e-5",
                 *words).stdout  # fmt: skip
    states = [line.split()[0] for line in said.splitlines() if "/fo-graddiff/" in line]
    assert states == ["stale"] * 4


def test_the_board_has_the_study_with_its_steps_folded_below(bench, finished):
    bench("leaderboard", "--dirty")
    board = (bench.folder / "leaderboard.md").read_text()
    assert f"## {SERIES}: 4 requests one after another" in board
    assert board.count("\n## sequence") == 1
    assert board.count(f"<details><summary>{SERIES}:") == 4
    rows = json.loads(bench("leaderboard", "--dirty", "--json").stdout)
    of = next(r for r in rows if r["method"] == "fo-graddiff" and r["task"] == f"{SERIES}:4")
    assert set(of["study"]) >= {"immediate", "relapse", "premature", "utility", "seconds"}


def test_the_report_has_a_page_of_it(bench, finished, tmp_path):
    bench("leaderboard", "--dirty", "--html", str(tmp_path / "page"))
    (page,) = (tmp_path / "page/study").glob("*.html")
    text = page.read_text()
    assert "What is known of each part after each request: fo-graddiff" in text
    assert page.name in (tmp_path / "page/index.html").read_text()
