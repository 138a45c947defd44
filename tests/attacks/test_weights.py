"""Noise, mixing and pruning; and that what only hides is exposed by all attacks on weights before their first step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.api import attachment
from bench.attacks._subject import Subject, linear
from bench.attacks.finetuning import FineTuning
from bench.attacks.informed_pruning import InformedPruning, importance, top, without
from bench.attacks.mixing import Mixing, mixed
from bench.attacks.noise import Noise, shaken
from bench.attacks.plain import Plain
from bench.attacks.pruning import Pruning, input_norms, without_least
from bench.attacks.relearning import Relearning
from bench.attacks.rounding import Rounding
from bench.errors import BenchError
from bench.model.architecture import layers
from bench.model.attachments import Attachment, attach, bare
from bench.train.batches import collate, label_logps
from tests.attacks.made import asked, assert_same, model, pairs, same_weights, subject
from tests.measure.conftest import tiny

FAST = (
    Noise(levels=(0.0, 0.1), draws=2), Mixing(shares=(0.0, 0.5, 1.0)), Pruning(shares=(0.0, 0.3)),
    InformedPruning(forget=(0.0, 10.0), retain=(5.0,)),
)  # fmt: skip


@attachment("a test's refusal")
@dataclass(frozen=True)
class Hiding(Attachment):
    """Says the same token whatever is asked, and looks for the layers as one does whose gate reads a state."""

    said: int = 5

    def gate(self, model: PreTrainedModel, prompt: Tensor) -> Tensor:
        assert isinstance(layers(model)[-1].down, nn.Linear)
        return super().gate(model, prompt)

    def logits(self, logits: Tensor, gate: Tensor, place: Tensor) -> Tensor:
        return logits.index_fill(1, torch.tensor([self.said]), 40.0)


def idle(readings: list) -> list:  # type: ignore[type-arg]
    """The readings at which nothing was done yet."""
    return [each for each in readings if each.step == 0]


@pytest.mark.parametrize("attack", FAST, ids=lambda each: type(each).__name__)
def test_nothing_done_is_nothing_changed_and_the_same_is_found_again(attack) -> None:  # type: ignore[no-untyped-def]
    of = subject()
    readings = list(attack.run(of))
    assert_same(readings, list(attack.run(subject())))
    ends = [each for each in readings if each.step == 1] if isinstance(attack, Mixing) else idle(readings)
    assert ends
    for each in ends:
        known = of.known(of.lm)
        known[np.isnan(each.known)] = np.nan
        np.testing.assert_array_equal(each.known, known)
        np.testing.assert_array_equal(each.kept, of.keeps(of.lm))
    assert any((each.kept != of.keeps(of.lm)).any() for each in readings)
    assert same_weights(of.lm, model(0))


@pytest.mark.parametrize(
    "attack", [*FAST, Rounding(bits=(16,)), Relearning((1.0,), (0,), rank=2), FineTuning((0,), rank=2)],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_what_only_hides_is_the_target_as_soon_as_the_hooks_are_off(attack) -> None:  # type: ignore[no-untyped-def]
    """As delivered nothing is known, and what an attack does to the weights lifts no hook."""
    target = model(1)
    hidden = attach(target, Hiding())
    assert next(iter(Plain().run(subject(hidden)))).known.max() < 1e-12
    assert_same(list(attack.run(subject(bare(hidden)))), list(attack.run(subject(target))))
    for each in attack.run(subject(hidden)):
        assert np.nanmax(each.known) < 1e-12


def test_mixing_is_flat_where_the_weights_are_the_targets_and_bounded_by_both_models() -> None:
    target = model(1)
    for each in Mixing().run(subject(target, target=target)):
        np.testing.assert_array_equal(each.known, subject().known(target))
    of = subject()
    assert same_weights(mixed(of, target, 0.0), target) and same_weights(mixed(of, target, 1.0), of.lm)
    half = mixed(of, target, 0.5)
    for own, a, b in zip(half.model.parameters(), of.lm.model.parameters(), target.model.parameters(), strict=True):
        torch.testing.assert_close(own, (a + b) / 2)


def test_mixing_with_another_architecture_says_what_differs() -> None:
    with pytest.raises(BenchError, match=r"mixing needs models of one architecture: .* is absent in one and"):
        list(Mixing().run(subject(target=model(0, "gpt2"))))


def test_noise_has_the_share_of_each_matrix_own_deviation_and_is_drawn_alike_for_all_models() -> None:
    wide = torch.randn(400, 300) * 0.7
    moved = shaken(0.05, 3)("", wide) - wide
    assert float(moved.std() / wide.std()) == pytest.approx(0.05, rel=0.01)
    assert float(moved.mean().abs()) < 1e-3
    drawn = []
    for seed in (0, 1):
        of = subject(model(seed))
        new, old = (dict(linear(lm.model)) for lm in (of.changed(shaken(0.1, 7)), of.lm))
        drawn.append([(new[n].weight - old[n].weight) / old[n].weight.std() for n in old])
    for a, b in zip(*drawn, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=0)
    twice = [shaken(level, 7)("", wide) - wide for level in (0.01, 0.1)]
    torch.testing.assert_close(twice[0] * 10, twice[1], atol=1e-5, rtol=0)


def test_noise_is_the_mean_over_its_draws() -> None:
    of = subject()
    (one,) = Noise(levels=(0.1,), draws=3).run(of)
    seeds = of.stream("noise").integers(1 << 62, size=3)
    np.testing.assert_allclose(one.known, np.mean([of.known(of.changed(shaken(0.1, int(s)))) for s in seeds], axis=0))


def test_pruning_takes_the_least_and_as_many_as_its_share() -> None:
    weight = torch.randn(7, 20)
    for share in (0.1, 0.3, 0.5):
        by_matrix = without_least(weight, weight.abs().flatten(), share)
        assert int((by_matrix == 0).sum()) == int(share * 140)
        assert by_matrix[by_matrix != 0].abs().min() >= weight[by_matrix == 0].abs().max()
        norms = torch.rand(20)
        by_row = without_least(weight, weight.abs() * norms, share)
        assert ((by_row == 0).sum(1) == int(share * 20)).all()
        for row, old in zip(by_row, weight, strict=True):
            scores = old.abs() * norms
            assert scores[row != 0].min() >= scores[row == 0].max()
        assert torch.equal(torch.where(by_row == 0, weight, by_row), weight)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_norms_are_over_the_tokens_of_all_texts_without_filler(kind: str) -> None:
    of = subject(model(0, kind))
    found = input_norms(of.lm, of.ready(of.kept))
    squares = dict.fromkeys(found, 0.0)
    for each in of.kept:
        item = of.lm.encode(each.prompt, each.answer)
        ids = torch.tensor([(item.prompt + item.answer)[:-1]])
        seen = {}
        handles = [
            module.register_forward_pre_hook(lambda m, given, name=name, seen=seen: seen.update({name: given[0]}))
            for name, module in linear(of.lm.model)
        ]
        with torch.no_grad():
            of.lm.model(input_ids=ids, use_cache=False)
        for handle in handles:
            handle.remove()
        squares = {name: squares[name] + seen[name][0].square().sum(0) for name in squares}
    for name, norm in found.items():
        torch.testing.assert_close(norm, squares[name].sqrt(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_importance_is_to_first_order_what_the_loss_gains_when_a_weight_goes(kind: str) -> None:
    of = subject(tiny(kind, 0, 0.1))
    taught = pairs(asked(range(2)))
    signed, sizes = importance(of, taught)

    def loss(share: float, name: str, mask: Tensor) -> float:
        lm = of.changed(lambda n, w: torch.where(mask, w * (1 - share), w) if n == name else w)
        items = [of.lm.encode(p.prompt, p.answer) for p in taught]
        with torch.no_grad():
            return float(np.mean([float(label_logps(lm.model, collate([i], 0)).cross_entropy()) for i in items]))

    for name, scores in [*signed.items()][::5]:
        best = scores == scores.max()
        assert loss(0.02, name, best) < loss(0.0, name, best)
        slope = (loss(-0.01, name, scores > 0) - loss(0.01, name, scores > 0)) / 0.02
        assert slope == pytest.approx(float(scores[scores > 0].sum()), rel=0.03)
        assert (sizes[name] >= scores.abs() - 1e-6).all()


def test_what_is_spared_stays_and_the_top_is_the_top() -> None:
    of = subject()
    scores = {name: torch.rand(module.weight.shape) for name, module in linear(of.lm.model)}
    gone, spared = top(scores, 10.0), {name: s < 0.95 for name, s in scores.items()}
    lm = without(of, gone, spared)
    for (name, new), (_, old) in zip(linear(lm.model), linear(of.lm.model), strict=True):
        assert int(gone[name].sum()) == int(0.1 * old.weight.numel())
        assert scores[name][gone[name]].min() >= scores[name][~gone[name]].max()
        assert torch.equal(new.weight, old.weight.masked_fill(gone[name] & (scores[name] >= 0.95), 0.0))


def test_the_informed_are_scored_on_other_authors_than_they_were_told_of() -> None:
    of = subject()
    for each in InformedPruning(forget=(1.0,), retain=(1.0,)).run(of):
        np.testing.assert_array_equal(np.isfinite(each.known), of.parts[1])
    alone: Subject = subject(items=asked(range(1)))
    assert list(InformedPruning().run(alone)) == []
