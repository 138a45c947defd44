"""What is measured first is what is measured again: models are written and read before anybody measures them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.api import LossTerms, Method, attachment
from bench.contracts import Context
from bench.errors import BenchError
from bench.model import models
from bench.model.attachments import Attachment, attach
from bench.model.export import write
from bench.run import cell, keeping, matched
from bench.run.plan import Planned, Request, metrics, model_folder, plan
from bench.train.batches import answer_logps
from methods.graddiff import GradDiff
from tests.run.test_cost import planned, request_, silent

__all__ = ["request_"]


@attachment("a test's bias")
@dataclass(frozen=True)
class Bias(Attachment):
    """Adds to the logits of every answer."""

    added: Tensor

    def logits(self, logits: Tensor, gate: Tensor, place: Tensor) -> Tensor:
        return logits + gate[:, None] * self.added


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    names, load = registry.names, registry.load
    monkeypatch.setattr(registry, "names", lambda kind: [*names(kind), *([Bias.name] * (kind == "attachment"))])
    monkeypatch.setattr(registry, "load", lambda kind, name: Bias if name == Bias.name else load(kind, name))


def of(request: Request, transform: Callable[[Context], Any], **about: Any) -> Planned:
    """The cell of a transform, which starts from the model of `request_`."""
    (base,) = planned(request, "fo-npo")
    method = Method("mine", "a test's", transform=transform, **about)
    composed = dataclasses.replace(base.composed, method=method, parts={})
    return dataclasses.replace(base, composed=composed, cell=base.cell._replace(method="mine"))


def biased(context: Context) -> models.LM:
    vocabulary = context.lm.model.config.vocab_size
    added = torch.randn(vocabulary, generator=torch.Generator().manual_seed(3))
    return attach(context.lm, Bias(added))  # type: ignore[return-value, type-var]


def hooked(context: Context) -> Any:
    context.lm.model.base_model.layers[0].mlp.register_forward_hook(lambda module, given, out: out * 0)
    return context.lm


def replaced(context: Context) -> Any:
    head = context.lm.model.lm_head
    head.forward = lambda hidden: 2 * nn.functional.linear(hidden, head.weight)
    return context.lm


def wrapped(context: Context) -> Any:
    layer = context.lm.model.base_model.layers[1]
    layer.mlp = nn.Sequential(layer.mlp)
    return context.lm


def other_config(context: Context) -> Any:
    """Something that no structure shows: an attribute that no file keeps."""
    context.lm.model.base_model.norm.variance_epsilon = 30.0
    return context.lm


@pytest.mark.parametrize("below", [1 << 30, 0], ids=["small", "large"])
@pytest.mark.parametrize(
    ("transform", "says"),
    [
        (hooked, r"mine: its model has a hook or a function of its own on model.layers.0.mlp \(LlamaMLP\), which no"),
        (replaced, r"a function of its own on lm_head \(Linear\)"),
        (wrapped, r"mine: its model was written, but cannot be read again|the module model.layers.1.mlp"),
        (other_config, r"mine: its model answers otherwise once it is written and read again .*bench.api.attachment"),
    ],
)
def test_what_no_file_holds_is_refused(
    request_: Request, monkeypatch: pytest.MonkeyPatch, below: int, transform: Callable[[Context], Any], says: str
) -> None:
    """It would be measured with it once, and be the target ever after; nothing is left in the cache either."""
    monkeypatch.setattr(keeping, "KEEP_BELOW", below)
    mine = of(request_, transform)
    with pytest.raises(BenchError, match=says):
        cell._unlearned(request_, mine, silent)  # type: ignore[arg-type]
    folder = model_folder(request_, mine.keys["train"])
    assert not folder.exists() and not list(folder.parent.iterdir())


def test_what_is_attached_is_there_the_second_time(request_: Request) -> None:
    mine = of(request_, biased, detachable=True)
    (first, _), (second, _) = (cell._unlearned(request_, mine, silent) for _ in range(2))  # type: ignore[arg-type]
    assert [len(lm.attached) for lm in (first, second)] == [1, 1]
    items = [first.encode("Who wrote it?", "when and where"), first.encode("Where?", "it")]
    assert torch.equal(answer_logps(first, items), answer_logps(second, items))
    bare = models.load(request_.cache.parent / "start")
    assert (answer_logps(first, items) - answer_logps(bare, items)).abs().min() > 0.1
    for ours, theirs in zip(first.model.parameters(), bare.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_measured_first_was_read_from_a_file(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones from the cache, large transforms in passing; a large gradient method's own modules are seen to be."""
    loaded: list[Path] = []
    load = models.load
    monkeypatch.setattr(models, "load", lambda path, *more: loaded.append(Path(path)) or load(path, *more))
    mine, (npo,) = of(request_, biased), planned(request_, "fo-npo")
    for asked in (mine, npo):
        found = cell._unlearned(request_, asked, silent)[0]  # type: ignore[arg-type]
        assert loaded[-1].parent == request_.cache / "models" and model_folder(request_, asked.keys["train"]).is_dir()
        assert found.model.training is False
        model_folder(request_, asked.keys["train"]).rename(request_.cache / f"gone-{asked.cell.method}")
        (request_.cache / "models").mkdir(exist_ok=True)
    monkeypatch.setattr(keeping, "KEEP_BELOW", 0)
    loaded.clear()
    cell._unlearned(request_, mine, silent)  # type: ignore[arg-type]
    assert [path.parent for path in loaded if path.name != "start"] == [request_.cache / "models"]
    loaded.clear()
    cell._unlearned(request_, npo, silent)  # type: ignore[arg-type]
    assert [path.name for path in loaded if path.name != "start"] == []
    assert list((request_.cache / "models").iterdir()) == []


def test_what_transformers_leaves_to_collect_hidden_states_is_no_hook_of_the_method(request_: Request) -> None:
    def looks(context: Context) -> Any:
        context.lm.model(torch.tensor([[3, 4]]), output_hidden_states=True)
        return context.lm

    assert cell._unlearned(request_, of(request_, looks), silent)[0].attached == ()  # type: ignore[arg-type]


def test_a_loss_that_leaves_a_hook_is_refused(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(self: GradDiff, step: Any) -> LossTerms:
        step.model.lm_head.register_forward_hook(lambda module, given, out: out)
        return LossTerms(step.forget.sums().mean(), {})

    monkeypatch.setattr(GradDiff, "loss", loss)
    (only,) = planned(request_, "fo-graddiff")
    with pytest.raises(BenchError, match=r"fo-graddiff: its model has a hook .* on lm_head"):
        cell._unlearned(request_, only, silent)  # type: ignore[arg-type]


def test_nothing_lies_between_the_target_and_what_is_attached(request_: Request) -> None:
    start = models.load(request_.cache.parent / "start")
    other = attach(models.load(request_.cache.parent / "start"), Bias(torch.ones(300)))
    with pytest.raises(BenchError, match=r"attaches a test's bias: no point lies between .*without --match"):
        matched.find(start, other, (), 0.5, silent)


def test_no_method_starts_from_a_model_with_something_attached(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = attach(models.load(request_.cache.parent / "start"), Bias(torch.ones(300)))
    monkeypatch.setattr(cell, "load_prepared", lambda *_: lm)
    (only,) = planned(request_, "fo-npo")
    with pytest.raises(BenchError, match="has a test's bias attached, so its weights alone are another model"):
        cell.make_context(request_, only.start, only.cell.task, 0, silent)


def test_an_exported_folder_is_measured_with_what_is_attached(request_: Request, tmp_path: Path) -> None:
    """`export` writes it, `eval` reads it, asks how often it abstains, and its content is in the key."""
    lm = attach(models.load(request_.cache.parent / "start"), Bias(torch.ones(300)))
    write(lm, tmp_path / "out")
    assert len(models.load(tmp_path / "out").attached) == 1
    from bench.run.plan import plan_given

    given = plan_given(request_, str(tmp_path / "out"), "row", "tofu:forget01", 0, [])
    assert given.probes == ("abstention",)
    told = json.dumps(given.identity["checkpoint"]) + json.dumps(given.keys)
    file = tmp_path / "out" / "attachment.json"
    file.unlink()
    from bench.model import recipes

    recipes._content.cache_clear()
    bare = plan_given(request_, str(tmp_path / "out"), "row", "tofu:forget01", 0, [])
    assert bare.probes == () and json.dumps(bare.identity["checkpoint"]) + json.dumps(bare.keys) != told


def test_abstention_is_scored_where_it_is_asked_for_or_acts_at_inference(tmp_path: Path) -> None:
    """Cells of other methods keep their keys: none of it is in them."""
    request = Request("tiny", "embedded", tmp_path, tmp_path)
    cells = {c.cell.method: c for c in plan(request, ["key-space-detection", "fo-npo"], ["tofu:forget10"], [0])}
    assert {name: c.probes for name, c in cells.items()} == {
        "retrain": (), "target": (), "fo-npo": (), "key-space-detection": ("abstention",)
    }  # fmt: skip
    ours = {f"abstention_{which}" for which in ("forget", "retain", "general")}
    assert ours <= set(metrics("tofu:forget10", ["abstention"])) and not ours & set(metrics("tofu:forget10"))
    assert "probes asked for" not in cells["fo-npo"].identity
