"""What is attached to a model: written beside its weights, read again as it was, refused where it is not known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import registry
from bench.api import attachment
from bench.errors import BenchError
from bench.model import attachments, models
from bench.model.attachments import Attached, Attachment, attach, bare
from bench.model.recipes import SCRATCH

SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=300)


@attachment("a test's note")
@dataclass(frozen=True)
class Note(Attachment):
    """Every kind of field that a file can hold."""

    weights: Mapping[str, Tensor]
    single: Tensor
    words: tuple[str, ...] = ("a", "b")
    nested: tuple[tuple[int, float], ...] = ((1, 0.5),)
    nothing: None = None


@pytest.fixture
def lm(monkeypatch: pytest.MonkeyPatch) -> models.LM:
    names, load = registry.names, registry.load
    known = lambda kind: [*names(kind), *([Note.name] if kind == "attachment" else [])]  # noqa: E731
    monkeypatch.setattr(registry, "names", known)
    monkeypatch.setattr(registry, "load", lambda kind, name: Note if name == Note.name else load(kind, name))
    return models.new_llama(SHAPE, models.train_tokenizer(["Who wrote it?"], 300), seed=1)


def note() -> Note:
    half = torch.arange(6.0).view(2, 3).t().to(torch.bfloat16)  # not contiguous
    return Note({"model.layers.0.mlp": half, "b": torch.tensor([True])}, torch.tensor(3, dtype=torch.int64))


def same(one: Note, other: Note) -> bool:
    parts, others = attachments._parts(one), attachments._parts(other)
    tensors = all(torch.equal(parts[1][k], v) and parts[1][k].dtype == v.dtype for k, v in others[1].items())
    return parts[0] == others[0] and parts[1].keys() == others[1].keys() and tensors


def test_what_is_attached_is_read_as_it_was_written(lm: models.LM, tmp_path: Path) -> None:
    models.save(attach(lm, note(), note()), tmp_path)
    loaded = models.load(tmp_path)
    assert [same(each, note()) for each in loaded.attached] == [True, True]  # type: ignore[arg-type]
    assert loaded.attached[0].nested == ((1, 0.5),)  # type: ignore[attr-defined]


def test_the_weights_are_the_bare_models(lm: models.LM, tmp_path: Path) -> None:
    """Taken off, or its two files deleted, the model is what it was, bit for bit."""
    models.save(attach(lm, note()), tmp_path / "with")
    models.save(lm, tmp_path / "without")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("with", "without"))
    assert one == other
    assert {p.name for p in (tmp_path / "with").iterdir()} - {p.name for p in (tmp_path / "without").iterdir()} == {
        "attachment.json", "attachment.safetensors"
    }  # fmt: skip
    assert bare(attach(lm, note())).attached == () and attach(lm, note()).model is lm.model


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda told: told["attached"][0].update(name="gone"), "needs the attachment 'gone', which nobody declares"),
        (lambda told: told["attached"][0].update(version=2), "of version 2, this program version 1. Update"),
        (lambda told: told.update(schema=9), "has schema 9, this program reads 1. Update"),
        (lambda told: told["attached"][0]["values"].update(colour=1), "cannot be read .*colour"),
        (lambda told: told["attached"][0]["tensors"].append("more"), "cannot be read .*more"),
        (lambda told: told.pop("attached"), "cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused(lm: models.LM, tmp_path: Path, change, says: str) -> None:  # type: ignore[no-untyped-def]
    """Read without it, the model would be another, and nobody would know."""
    models.save(attach(lm, note()), tmp_path)
    about = tmp_path / "attachment.json"
    told = json.loads(about.read_text())
    change(told)
    about.write_text(json.dumps(told))
    with pytest.raises(BenchError, match=says):
        models.load(tmp_path)


def test_a_lost_file_of_tensors_is_refused(lm: models.LM, tmp_path: Path) -> None:
    models.save(attach(lm, note()), tmp_path)
    (tmp_path / "attachment.safetensors").unlink()
    with pytest.raises(BenchError, match="without it the model is another"):
        models.load(tmp_path)


def test_what_no_file_holds_cannot_be_attached(lm: models.LM) -> None:
    with pytest.raises(BenchError, match="nothing is object, which no file holds"):
        attach(lm, dataclasses.replace(note(), nothing=object()))  # type: ignore[arg-type]
    with pytest.raises(BenchError, match=r'write @attachment\("NAME"\)'):
        attach(lm, Attachment())


def test_a_prompt_is_asked_once_by_the_bare_model(lm: models.LM) -> None:
    asked = []

    @attachment("a test's counter")
    @dataclass(frozen=True)
    class Counter(Attachment):
        def gate(self, model, prompt: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            asked.append(prompt.tolist())
            assert not model.training and not torch.is_grad_enabled()
            return torch.tensor(len(prompt) / 10)

    lm.model.train()
    attached = Attached(attach(lm, Counter()))
    told = attached.told([[5, 6, 7], [8], [5, 6, 7]])
    assert told is not None and asked == [[5, 6, 7], [8]] and lm.model.training
    assert told.gates[0].tolist() == pytest.approx([0.3, 0.1, 0.3])
    positions = torch.arange(4).expand(3, 4)
    assert told.place(positions).tolist() == [[-2, -1, 0, 1], [0, 1, 2, 3], [-2, -1, 0, 1]]
    spots = told.spots(torch.tensor([1, 0]), torch.tensor([3, 2]))
    assert spots.place.tolist() == [3, 0] and spots.gates[0].tolist() == pytest.approx([0.1, 0.3])
    assert Attached(lm).told([[5]]) is None
