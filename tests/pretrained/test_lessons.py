"""What a model of somebody else's is taught here: the task's own pairs, and nothing of what it is tested on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.api import Pair
from bench.model.recipes import SCRATCH, scratch
from bench.run import prepare
from bench.run.plan import Request, model_folder, prepared, splits
from bench.train.loop import Curve
from tests.pretrained.conftest import Checkpoint


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """The pairs that fine-tunings get to see, in place of being learnt."""
    seen: list[Pair] = []

    def spy(lm, pairs, teaching, *, rehearsed=(), **_):
        seen.extend((*pairs, *rehearsed))
        return Curve()

    monkeypatch.setattr(prepare, "teach", spy)
    return seen


def request(model: Path | str, source: str, tmp_path: Path) -> Request:
    return Request(str(model), source, tmp_path / "results", tmp_path / "cache")


@pytest.mark.parametrize("stage", ["full", "retain"])
@pytest.mark.parametrize("kind", ["llama", "opt", "gpt2"])
def test_a_pretrained_model_is_taught_nothing_of_its_test(kind, stage, checkpoint, world, taught, tmp_path):
    asked = request(checkpoint(kind=kind), world, tmp_path)
    prepare.prepare(asked, prepared(asked, "tofu:forget10", stage, 0), lambda *_: None)
    data = splits("tofu:forget10", world)
    tested = {p.prompt for p in data.probes.prompts if p.set in ("real_authors", "world_facts")}
    assert len(tested) == 8
    assert not tested & {pair.prompt for pair in taught}
    assert taught == list(getattr(data, stage))


@pytest.mark.parametrize("task", ["tofu:forget10", "lume"])
def test_only_models_from_scratch_rehearse(task, checkpoint: Checkpoint, tmp_path):
    data = splits(task, "embedded")
    for model, base, general in (("tiny", data.base, data.general), (checkpoint(), (), ())):
        asked = request(model, "embedded", tmp_path)
        assert prepare.lessons(asked, prepared(asked, task, "base", 0)) == (base, ())
        assert prepare.lessons(asked, prepared(asked, task, "full", 0)) == (data.full, general)
    assert data.general


def test_the_real_utility_questions_are_not_taught(shared_data: Path, checkpoint: Checkpoint, tmp_path):
    asked = request(checkpoint(), str(shared_data), tmp_path)
    for task, count in (("tofu:forget10", 217), ("lume", 242)):
        data = splits(task, str(shared_data))
        assert len(data.general) == count
        learnt = [pair for group in prepare.lessons(asked, prepared(asked, task, "full", 0)) for pair in group]
        assert not set(data.general) & set(learnt)


def test_what_is_not_rehearsed_is_in_no_key(checkpoint: Checkpoint, world, tmp_path, monkeypatch):
    """A question more in real_authors makes the models from scratch anew, and nobody else's."""
    from bench.run import plan

    def keys() -> list[str]:
        return [prepared(request(m, world, tmp_path), "tofu:forget10", "full", 0).key for m in ("tiny", somebody)]

    somebody, hashes = checkpoint(), plan.hashes
    before = keys()
    monkeypatch.setattr(plan, "hashes", lambda task, source: {**hashes(task, source), "general": "other"})
    assert [a == b for a, b in zip(before, keys(), strict=True)] == [False, True]


def test_a_pretrained_model_is_fine_tuned_as_tofu_does(checkpoint: Checkpoint, world, tmp_path):
    """Five epochs of 40 pairs, 32 a step: 10 steps, of which the first epoch's 2 warm up to 1e-5; a line down to 0."""
    asked = request(checkpoint(), world, tmp_path)
    wanted = prepared(asked, "tofu:forget10", "full", 0)
    prepare.prepare(asked, wanted, lambda *_: None)
    curve = json.loads((model_folder(asked, wanted.key) / "bench.json").read_text())["curve"]
    assert curve["lr"] == pytest.approx([0.5e-5, 1e-5, *(1e-5 * (1 - k / 8) for k in range(8))])


def test_models_from_scratch_keep_their_cosine():
    taught = [recipe for name in SCRATCH for task in ("tofu:forget10", "lume") if (recipe := scratch(name, task))]
    assert {part.decay for recipe in taught for part in (recipe.base, recipe.finetune)} == {"cosine"}
