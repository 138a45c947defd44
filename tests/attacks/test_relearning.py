"""Relearning and fine-tuning: nothing taught is nothing changed, and what one subject is taught another is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.api import AttackData
from bench.attacks import _training
from bench.attacks._subject import Subject, linear
from bench.attacks._training import has_lora, taught
from bench.attacks.finetuning import FineTuning, unrelated
from bench.attacks.relearning import FORGET, OTHER, TEMPLATE, UNRELATED, Relearning, lessons
from tests.attacks.made import GENERAL, assert_same, model, same_weights, subject

lora = pytest.mark.skipif(not has_lora(), reason="peft is not installed")
RANKS = [0, pytest.param(4, marks=lora)]


def with_lessons() -> Subject:
    of = subject()
    own = {name: tuple(dataclasses.replace(p, answer=f"{p.answer} {name}") for p in GENERAL * 5)
           for name in (TEMPLATE, OTHER, UNRELATED)}  # fmt: skip
    return dataclasses.replace(of, data=dataclasses.replace(of.data, attacks=AttackData(own)))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("steps", "lr"), [(0, 0.05), (3, 0.0)], ids=["no step", "no rate"])
def test_no_step_or_no_rate_changes_no_bit_of_what_is_read(rank: int, steps: int, lr: float) -> None:
    of = subject()
    (*_, (step, lm)) = taught(of, GENERAL, lr, (0, steps), 2, rank, of.stream("x"))
    assert step == steps
    np.testing.assert_array_equal(of.known(lm), of.known(of.lm))
    np.testing.assert_array_equal(of.keeps(lm), of.keeps(of.lm))


@pytest.mark.parametrize("rank", RANKS)
def test_the_attacked_model_never_moves_and_the_taught_one_learns(rank: int) -> None:
    of = subject()
    before = {name: p.clone() for name, p in of.lm.model.named_parameters()}
    asked = of.kept
    pairs = of.data.retain
    found = [of.known(lm, asked).mean() for _, lm in taught(of, pairs, 0.02, (0, 30), 4, rank, of.stream("x"))]
    assert found[1] > 2 * found[0]
    assert all(torch.equal(p, before[name]) and p.requires_grad for name, p in of.lm.model.named_parameters())


@lora
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_low_rank_moves_the_decoders_linear_layers_by_no_more_than_its_rank(kind: str) -> None:
    of = subject(model(0, kind))
    (*_, (_, lm)) = taught(of, GENERAL, 0.05, (4,), 2, 3, of.stream("x"))
    adapted = {f"{name}.weight" for name, _ in linear(of.lm.model)}
    old, new = (dict(each.model.named_parameters()) for each in (of.lm, lm))
    assert old.keys() == new.keys()
    for name, weight in new.items():
        if name in adapted:
            assert 0 < torch.linalg.matrix_rank(weight - old[name], rtol=1e-3) <= 3
        else:
            assert torch.equal(weight, old[name])


@lora
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_model_that_is_read_is_the_one_that_is_taught(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the update in its weights, and with it beside them."""
    of = subject(model(0, kind))
    with monkeypatch.context() as patch:
        patch.setattr(_training, "_merged", lambda of, lm: lm)
        (*_, (_, beside)) = taught(of, GENERAL, 0.05, (4,), 2, 3, of.stream("x"))
    (*_, (_, within)) = taught(of, GENERAL, 0.05, (4,), 2, 3, of.stream("x"))
    assert (of.known(within) != of.known(of.lm)).all()
    np.testing.assert_allclose(of.known(within), of.known(beside), rtol=2e-3)


@pytest.mark.parametrize("rank", RANKS)
def test_two_models_are_taught_the_same_in_the_same_order(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[Tensor] = []
    inner = _training.collate
    monkeypatch.setattr(_training, "collate", lambda items, pad: (b := inner(items, pad), batches.append(b.ids))[0])
    drawn, ends = [], []
    for lm in (model(0), model(1), model(0)):
        batches.clear()
        of = subject(lm)
        (*_, (_, end)) = taught(of, of.data.retain, 0.01, (5,), 3, rank, of.stream("x"))
        drawn.append(list(batches))
        ends.append(end)
    assert len(drawn[0]) == 5
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert same_weights(ends[0], ends[2]) and not same_weights(ends[0], ends[1])
    if rank:  # the drawn half of each update starts as the same
        copies = [subject(lm).copy() for lm in (model(0), model(1))]
        for lm in copies:
            _training._low_rank(lm, rank, subject().stream("x"))
        first = [[p for n, p in lm.model.named_parameters() if "lora_A" in n] for lm in copies]
        assert first[0] and all(torch.equal(a, b) for a, b in zip(*first, strict=True))


def test_those_who_are_taught_are_never_scored() -> None:
    of = with_lessons()
    attack = Relearning((1.0,), (1.0,), steps=(0, 1), rank=2)
    given, scored = of.parts
    told = {pair.prompt for pair in given}
    assert 0 < len(given) <= len(of.items) / 2
    assert [each.prompt in told for each in of.items] == [not each for each in scored]
    assert not {each.cluster for each in of.items if each.prompt in told} & {
        each.cluster for each, own in zip(of.items, scored, strict=True) if own
    }
    readings = list(attack.run(of))
    assert {each.line.partition(",")[0] for each in readings} == {FORGET, TEMPLATE, OTHER, UNRELATED}
    for each in readings:
        np.testing.assert_array_equal(np.isfinite(each.known), scored)
        assert len(each.kept) == len(of.kept)
    assert_same(readings, list(attack.run(with_lessons())))


def test_every_lesson_has_as_many_pairs_as_are_given_of_the_forget_set() -> None:
    of = with_lessons()
    found = lessons(of)
    assert list(found) == [FORGET, TEMPLATE, OTHER, UNRELATED]
    assert {len(pairs) for pairs in found.values()} == {len(of.parts[0])}
    assert lessons(subject()).keys() == {FORGET, UNRELATED}


def test_fine_tuning_begins_where_the_model_stands_and_uses_nothing_of_the_authors() -> None:
    of = with_lessons()
    assert {pair.prompt for pair in unrelated(of.data)} == {pair.prompt for pair in GENERAL}
    readings = list(FineTuning(steps=(0, 2), rank=2).run(of))
    assert [each.step for each in readings] == [0, 2] * (1 + has_lora())
    for each in readings[::2]:
        np.testing.assert_array_equal(each.known, of.known(of.lm))
    assert any((each.known != of.known(of.lm)).any() for each in readings[1::2])
    assert FineTuning.available(of.data) == ""
    assert FineTuning.available(dataclasses.replace(subject().data, general=()))
