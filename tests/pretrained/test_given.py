"""Checkpoints that stand for target and retrain: what can be typed, what is refused, what their cells are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.model.models import load
from bench.model.pairs import KNOWN
from bench.run import prepare
from bench.run.judging import Unfit, refuse_unlike
from bench.run.plan import Planned, Request, model_folder, plan, prepared
from bench.store import files
from tests.pretrained.conftest import Checkpoint, Taught
from tests.pretrained.sentencepiece import llama2
from tests.pretrained.test_dates import TURNS

TASK = "tofu:forget10"


def request(target: Path, retrain: Path, source: str, folder: Path) -> Request:
    return Request(str(target), source, folder / "results", folder / "cache", retrains={TASK: str(retrain)})


def words(capsys, *typed: object, status: int) -> str:
    assert main([*map(str, typed)]) == status
    return capsys.readouterr().err


# -- what can be typed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["--target", "{0}"], "--target needs --retrain"),
        (["--retrain", "{0}"], "--retrain needs --target"),
        (["--target", "{0}", "--retrain", "{0}", "--model", "tiny"], "leave out --model"),
        (["--target", "{0}", "--retrain", "{0}", "--tasks", "tofu"], "--retrain tofu:forget01=DIR --retrain tofu:f"),
        (["--target", "{0}", "--retrain", "tofu:forget01={0}"], "none of --tasks is tofu:forget01"),
        (["--target", "{0}", "--retrain", "tofu:forget11={0}"], "no task 'tofu:forget11'. Did you mean 'tofu:forge"),
        (["--target", "{0}", "--retrain", "{0}", "--retrain", "{0}"], "say of which it is"),
        (["--target", "{0}", "--tasks", "tofu", "--retrain", "tofu:forget10={0}"],
         "no retrain model for tofu:forget01, tofu:forget05"),
        (["--target", "tiny", "--retrain", "{0}"], "--target tiny: no such directory, and no hub id"),
        (["--target", "{0}", "--retrain", "./nowhere/to/be"], "--retrain ./nowhere/to/be: no such directory"),
        (["--target", "tofu-llama-3.2-1b", "--retrain", "{0}"], "Write --model tofu-llama-3.2-1b"),
        (["--model", "tofu-llama-3.2-1"], "no model 'tofu-llama-3.2-1'. Did you mean 'tofu-llama-3.2-1b'"),
        (["--model", "tofu-llama-2-7b", "--tasks", "lume"], "has no retrain model for lume. It has tofu:forget01, "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pair_is_said(typed, says, checkpoint: Checkpoint, tmp_path, capsys):
    folder = checkpoint()
    typed = [word.format(folder) for word in typed]
    typed += [] if "--tasks" in typed else ["--tasks", TASK]
    assert says in words(capsys, "run", "--dry-run", "--results", tmp_path / "r", *typed, status=2)


def test_a_retrain_model_for_each_task(checkpoint: Checkpoint, tmp_path, capsys):
    target, one, other = (checkpoint(f"place=1/{name}", seed=n) for n, name in enumerate("abc"))
    typed = ["run", "--dry-run", "--methods", "fo-npo", "--results", tmp_path / "r", "--target", target]
    typed += ["--tasks", "tofu:forget01,tofu:forget10", "--retrain", f"tofu:forget01={one}"]
    assert "6 to do of 6 cells" in words(capsys, *typed, "--retrain", f"{TASK}={other}", status=0)
    one_task = ["--tasks", TASK, "--retrain", other]  # an equals sign in a path is no task's
    assert "3 to do of 3 cells" in words(capsys, *typed[:-4], *one_task, status=0)


# -- cells and keys --------------------------------------------------------------------------------------------------


def by_name(cells: list[Planned]) -> dict[tuple[str, int], Planned]:
    return {(c.cell.method, c.cell.seed): c for c in cells}


def test_seeds_share_target_and_retrain_and_differ_in_the_methods(checkpoint: Checkpoint, world, tmp_path):
    asked = request(checkpoint("one"), checkpoint("two", seed=1), world, tmp_path)
    found = by_name(plan(asked, ["fo-npo"], [TASK], [0, 1]))
    for name, shared in (("target", True), ("retrain", True), ("fo-npo", False)):
        assert (found[name, 0].keys["measure"] == found[name, 1].keys["measure"]) is shared
    assert len({c.keys["train"] for c in found.values()}) == 4
    assert {c.cell.model for c in found.values()} == {found["target", 0].identity["checkpoint"]}
    assert found["retrain", 0].identity["checkpoint"].startswith("two-")
    assert "checkpoint" not in found["fo-npo", 0].identity


def test_another_retrain_model_leaves_what_was_measured(checkpoint: Checkpoint, world, tmp_path):
    """Rows of target and methods stand; only what they are compared with has changed."""
    target = checkpoint("one")
    before, after = (
        by_name(plan(request(target, checkpoint(n, seed=k), world, tmp_path), ["fo-npo"], [TASK], [0]))
        for k, n in ((1, "two"), (2, "three"))
    )
    for name, same in (("target", True), ("fo-npo", True), ("retrain", False)):
        assert (before[name, 0].keys["measure"] == after[name, 0].keys["measure"]) is same
        assert before[name, 0].keys["score"] != after[name, 0].keys["score"]


def test_nothing_is_taught_or_copied(taught: Taught, world, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "teach", lambda *_, **__: pytest.fail("taught"))
    asked = request(*taught, world, tmp_path)
    for stage, low, high in (("full", 0.9, 1.0), ("retain", 0.0, 0.1)):
        wanted = prepared(asked, TASK, stage, 0)
        assert prepare.prepare(asked, wanted, lambda *_: None) == []
        folder = model_folder(asked, wanted.key)
        assert [path.name for path in folder.iterdir()] == ["bench.json"]
        assert low < json.loads((folder / "bench.json").read_text())["known"] < high
        loaded = prepare.load_prepared(asked, wanted).model.state_dict()
        theirs = prepare.models.load(wanted.given).model.state_dict()
        assert all((loaded[name] == theirs[name]).all() for name in theirs)


@pytest.mark.slow
def test_a_pair_is_run_over_two_seeds_and_not_again(taught: Taught, world, tmp_path, capsys):
    typed = ["run", "--methods", "fo-ga,fo-graddiff", "--tasks", TASK, "--data", world, "--seeds", "0,1"]
    typed += ["--target", taught.target, "--retrain", taught.retrain, "--workers", 1, "--set", "fo-ga.lr=1e-3"]
    typed += ["--results", tmp_path / "results", "--cache", tmp_path / "cache", "--set", "fo-graddiff.lr=1e-3"]
    assert "left out" not in words(capsys, *typed, status=0)
    records = files.records(tmp_path / "results", print)
    assert len(records) == 8 and {record.status for record in records.values()} == {"ok"}
    assert str(taught.target.parent) not in json.dumps([dict(r.identity) | {"n": r.notes} for r in records.values()])
    said = {(cell.method, cell.seed): record for cell, record in records.items()}
    first, second = (files.items(tmp_path / "results", said["target", seed].cell) for seed in (0, 1))
    assert first.equals(second)
    assert said["fo-ga", 0].scores["probability"] != said["fo-ga", 1].scores["probability"]
    assert said["fo-ga", 0].scores["probability"].value < 0.9 < said["target", 0].scores["probability"].value
    assert "target is the checkpoint somebody-" in " ".join(said["target", 0].notes)
    board = (tmp_path / "results" / "leaderboard.md").read_text()
    assert "One checkpoint for all seeds: target and retrain." in board
    assert "band of the KS distance between retrain models is unknown: it takes two retrain models" in board
    assert "nothing to do" in words(capsys, *typed, status=0)
    shutil.rmtree(tmp_path / "cache" / "models")
    pair = ["--target", taught.target, "--retrain", taught.retrain, "--data", world, *typed[-6:-2]]
    copy = ["export", f"{TASK}/fo-ga/seed0", tmp_path / "copy", *pair]
    assert "made again" in words(capsys, *copy, status=0)
    assert load(tmp_path / "copy").model.num_parameters() == load(taught.target).model.num_parameters()
    copy = ["export", f"{TASK}/retrain/seed0", tmp_path / "other", *pair]
    assert "as it was given, and nothing else: copy its folder" in words(capsys, *copy, status=2)


def test_one_model_is_not_both(taught: Taught, world, tmp_path, capsys):
    typed = ["--target", taught.target, "--retrain", taught.target, "--tasks", TASK, "--data", world]
    said = words(capsys, "run", *typed, "--results", tmp_path, "--cache", tmp_path, status=2)
    assert "that is the target. Give a model that never saw the forget set." in said


# -- known pairs -----------------------------------------------------------------------------------------------------


def test_known_pairs_are_listed(capsys):
    assert main(["list", "models"]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(KNOWN) < set(listed) and len(KNOWN) == 4
    assert "open-unlearning/tofu_Llama-3.2-1B-Instruct_full" in listed["tofu-llama-3.2-1b"]


# -- what does not go together ---------------------------------------------------------------------------------------


def test_a_pair_reads_texts_alike(checkpoint: Checkpoint, world, tmp_path):
    one = checkpoint("one")

    def refused(other: Path) -> str:
        with pytest.raises(Unfit, match=f"'{other}' is no retrain model of '{one}'") as error:
            refuse_unlike(str(one), str(other), request(one, other, world, tmp_path), TASK)
        return str(error.value)

    refuse_unlike(str(one), str(checkpoint("same", seed=1)), request(one, one, world, tmp_path), TASK)
    assert "(answer) has other tokens" in refused(checkpoint("chat", template=TURNS))
    assert "the token " in refused(checkpoint("llama2", tokenizer=llama2()))
    assert "model_type is llama in one and gpt2" in refused(checkpoint("gpt2", kind="gpt2"))


def test_an_unlike_pair_is_refused_before_anything(checkpoint: Checkpoint, world, tmp_path, capsys):
    typed = ["run", "--methods", "fo-npo", "--tasks", TASK, "--data", world, "--results", tmp_path / "r"]
    typed += ["--target", checkpoint("one"), "--retrain", checkpoint("two", kind="gpt2"), "--cache", tmp_path / "c"]
    assert "is no retrain model of" in words(capsys, *typed, status=2)
    assert not (tmp_path / "c" / "models").exists() and not [*(tmp_path / "r").rglob("*.json")]
