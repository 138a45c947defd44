"""The main job from the outside: run, run again, change something, fail, be interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.conftest import ROOT, write_world

METHODS = "target,retrain,fo-npo,simu-graddiff"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("run")]  # one worker: its runs are shared


@pytest.fixture(scope="module")
def words(world):
    return ["--tasks", "tofu:forget10", "--data", str(world), "--workers", "2"]


@pytest.fixture(scope="module")
def finished(bench, words):
    """A run of four methods, once for all tests of this file."""
    return bench("run", "--methods", METHODS, *words)


def dry(bench, *words) -> dict[str, str]:
    """State by method of a dry run."""
    out = bench("run", "--dry-run", *words).stdout
    return {line.split("/")[1]: line for line in out.splitlines()}


def test_a_run_leaves_a_record_and_items_a_cell_and_a_board(bench, finished):
    folder = bench.folder / "results" / "files" / "tiny" / "tofu-forget10"
    assert {p.name for p in folder.iterdir()} == {
        f"{m}.seed0.{kind}" for m in METHODS.split(",") for kind in ("json", "parquet", "answers.parquet")
    }
    bench("leaderboard", "--dirty")  # or a tree with uncommitted changes could not pass its tests
    board = (bench.folder / "leaderboard.md").read_text()
    assert board.index("| *target* |") < board.index("| *retrain* |") < board.index("| fo-npo")
    bench("leaderboard", "--dirty", "--check")


def test_rows_as_json(bench, finished):
    rows = json.loads(bench("leaderboard", "--dirty", "--json").stdout)
    assert {row["method"] for row in rows} == set(METHODS.split(","))
    for row in rows:
        assert {"task", "method", "model", "data", "seeds", "scores"} <= set(row)
        for name in ("forget_quality", "model_utility", "mia_auc", "task_aggregate"):
            assert set(row["scores"][name]) >= {"value", "lo", "hi", "n"}
    retrain = next(row for row in rows if row["method"] == "retrain")
    assert retrain["scores"]["forget_quality"]["value"] == 1.0


def test_a_second_run_does_nothing_and_says_so(bench, words, finished):
    files = [p for p in (bench.folder / "results").rglob("*") if p.is_file()]
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in files}
    again = bench("run", "--methods", METHODS, *words)
    assert "nothing to do" in again.stderr
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in files} == before


def test_a_parameter_makes_exactly_its_cell_stale(bench, words, finished):
    states = dry(bench, "--methods", METHODS, *words, "--set", "fo-npo.beta=0.2")
    assert states["fo-npo"].startswith("stale")
    assert "beta: 0.1 -> 0.2" in states["fo-npo"]
    assert all(states[m].startswith("done") for m in ("target", "retrain", "simu-graddiff"))


def test_other_data_makes_what_depends_on_it_stale(bench, words, finished, tmp_path):
    """Another forget answer: the retrain model is not taught it, but it is measured on it, and its tokenizer saw it."""
    other = write_world(tmp_path / "tofu")
    for name in ("full", "forget10", "forget10_perturbed"):
        path = other / f"{name}.json"
        lines = path.read_text().splitlines()
        changed = {**json.loads(lines[-1]), "answer": "Nowhere at all"}
        path.write_text("\n".join([*lines[:-1], json.dumps(changed)]) + "\n")
    states = dry(bench, "--methods", METHODS, *words[:2], "--data", str(tmp_path))
    assert all(states[m].startswith("stale") for m in ("target", "fo-npo", "simu-graddiff"))
    assert "the forget set" in states["fo-npo"]
    assert states["retrain"].startswith("stale")
    assert "the texts that are measured" in states["retrain"]


def test_rows_are_enough_to_score_again_without_torch(bench, words, finished, tmp_path):
    record = bench.folder / "results" / "files" / "tiny" / "tofu-forget10" / "fo-npo.seed0.json"
    before = json.loads(record.read_text())
    wrong = {**before, "scores": {"rouge": {"value": 7.0, "lo": None, "hi": None, "n": 1, "note": ""}}}
    record.write_text(json.dumps(wrong))
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not installed')\n")
    bench("score", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    after = json.loads(record.read_text())
    assert after == before
    for rows in (bench.folder / "results" / "rows").glob("*.parquet"):
        rows.rename(rows.with_suffix(".away"))
    record.write_text(json.dumps(wrong))
    assert "0 cells scored from their rows, 4 from their item tables" in bench("score").stderr
    assert json.loads(record.read_text()) == before
    for rows in (bench.folder / "results" / "rows").glob("*.away"):
        rows.rename(rows.with_suffix(".parquet"))


def test_files_that_are_not_tofu_are_not_called_real(bench, finished):
    board = (bench.folder / "leaderboard.md").read_text()
    assert "data of your own" in board
    assert "real data" not in board


def test_probes_once_asked_for_are_kept(bench, words, finished):
    bench("run", "--methods", "target", *words, "--probes", "reference,gradient-norm")
    rows = json.loads(bench("leaderboard", "--dirty", "--json").stdout)
    target = next(row for row in rows if row["method"] == "target")
    assert 0 <= target["scores"]["mia_reference"]["value"] <= 1
    assert 0 <= target["scores"]["mia_gradient_norm"]["value"] <= 1
    states = dry(bench, "--methods", "target,fo-npo", *words)
    assert states["target"].startswith("done")


def test_neighbours_are_asked_for_and_kept(bench, words, finished):
    """Nobody else's numbers move; what target and retrain were both taught they know alike, and the page draws it."""
    before = json.loads(bench("leaderboard", "--dirty", "--json").stdout)
    bench("run", "--methods", METHODS, *words, "--probes", "neighbours")
    rows = {row["method"]: row for row in json.loads(bench("leaderboard", "--dirty", "--json").stdout)}
    for row in before:
        now = rows[row["method"]]["scores"]
        assert {name: now[name] for name in row["scores"]} == row["scores"]
    known = {m: rows[m]["scores"]["neighbours_same_template"] for m in ("target", "retrain", "fo-npo")}
    assert all(0 <= score["value"] <= 1 and score["n"] == 8 for score in known.values())
    assert abs(known["target"]["value"] - known["retrain"]["value"]) <= 0.25
    assert rows["target"]["scores"]["neighbours_shared_value"]["value"] is None
    assert "Kept, by distance from what was forgotten" in (bench.folder / "leaderboard.md").read_text()
    bench("leaderboard", "--dirty", "--html", "report")
    (page,) = (bench.folder / "report" / "task").glob("*.html")
    assert "Kept against distance, less the target" in page.read_text()


def test_a_cell_in_full(bench, finished):
    text = bench("show", "fo-npo").stdout
    assert "forget_quality" in text
    assert "beta" in text
    assert "fits 4 cells" in bench("show", "tiny", status=2).stderr


def test_divergence_is_recorded_and_the_others_go_on(bench, words, finished):
    run = bench(
        "run", "--methods", "fo-ga,so-graddiff", *words, "--set", "fo-ga.lr=1e30", "--set", "fo-ga.clip=0", status=1
    )
    assert "diverged: tofu:forget10/fo-ga" in run.stderr
    board = (bench.folder / "leaderboard.md").read_text()
    assert "so-graddiff" in board
    assert "Left out, diverged: " in board
    assert "(fo-ga: seed 0)" in board


def test_an_interrupted_run_goes_on_where_it_was(bench, words, tmp_path):
    command = [sys.executable, "-m", "bench", "run", "--methods", METHODS, *words, "--cache", str(tmp_path)]
    command += ["--results", str(tmp_path / "results")]
    run = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    for line in run.stderr:
        if line.startswith("[1/"):
            time.sleep(0.5)
            os.killpg(run.pid, signal.SIGINT)
            break
    said = run.stderr.read()
    assert run.wait(60) == 130, said
    assert "interrupted" in said
    kept = set((tmp_path / "models").iterdir())
    assert kept
    bench("run", "--methods", METHODS, *words, "--cache", str(tmp_path), "--results", str(tmp_path / "results"))
    assert kept <= set((tmp_path / "models").iterdir())
    assert len(list((tmp_path / "results").glob("*/*/*/*.json"))) == 4


def test_data_without_holdout_leaves_membership_unscored(bench, tmp_path):
    write_world(tmp_path / "tofu", holdout=False)
    bench(
        "run",
        "--methods",
        "target",
        "--tasks",
        "tofu:forget10",
        "--data",
        str(tmp_path),
        "--results",
        str(tmp_path / "r"),
    )
    rows = json.loads(bench("leaderboard", "--dirty", "--json", "--results", str(tmp_path / "r")).stdout)
    assert all(row["scores"]["mia_auc"]["value"] is None for row in rows)
    assert all("holdout" in row["scores"]["mia_auc"]["note"] for row in rows)


def test_a_cell_that_is_made_from_nothing_once_more_has_the_scores_of_its_record(bench, finished, world, tmp_path):
    """And one whose record was changed by hand is found out, with nothing written where the records are."""
    assert "fo-npo/tiny/files/seed0: holds exactly" in bench("verify", "fo-npo", "--data", str(world)).stdout
    shutil.copytree(bench.folder / "results", tmp_path / "results", ignore=shutil.ignore_patterns("rows", "analysis"))
    place = tmp_path / "results/files/tiny/tofu-forget10/fo-npo.seed0.json"
    record = json.loads(place.read_text())
    record["scores"]["model_utility"]["value"] += 1e-3
    place.write_text(json.dumps(record))
    before = {p: p.read_bytes() for p in (tmp_path / "results").rglob("*") if p.is_file()}
    asked = ["fo-npo", "--data", str(world), "--results", str(tmp_path / "results"), "--cache", ".cache"]
    assert "differs: by 0.001 at most, in model_utility" in bench("verify", *asked, status=1).stdout
    assert "holds: by 0.001" in bench("verify", *asked, "--within", "0.01").stdout
    assert {p: p.read_bytes() for p in before} == before
    assert "not repeated" not in bench("verify", "--data", str(world), "--cache", ".cache").stdout
