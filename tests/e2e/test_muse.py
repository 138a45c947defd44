"""MUSE's questions in the embedded world from the outside, and its files on a model of the user's."""

from __future__ import annotations

import json

import pytest

from tasks._muse_files import write_sample

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("muse")]  # one worker: its runs are shared


@pytest.fixture(scope="module")
def records(bench):
    bench("run", "--methods", "fo-npo", "--tasks", "muse", "--workers", "2")
    folder = bench.folder / "results" / "embedded" / "tiny" / "muse"
    return {name: json.loads((folder / f"{name}.seed0.json").read_text()) for name in ("target", "retrain", "fo-npo")}


def value(record, name: str) -> float:
    return record["scores"][name]["value"]


def test_the_target_says_the_documents_and_answers_questions_that_it_was_never_taught(records):
    target, retrain = records["target"], records["retrain"]
    assert value(target, "muse_verbmem") > 0.95 and value(target, "extraction_strength") > 0.9
    assert value(retrain, "muse_verbmem") < 0.6 and value(retrain, "extraction_strength") < 0.15
    assert value(target, "muse_knowmem") > 0.7 and value(target, "muse_held") > 0.7
    assert value(retrain, "muse_knowmem") < 0.1
    assert min(value(record, "muse_retain_knowmem") for record in (target, retrain)) > 0.8


def test_forgotten_and_unseen_authors_are_alike_to_who_was_taught_neither(records):
    """Retrain's AUC is 1/2 within its interval, over 40 authors a side; the target's is 1."""
    auc = records["retrain"]["scores"]["muse_mia"]
    assert auc["n"] == 240 and auc["lo"] <= 0.5 <= auc["hi"] and auc["hi"] - auc["lo"] < 0.25
    assert value(records["target"], "muse_mia") > 0.95
    assert value(records["target"], "muse_privleak") < -90 and value(records["retrain"], "muse_privleak") == 0


def test_a_text_can_be_gone_and_the_knowledge_not(records):
    """NPO stops saying the documents and answers most questions on them."""
    assert value(records["fo-npo"], "muse_verbmem_excess") < 0.1
    assert value(records["fo-npo"], "muse_knowmem_excess") > 0.4


def test_the_board_has_the_criteria_and_a_headline(bench, records):
    board = (bench.folder / "leaderboard.md").read_text()
    assert "| verbatim memorisation | knowledge memorisation | privacy leakage | membership | model utility |" in board
    assert "muse: embedded world" in board and "made for other tasks than this one" in board
    assert "muse verbmem, extraction strength, muse knowmem, muse mia" in board


def test_files_go_through_the_whole_of_a_run(bench, tmp_path):
    """Five rows a split: every column has a number but the AUC's interval."""
    write_sample(tmp_path)
    tasks = "muse:news:scal:2,muse:books"
    bench("run", "--methods", "fo-ga", "--tasks", tasks, "--data", str(tmp_path), "--workers", "2")
    for name in ("muse-news-scal-2", "muse-books"):
        file = bench.folder / "results" / "files" / "tiny" / name / "fo-ga.seed0.json"
        scores = json.loads(file.read_text())["scores"]
        for metric in ("muse_verbmem", "muse_knowmem", "muse_privleak", "muse_mia", "muse_retain_knowmem"):
            assert scores[metric]["value"] is not None, scores[metric]["note"]
    board = (bench.folder / "leaderboard.md").read_text()
    assert "whether they are its own is not known here" in board


def test_who_mixes_worlds_up_is_told_before_any_work(bench):
    assert (
        "--tasks muse --data embedded" in bench("run", "--tasks", "muse:news", "--methods", "target", status=2).stderr
    )
    wrong = bench("run", "--tasks", "muse", "--methods", "target", "--data", "hub", status=2).stderr
    assert "--tasks muse:news" in wrong
    refused = bench("run", "--tasks", "muse", "--methods", "target", "--lm-eval", "wmdp", status=2).stderr
    assert "--lm-eval wmdp: tiny is trained on nothing that this asks" in refused
