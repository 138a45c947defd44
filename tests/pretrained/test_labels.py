"""Records of checkpoints: each model has a place of its own, wherever its folder is and whatever it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.model.recipes import model_label
from bench.run.plan import Planned, Request, plan
from bench.store import files
from bench.store.record import Record
from tests.pretrained.conftest import Checkpoint


def target(folder: Path | str, results: Path) -> Planned:
    cells = plan(Request(str(folder), "embedded", results, results / "cache"), ["target"], ["tofu:forget10"], [0])
    return next(c for c in cells if c.cell.method == "target")


def test_two_checkpoints_of_one_name_keep_their_records_apart(checkpoint: Checkpoint, tmp_path):
    one, other = (checkpoint(f"{place}/model", seed=n) for n, place in enumerate(("here", "there")))
    done = target(one, tmp_path)
    files.save(tmp_path, Record(done.cell, "failed", done.keys, done.identity), None)
    assert target(one, tmp_path).state == "failed"
    assert target(other, tmp_path).state == "to do"
    assert files.record_path(tmp_path, target(other, tmp_path).cell) != files.record_path(tmp_path, done.cell)


def test_a_checkpoint_is_no_model_from_scratch_because_of_its_name(checkpoint: Checkpoint, tmp_path, monkeypatch):
    folder = checkpoint("tiny")
    assert target(folder, tmp_path).cell.model != target("tiny", tmp_path).cell.model
    monkeypatch.chdir(folder.parent)
    assert target("tiny", tmp_path).cell.model == "tiny"


@pytest.mark.parametrize("spelt", ["{0}", "{0}/", "{0}/../one", "."])
def test_a_label_does_not_depend_on_how_the_path_is_spelt(spelt, checkpoint: Checkpoint, monkeypatch):
    folder = checkpoint("one")
    monkeypatch.chdir(folder)
    assert model_label(spelt.format(folder)) == model_label(str(checkpoint("elsewhere/one")))
    assert model_label(spelt.format(folder)).startswith("one-")
    assert str(folder.parent) not in model_label(spelt.format(folder))


def test_hub_ids_are_their_own_labels():
    assert model_label("org/name") == "org/name"
