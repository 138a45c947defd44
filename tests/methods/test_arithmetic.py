"""Transforms of whole models: what becomes of the weights, and that training inside one leaves a curve and a trace."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.api import Schedule
from bench.conformance.toy import SHAPE, context
from bench.contracts import Context, Course, Encoded
from bench.kit import CrossEntropy, train
from bench.model import models
from bench.run import cell
from bench.run.plan import Request, plan, splits
from bench.store import files
from bench.train.batches import answer_logps
from bench.train.loop import Curve
from methods.adamw import AdamW
from methods.arithmetic import Finetune, Interpolation, TaskVector
from methods.graddiff import GradDiff
from methods.scopes import All

SHORT = {"lr": 1e-3, "epochs": 2}


def followed(folder: Path, trace: int = 4) -> Context:
    return dataclasses.replace(context(folder), course=Course(trace=trace, curve=Curve()))


def weights(lm: Any) -> list[Tensor]:
    return [p.detach().clone() for p in lm.model.parameters()]


def probability(given: Context, items: list[Encoded]) -> float:
    """Mean over items of p(answer)^(1/labels)."""
    lengths = torch.tensor([len(item.answer) for item in items])
    return float((answer_logps(given.lm, items) / lengths).exp().mean())


def test_a_task_vector_is_what_fine_tuning_adds_times_minus_scale(tmp_path: Path) -> None:
    """theta_target - 1.5 (theta_ft - theta_target), with theta_ft from a run of the loop on a twin; scale 0 changes no
    bit. What is forgotten is the forget set."""
    tuned = followed(tmp_path)
    before = weights(tuned.lm)
    schedule = Schedule(epochs=2, batch_size=4)
    train(tuned, CrossEntropy(), AdamW(lr=1e-3, weight_decay=0.0), schedule, All())
    given = followed(tmp_path)
    first = probability(given, list(given.forget))
    found = weights(TaskVector(scale=1.5, **SHORT)(given))
    for a, b, ours in zip(before, weights(tuned.lm), found, strict=True):
        torch.testing.assert_close(ours, a - 1.5 * (b - a), rtol=0, atol=1e-7)
    assert any(float((a - b).abs().max()) > 1e-3 for a, b in zip(before, found, strict=True))
    assert probability(given, list(given.forget)) < first < probability(tuned, list(given.forget))
    none = weights(TaskVector(scale=0.0, **SHORT)(followed(tmp_path)))
    assert all(torch.equal(a, b) for a, b in zip(before, none, strict=True))


def test_interpolation_ends_at_both_models_and_is_linear_between(tmp_path: Path) -> None:
    """Share 1 is to the bit what the loop gives with that loss; 0 the target; a quarter, a quarter of the way."""
    unlearned = followed(tmp_path)
    before = weights(unlearned.lm)
    train(unlearned, GradDiff(), AdamW(lr=1e-3), Schedule(epochs=2), All())
    ends = weights(unlearned.lm)
    none, whole, some = (weights(Interpolation(share, **SHORT)(followed(tmp_path))) for share in (0.0, 1.0, 0.25))
    for a, b, at_0, at_1, at_some in zip(before, ends, none, whole, some, strict=True):
        assert torch.equal(at_0, a) and torch.equal(at_1, b)
        torch.testing.assert_close(at_some, a + (b - a) / 4, rtol=0, atol=1e-7)


@pytest.mark.parametrize("loss", ["ga", "npo"])
def test_interpolation_takes_other_losses(tmp_path: Path, loss: str) -> None:
    given = followed(tmp_path)
    first = probability(given, list(given.forget))
    Interpolation(1.0, loss, lr=1e-3, epochs=2)(given)
    assert probability(given, list(given.forget)) < first
    assert set(given.course.curve.lines[0]) >= {"forget"} | ({"retain"} if loss == "npo" else set())


def test_fine_tuning_sees_the_retain_set_alone(tmp_path: Path) -> None:
    """A pass is over the four retain items, two a step, and other forget items change no bit."""
    given, other = followed(tmp_path), followed(tmp_path)
    other = dataclasses.replace(other, forget=list(other.forget[:1]))
    found = weights(Finetune(lr=1e-3, epochs=3, batch_size=2)(given))
    assert all(
        torch.equal(a, b) for a, b in zip(found, weights(Finetune(lr=1e-3, epochs=3, batch_size=2)(other)), strict=True)
    )
    curve = given.course.curve
    assert [line["step"] for line in curve.lines] == [1, 2, 3, 4, 5, 6]
    assert curve.lines[-1]["loss"] < curve.lines[0]["loss"]
    assert given.course.moved == sum(p.numel() for p in given.lm.model.parameters())


@pytest.mark.parametrize(
    "method", [TaskVector(**SHORT), Interpolation(**SHORT), Finetune(**SHORT)], ids=lambda m: type(m).__name__
)
def test_the_trade_off_is_of_the_way_to_the_result(tmp_path: Path, method: Any) -> None:
    """It begins at the target and ends at the model that is returned, by the cell's own two sets."""
    given = followed(tmp_path)
    sets = {"forget": list(given.forget), "retain": list(given.retain)}
    first = {name: probability(given, items) for name, items in sets.items()}
    assert method(given) is given.lm
    trace = given.course.curve.trace
    assert len(given.course.curve.lines) == 2 and len(trace) > 1
    assert trace[0]["step"] == 0 and all(a["step"] < b["step"] for a, b in itertools.pairwise(trace))
    for name, items in sets.items():
        assert trace[0][f"{name} probability"] == pytest.approx(first[name], rel=1e-5)
        assert trace[-1][f"{name} probability"] == pytest.approx(probability(given, items), rel=1e-5)


def test_a_way_that_nobody_follows_leads_to_the_same_model(tmp_path: Path) -> None:
    """Neither a trace nor a curve to put it in changes a bit."""
    runs = [followed(tmp_path), followed(tmp_path, trace=0), context(tmp_path)]
    found = [weights(TaskVector(**SHORT)(given)) for given in runs]
    assert runs[1].course.curve.trace == []
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(
    "name", ["finetune", *(pytest.param(n, marks=pytest.mark.slow) for n in ("task-vector", "interpolation"))]
)
def test_a_cell_of_a_transform_has_a_curve_and_a_trace(tmp_path: Path, name: str, monkeypatch: Any) -> None:
    """In the record that is read back: columns of the training curve, of the trade-off, and what both took."""
    data = splits("tofu:forget01", "embedded")
    probes = dataclasses.replace(data.probes, texts=data.probes.texts[:40], prompts=data.probes.prompts[:4])
    data = dataclasses.replace(data, forget=data.forget[:8], retain=data.retain[:8], probes=probes)
    lm = models.new_llama(SHAPE, models.train_tokenizer(["Who wrote it, when and where?"], 300), seed=1)
    monkeypatch.setattr(cell, "load_prepared", lambda *_: copy.deepcopy(lm))
    monkeypatch.setattr(cell, "splits", lambda *_: data)
    told = {name: {"epochs": "1", "lr": "1e-3"}}
    request = Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache", told, trace=2)
    (planned,) = (c for c in plan(request, [name], ["tofu:forget01"], [0]) if c.cell.method == name)
    alone = dataclasses.replace(planned, identity={**planned.identity, "retrain": "itself"})
    cell.run_cell(request, alone, lambda *_: None)
    record = files.find(request.results, planned.cell)
    assert record is not None and record.status == "ok", record
    curve, cost = record.curve, record.cost
    assert (
        len(curve["gradient_norm"]) == 2 and np.isfinite(curve["forget" if name == "interpolation" else "loss"]).all()
    )
    assert curve["trace step"] == [0, 1, 2]
    assert len(curve["trace forget probability"]) == len(curve["trace retain probability"]) == 3
    assert cost["weights_moved"] == sum(p.numel() for p in lm.model.parameters())
    assert cost["trace_seconds"] >= 0 and "unlearn_seconds" in cost
