"""The training loop: labels in the right place, padding that does not count, runs that repeat to the bit."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from types import SimpleNamespace

import pytest
import torch

from bench.api import LossTerms, Pair, Schedule
from bench.contracts import Context, Encoded, Labels
from bench.errors import UsageError
from bench.model import models
from bench.model.recipes import SCRATCH, Teaching
from bench.registry import load
from bench.train.batches import answer_logps, collate, label_logps, sampled_cross_entropies
from bench.train.loop import Diverged, fit
from bench.train.teaching import teach
from bench.train.unlearning import _warn_of_clipping, unlearn

PAIRS = [Pair(f"What is {n} and {n}?", f"{n + n} it is") for n in range(6)]
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=300)


@pytest.fixture
def lm() -> models.LM:
    torch.set_num_threads(1)
    return models.new_llama(SHAPE, models.train_tokenizer([p.prompt + " " + p.answer for p in PAIRS], 300), seed=1)


def naive(lm, item: Encoded) -> torch.Tensor:
    """log p of each answer token from one full forward pass of one text."""
    ids = torch.tensor([item.prompt + item.answer])
    logp = lm.model(ids).logits[0].double().log_softmax(-1)
    first = len(item.prompt)
    return torch.stack([logp[first + t - 1, token] for t, token in enumerate(item.answer)])


def test_label_logps_equal_a_full_forward_pass_of_each_text(lm):
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    labels = label_logps(lm.model, collate(items, lm.pad))
    for i, item in enumerate(items):
        expected = naive(lm, item)
        assert labels.mask[i].sum() == len(item.answer)
        torch.testing.assert_close(labels.logp[i, : len(item.answer)].double(), expected, atol=2e-6, rtol=0)
        assert not labels.logp[i, len(item.answer) :].any()
    whole = torch.cat([naive(lm, item) for item in items])
    torch.testing.assert_close(labels.cross_entropy().double(), -whole.mean(), atol=2e-6, rtol=0)
    torch.testing.assert_close(answer_logps(lm, items, batch_size=5), labels.sums(), atol=1e-4, rtol=0)


def test_the_pad_token_inside_a_text_still_counts(lm):
    """Masks come from true lengths: an interior token that equals the filler is text like any other."""
    inside = Encoded([5, lm.pad, 6], [7, lm.pad, lm.eos])
    labels = label_logps(lm.model, collate([inside, Encoded([1] * 9, [2, lm.eos])], lm.pad))
    torch.testing.assert_close(labels.logp[0, :3].double(), naive(lm, inside), atol=2e-6, rtol=0)


def test_a_rescaled_head_is_not_bypassed(lm):
    """A model that caps its logits behind the head must be run in full; here a head that a name on the config marks."""
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS[:3]]
    plain = label_logps(lm.model, collate(items, lm.pad)).logp
    lm.model.config.final_logit_softcapping = 30.0
    torch.testing.assert_close(label_logps(lm.model, collate(items, lm.pad)).logp, plain, atol=1e-6, rtol=0)


def test_labels_are_sums_counts_and_token_means():
    labels = Labels(torch.tensor([[-1.0, -2.0], [-4.0, 0.0]]), torch.tensor([[True, True], [True, False]]))
    assert labels.sums().tolist() == [-3.0, -4.0]
    assert labels.counts().tolist() == [2, 1]
    assert labels.cross_entropy().item() == pytest.approx(7 / 3)


def test_teaching_learns_and_repeats_to_the_bit(lm):
    teaching = Teaching(epochs=120, lr=1e-2, batch_size=2)
    twin = models.new_llama(SHAPE, lm.tokenizer, seed=1)
    curve = teach(lm, PAIRS, teaching, key="k")
    teach(twin, PAIRS, teaching, key="k")
    assert curve.lines[-1]["loss"] < curve.lines[0]["loss"] / 20
    assert all(torch.equal(a, b) for a, b in zip(lm.model.parameters(), twin.model.parameters(), strict=True))
    other = models.new_llama(SHAPE, lm.tokenizer, seed=1)
    teach(other, PAIRS, teaching, key="another")
    assert not torch.equal(lm.model.lm_head.weight, other.model.lm_head.weight)


def test_learning_rate_rises_then_falls_to_zero(lm):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)

    def loss(batch, done):
        return LossTerms((weight * 0).sum(), {})

    linear = [line["lr"] for line in fit(lm, [weight], optimizer, range(10), loss, warmup=0.2).lines]
    assert linear == pytest.approx([0.5, 1.0, *(1 - k / 8 for k in range(8))])
    optimizer = torch.optim.SGD([weight], lr=1.0)
    cosine = [line["lr"] for line in fit(lm, [weight], optimizer, range(10), loss, warmup=0, decay="cosine").lines]
    assert cosine == pytest.approx([1.0, *(0.5 * (1 - math.cos(math.pi * (10 - k) / 9)) for k in range(1, 10))])


def test_gradients_are_clipped_to_the_bound(lm):
    """Gradient (3, 4) has norm 5; clipped to 1 it is (0.6, 0.8), which SGD with rate 1 subtracts."""
    weight = torch.nn.Parameter(torch.zeros(2))

    def loss(batch, done):
        return LossTerms((weight * torch.tensor([3.0, 4.0])).sum(), {})

    curve = fit(lm, [weight], torch.optim.SGD([weight], lr=1.0), [0], loss, warmup=0)
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.6, -0.8]))
    assert curve.lines[0]["gradient_norm"] == pytest.approx(5)


def test_divergence_is_named_with_its_step(lm):
    weight = torch.nn.Parameter(torch.ones(1))

    def loss(batch, done):
        return LossTerms((weight * (float("nan") if batch == 2 else 1.0)).sum(), {})

    with pytest.raises(Diverged, match="step 3 of 5"):
        fit(lm, [weight], torch.optim.SGD([weight], lr=0.1), range(5), loss, warmup=0)


def test_nothing_to_learn_from_is_an_error(lm):
    with pytest.raises(UsageError, match="holds no pair"):
        teach(lm, [], Teaching(1, 1e-3), key="k")


def test_curves_are_thinned_but_keep_their_ends(lm):
    weight = torch.nn.Parameter(torch.ones(1))
    run = fit(
        lm, [weight], torch.optim.SGD([weight], lr=0.0), range(250), lambda b, d: LossTerms(weight.sum(), {}), warmup=0
    )
    steps = run.columns(100)["step"]
    assert (len(steps), steps[0], steps[-1]) == (100, 1, 250)


def test_the_trace_has_both_ends_and_ten_steps_between(lm):
    weight = torch.nn.Parameter(torch.ones(1))
    curve = fit(
        lm, [weight], torch.optim.SGD([weight], lr=1.0), range(20), lambda b, d: LossTerms(weight.sum(), {}),
        warmup=0, clip=0, probe=lambda: {"weight": weight.item()},
    )  # fmt: skip
    columns = curve.columns()
    assert columns["trace step"] == list(range(0, 21, 2))
    assert columns["trace weight"][0] == 1.0
    assert curve.probing > 0
    assert columns["trace weight"] == sorted(columns["trace weight"], reverse=True)


def test_sampled_labels_follow_the_model(lm):
    """For labels drawn from the model the expected cross-entropy is the mean entropy of its predictions."""
    batch = collate([lm.encode(p.prompt, p.answer) for p in PAIRS], lm.pad)
    generator = torch.Generator().manual_seed(0)
    draws = [sampled_cross_entropies(lm.model, [[batch]], generator) for _ in range(200)]
    where = batch.labels != -100
    logp = lm.model(batch.ids, attention_mask=batch.mask).logits[where].log_softmax(-1)
    entropy = -(logp.exp() * logp).sum(-1).mean()
    assert draws[0][1] == int(where.sum())
    assert sum(loss.item() for losses, _ in draws for loss in losses) / 200 == pytest.approx(entropy.item(), rel=0.005)


@pytest.mark.parametrize("curvature", ["gauss-newton-bartlett", "hutchinson"])
def test_every_curvature_source_is_fed(lm, tmp_path, curvature):
    """Without an estimate h would stay 0 and Sophia would be sign descent: every weight clipped at every step."""
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    context = Context(lm, items, items, "t", 0, tmp_path, lambda *_: None)
    parts = [load("objective", "graddiff")(), load("optimizer", "sophia")(lr=1e-4, gamma=50.0, curvature=curvature)]
    curve, _ = unlearn(context, *parts, load("scope", "all")(), Schedule(epochs=1, batch_size=3))
    assert 0 < curve.lines[-1]["clipped"] < 0.999


@pytest.mark.parametrize(
    ("gamma", "said"),
    [
        (1e-30, r"^100\.00% of the weights were clipped over the run, so its steps were those of sign descent\. "
         r"Take a larger gamma than 1e-30: --set METHOD\.gamma=NUMBER\.$"),
        (1e12, r"^0\.00% of the weights were clipped over the run, so its steps stayed far below the learning rate\. "
         r"Take a smaller gamma than 1e\+12"),
        (50.0, None),
    ],
)  # fmt: skip
def test_a_run_that_clips_nearly_all_or_nothing_says_so(lm, tmp_path, gamma, said):
    items = [lm.encode(p.prompt, p.answer) for p in PAIRS]
    context = Context(lm, items, items, "t", 0, tmp_path, lambda *_: None)
    parts = [load("objective", "graddiff")(), load("optimizer", "sophia")(lr=1e-4, gamma=gamma), load("scope", "mlp")()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unlearn(context, *parts, Schedule(epochs=2, batch_size=3))
    assert len(caught) == (said is not None)
    assert said is None or re.search(said, str(caught[0].message))


def test_the_share_that_is_warned_of_is_the_runs_mean(recwarn):
    """One step at the edge is no run at the edge; an optimizer that says nothing of clipping is not judged."""
    _warn_of_clipping([1.0, 1.0, 1.0, 0.9], SimpleNamespace(gamma=2.0))
    _warn_of_clipping([], SimpleNamespace())
    assert not recwarn.list
    with pytest.warns(UserWarning, match="99.75%"):
        _warn_of_clipping([1.0, 1.0, 1.0, 0.99], SimpleNamespace(gamma=2.0))


def test_long_answers_come_in_smaller_batches(lm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 32 long answers have more logits than an accelerator holds; the numbers stay the same."""
    items = [lm.encode(p.prompt, p.answer * (1 + n)) for n, p in enumerate(PAIRS)]
    whole, seen = answer_logps(lm, items), list[int]()
    vocabulary = lm.model.config.vocab_size
    monkeypatch.setattr("bench.train.batches.LOGITS", 20 * vocabulary)
    collated = collate
    monkeypatch.setattr(
        "bench.train.batches.collate",
        lambda some, *how: seen.append(sum(len(i.answer) for i in some)) or collated(some, *how),
    )
    torch.testing.assert_close(answer_logps(lm, items), whole, rtol=1e-5, atol=1e-5)
    longest = max(len(i.answer) for i in items)
    assert len(seen) > 1 and max(seen) <= max(20, longest) and sum(seen) == sum(len(i.answer) for i in items)
