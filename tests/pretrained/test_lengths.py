"""A model whose positions do not reach is refused before anything is trained, not after two fine-tunings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.api import Pair, Probes, Prompt, Text
from bench.cli.main import main
from bench.errors import BenchError
from bench.measure.lengths import check
from bench.model.encoding import Encoding
from bench.model.models import train_tokenizer
from bench.run import prepare
from bench.train.loop import Curve
from tests.e2e.conftest import write_world
from tests.pretrained.conftest import TEXTS, Checkpoint


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fine-tunings that were begun; none is carried out."""
    names: list[str] = []

    def begin(*_, name: str, **__) -> Curve:
        names.append(name)
        return Curve()

    monkeypatch.setattr(prepare, "teach", begin)
    return names


def bench(command: str, model: Path, source: str | Path, tmp_path: Path) -> int:
    words = [command, "--tasks", "tofu:forget10", "--model", model, "--data", source, "--cache", tmp_path / "cache"]
    words += ["--workers", "1"] + (["--methods", "fo-npo", "--results", tmp_path / "r"] if command == "run" else [])
    return main([*map(str, words)])


@pytest.mark.parametrize("command", ["run", "prepare"])
@pytest.mark.parametrize("kind", ["llama", "opt", "gpt2"])
def test_nothing_is_trained_for_a_model_that_is_too_short(kind, command, checkpoint, world, trained, tmp_path, capsys):
    assert bench(command, checkpoint(kind=kind, positions=24), world, tmp_path) == 1
    said = capsys.readouterr().err
    assert "tokens, but the model has positions for 24. Shorten the item or choose a model with a longer" in said
    assert not trained
    assert not (tmp_path / "cache" / "models").exists()


def test_a_pair_that_is_only_learnt_must_fit_too(checkpoint: Checkpoint, trained, tmp_path, capsys):
    """Nothing that is measured is long; one author's row is, which every model is taught."""
    folder = write_world(tmp_path / "data" / "tofu")
    for name in ("full", "retain90"):
        with (folder / f"{name}.json").open("a") as file:
            file.write(json.dumps({"question": "Who is long?", "answer": "on and on " * 60}) + "\n")
    model = checkpoint(positions=128)
    assert bench("prepare", model, folder.parent, tmp_path) == 1
    assert "the training pair 'Who is long?'" in capsys.readouterr().err
    assert not trained


def test_a_model_that_fits_is_trained(checkpoint: Checkpoint, world, trained, tmp_path):
    assert bench("prepare", checkpoint(positions=128), world, tmp_path) == 0
    assert len(trained) == 2


def test_exactly_long_enough_is_long_enough():
    """The last label is predicted and never fed, so an answer may end one beyond the last position."""
    encoding = Encoding(train_tokenizer(TEXTS, 300))
    pair = encoding.pair("Where?", "There")
    length = len(pair.prompt) + len(pair.answer) - 1
    place = ("forget", "1", "a", "answer")
    text = Probes((Text(*place, "Where?", "There"),), ())
    prompt = Probes((), (Prompt(*place, "Where?", "There"),))
    for limit in (length, None):
        check(encoding, limit, [Pair("Where?", "There")], text)
    check(encoding, len(pair.prompt), [], prompt)
    for pairs, probes, limit in (
        ([Pair("Where?", "There")], Probes((), ()), length - 1),
        ([], text, length - 1),
        ([], prompt, len(pair.prompt) - 1),
    ):
        with pytest.raises(BenchError, match=f"positions for {limit}"):
            check(encoding, limit, pairs, probes)
    with pytest.raises(BenchError, match="has no tokens"):
        check(encoding, None, [Pair("", "There", raw=True)], Probes((), ()))
