"""Objectives over whole predictions: UNDIAL, CE-U, ME and PDU, by hand, in their limits, and whatever the padding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.api import Schedule
from bench.conformance import toy
from bench.contracts import Batch, Encoded, Labels, Step
from bench.needs import sets_of
from bench.registry import load
from bench.train.batches import collate
from bench.train.steps import Passes
from bench.train.unlearning import unlearn
from methods.ceu import CEU, cross_entropy_without
from methods.me import MaximiseEntropy, distance_to_uniform
from methods.pdu import PDU, dual_ascent, logit_margin
from methods.undial import UNDIAL, adjusted_distillation

LOG = math.log
RETAIN = Labels(torch.tensor([[-0.5, 0.0], [-0.5, -1.5]]), torch.tensor([[True, False], [True, True]]))
"""Cross-entropy 2.5 / 3."""


def batch(answers: Sequence[list[int]], pad: int = 0) -> Batch:
    """A batch of answers, with `pad` more places than the longest needs."""
    made = collate([Encoded([1], answer) for answer in answers], 0)
    filled = torch.nn.functional.pad(made.filled, (0, pad))
    return made._replace(filled=filled, slots=filled.flatten().nonzero().squeeze(1))


def step(answers: Sequence[list[int]], given: Mapping[tuple[str, str], Any], pad: int = 0, **more: Any) -> Step:
    """A step that has been run: what was asked of the model is `given`, by what and set."""
    passes = Passes(None, lambda *_: torch.empty(0), lambda name: NotImplemented)
    ran = {("labels", "retain"): RETAIN} | dict(given)
    return Step(None, {"forget": batch(answers, pad)}, 0.0, passes, _ran=ran, **more)  # type: ignore[arg-type]


def slope(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), at)[0]


def random_logits(rows: int = 5, size: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that take gradients, others, and answers."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(rows, size, dtype=torch.float64, generator=generator) * 2 for _ in range(2))
    return ours.requires_grad_(), theirs, torch.randint(size, (rows,), generator=generator)


# -- UNDIAL ----------------------------------------------------------------------------------------------------------


def test_undial() -> None:
    """Start logits 0, true token 0, beta = log 2: q = (1/2, 1, 1) / 2.5 = (.2, .4, .4). At p = (1/2, 1/4, 1/4) the
    cross-entropy is .2 log 2 + .8 log 4 = 1.8 log 2, its gradient p - q = (.3, -.15, -.15), over two labels."""
    logits = torch.tensor([[LOG(2), 0, 0], [LOG(2), 0, 0]], requires_grad=True)
    given = {("logits", "forget"): logits, ("start logits", "forget"): torch.zeros(2, 3)}
    terms = UNDIAL(beta=LOG(2)).loss(step([[0, 0]], given))
    assert terms.total.item() == pytest.approx(1.8 * LOG(2)) and set(terms.parts) == {"forget"}
    torch.testing.assert_close(slope(terms.total, logits), torch.tensor([[0.3, -0.15, -0.15]] * 2) / 2)
    whole = UNDIAL(beta=LOG(2), retain_weight=3.0).loss(step([[0, 0]], given))
    assert whole.total.item() == pytest.approx(1.8 * LOG(2) + 2.5)


def test_undial_without_beta_rests_at_the_start_model() -> None:
    """There p = q: the value is the entropy, here log 4, and the gradient 0."""
    logits = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    found = adjusted_distillation(logits, logits.detach(), torch.tensor([1, 3]), 0.0)
    torch.testing.assert_close(found.detach(), torch.full((2,), LOG(4), dtype=torch.float64))
    assert slope(found, logits).abs().max() < 1e-15


def test_undial_with_all_of_the_logit_taken_is_ceu_at_the_start() -> None:
    """As beta grows q is what the start model says of the other tokens, which is CE-U's target at the start."""
    logits, _, answers = random_logits()
    far = slope(adjusted_distillation(logits, logits.detach(), answers, 1e4), logits)
    torch.testing.assert_close(far, slope(cross_entropy_without(logits, answers), logits))


def test_retain_items_are_drawn_only_where_they_weigh() -> None:
    assert sets_of(UNDIAL()) == ("forget",) and sets_of(UNDIAL(retain_weight=1.0)) == ("forget", "retain")


# -- CE-U ------------------------------------------------------------------------------------------------------------


def test_ceu() -> None:
    """p = (1/2, 1/4, 1/4), true token 0: -log(1 - 1/2) = log 2; the gradient is p - q with q = (0, 1/2, 1/2), that is
    (1/2, -1/4, -1/4). The first label of both answers is left alone, so one of three remains."""
    logits = torch.tensor([[9.0, 0, 0], [LOG(2), 0, 0], [0, 9.0, 0]], requires_grad=True)
    given = {("logits", "forget"): logits}
    terms = CEU().loss(step([[0, 0], [1]], given))
    assert terms.total.item() == pytest.approx(LOG(2)) and set(terms.parts) == {"forget"}
    torch.testing.assert_close(slope(terms.total, logits), torch.tensor([[0, 0, 0], [0.5, -0.25, -0.25], [0, 0, 0]]))
    everything = LOG(2) + 2 * math.log1p(math.exp(9) / 2)
    assert CEU(skip=0).loss(step([[0, 0], [1]], given)).total.item() == pytest.approx(everything / 3)


def test_ceus_gradient_is_that_of_the_cross_entropy_with_a_constant_target() -> None:
    """As the paper writes it: the target is the detached softmax without the true token."""
    logits, _, answers = random_logits()
    target = logits.detach().scatter(-1, answers[:, None], -torch.inf).softmax(-1)
    cross_entropy = torch.nn.functional.cross_entropy(logits, target, reduction="sum")
    torch.testing.assert_close(slope(cross_entropy_without(logits, answers), logits), slope(cross_entropy, logits))


def test_ceu_is_finite_and_its_gradient_bounded_however_sure_a_model_is() -> None:
    """|p - q| is at most 1 in every coordinate; ascent's gradient would be 0 for the sure and for no one else."""
    logits = torch.tensor([[1e4, 0, 0], [-1e4, 0, 0]], requires_grad=True)
    found = cross_entropy_without(logits, torch.tensor([0, 0]))
    assert found.tolist() == pytest.approx([1e4 - LOG(2), 0])
    torch.testing.assert_close(slope(found, logits), torch.tensor([[1, -0.5, -0.5], [0, 0, 0]]))


def test_ceu_of_answers_that_are_empty_but_for_their_end() -> None:
    """Nothing is left of them, which is no loss and no division by 0."""
    logits = torch.zeros(2, 3, requires_grad=True)
    assert CEU().loss(step([[0], [1]], {("logits", "forget"): logits})).total.item() == 0


# -- maximising entropy ----------------------------------------------------------------------------------------------


def test_me() -> None:
    """p = (1/2, 1/4, 1/4) has entropy 1.5 log 2, so KL(p || u) = log 3 - 1.5 log 2; the other way round it is the mean
    of -log p, 5/3 log 2, less log 3, with gradient p - 1/3. The gradient of the former is p (log p + H)."""
    logits = torch.tensor([[LOG(2), 0, 0]], requires_grad=True)
    given = {("logits", "forget"): logits}
    terms = MaximiseEntropy(forget_weight=2.0, retain_weight=3.0).loss(step([[0]], given))
    assert terms.parts["forget"].item() == pytest.approx(LOG(3) - 1.5 * LOG(2), rel=1e-5)
    assert terms.total.item() == pytest.approx(2 * (LOG(3) - 1.5 * LOG(2)) + 2.5, rel=1e-5)
    torch.testing.assert_close(slope(terms.total, logits), 2 * LOG(2) * torch.tensor([[0.25, -0.125, -0.125]]))
    other = MaximiseEntropy(as_in="closer-look").loss(step([[0]], given)).parts["forget"]
    assert other.item() == pytest.approx(5 / 3 * LOG(2) - LOG(3), rel=1e-5)
    torch.testing.assert_close(slope(other, logits), torch.tensor([[1 / 6, -1 / 12, -1 / 12]]))


@pytest.mark.parametrize("forwards", [True, False])
def test_me_rests_at_the_uniform_distribution(forwards: bool) -> None:
    logits = torch.full((2, 7), 3.0, dtype=torch.float64, requires_grad=True)
    found = distance_to_uniform(logits, forwards)
    assert found.detach().abs().max() < 1e-14 and slope(found, logits).abs().max() < 1e-15


def test_me_of_a_sure_model() -> None:
    """KL(p || u) is log V there and without gradient, which is why a sure model moves slowly; the other grows."""
    logits = torch.tensor([[200.0, 0, 0, 0]], requires_grad=True)
    found = distance_to_uniform(logits)
    assert found.item() == pytest.approx(LOG(4)) and slope(found, logits).abs().max() == 0
    assert distance_to_uniform(logits, False).item() == pytest.approx(150 - LOG(4))


# -- PDU -------------------------------------------------------------------------------------------------------------


def pdu_step(pad: int = 0, logits: Tensor | None = None) -> Step:
    logits = torch.tensor([[3.0, 0, 0], [0, 0, 0], [1, 1, -2]]) if logits is None else logits
    return step([[0], [1, 2]], {("logits", "forget"): logits}, pad, state={"multiplier": torch.tensor(10.0)})


def test_pdu() -> None:
    """Largest less mean logit: 3 - 1, 0 and 1 - 0, squared 4, 0 and 1. Answers have means 4 and 1/2, their mean is
    2.25 (over labels it would be 5/3); the retain set adds 10 (2.5 / 3 - 0.5). The gradient of the first answer is
    2 m (e_max - 1/3) / 2 = 2 (2/3, -1/3, -1/3)."""
    logits = torch.tensor([[3.0, 0, 0], [0, 0, 0], [1, 0, -1]], requires_grad=True)
    terms = PDU(bound=0.5).loss(pdu_step())
    assert terms.parts["forget"].item() == 2.25
    assert terms.total.item() == pytest.approx(2.25 + 10 * (2.5 / 3 - 0.5))
    found = slope(PDU(bound=0.5).loss(pdu_step(logits=logits)).total, logits)
    torch.testing.assert_close(found[0], torch.tensor([4, -2, -2]) / 3)


def test_the_multiplier_follows_the_bound() -> None:
    """From 1 at rate 2 and bound 0.5: a loss of 1 gives 2, of 0 gives 1, of 0 again 0, and of 0 once more 0."""
    seen, multiplier = [], torch.tensor(1.0)
    for loss in (1.0, 0.0, 0.0, 0.0, 0.75):
        multiplier = dual_ascent(multiplier, torch.tensor(loss), 0.5, 2.0)
        seen.append(multiplier.item())
    assert seen == [2, 1, 0, 0, 0.5]


def test_the_multiplier_rests_while_it_warms_up_and_then_moves_once_a_step(tmp_path) -> None:
    """Six steps of a run with half of them warm-up: its curve shows the multiplier that each step was run with."""
    context = toy.context(tmp_path)
    objective = PDU(bound=0.1, multiplier=1.0, dual_step=0.5)
    parts = objective, load("optimizer", "adamw")(lr=3e-3), load("scope", "all")()
    curve, _ = unlearn(context, *parts, Schedule(epochs=3, batch_size=2), trace=0)
    expected = [1.0, 1.0, 1.0, 1.0]  # step 4 is the first that is done at half of the run, and tells the fifth
    for line in curve.lines[3:5]:
        expected.append(max(0.0, expected[-1] + 0.5 * (line["retain"] - 0.1)))
    assert [line["multiplier"] for line in curve.lines] == pytest.approx(expected, rel=1e-5)
    assert expected[-1] != 1.0


def test_the_multiplier_goes_where_the_loss_is() -> None:
    """It begins on the CPU; the loop stacks what a step reports, which must all be on one device."""
    elsewhere = torch.device("meta")
    given = {
        ("logits", "forget"): torch.zeros(3, 3, device=elsewhere),
        ("labels", "retain"): Labels(RETAIN.logp.to(elsewhere), RETAIN.mask.to(elsewhere)),
    }
    made = step([[0], [1, 2]], given, state={"multiplier": torch.tensor(10.0)})
    terms = PDU().loss(replace(made, batches={"forget": made.batches["forget"].to(elsewhere)}))
    assert {term.device for term in (terms.total, *terms.parts.values())} == {elsewhere}


# -- all of them -----------------------------------------------------------------------------------------------------


def test_gradients() -> None:
    """Analytic against numerical, in double precision."""
    logits, start, answers = random_logits()
    assert torch.autograd.gradcheck(lambda z: adjusted_distillation(z, start, answers, 1.5), (logits,))
    assert torch.autograd.gradcheck(lambda z: cross_entropy_without(z, answers), (logits,))
    assert torch.autograd.gradcheck(distance_to_uniform, (logits,))
    assert torch.autograd.gradcheck(lambda z: distance_to_uniform(z, False), (logits,))
    assert torch.autograd.gradcheck(logit_margin, (logits,))


@pytest.mark.parametrize("objective", [UNDIAL(), CEU(), CEU(skip=0), MaximiseEntropy(), PDU()], ids=repr)
def test_the_parts_of_a_batch_add_up_to_it(objective: Any) -> None:
    """Three answers of 2, 1 and 3 labels, two of them in one part and one in another, which weigh 2/3 and 1/3. Each
    divides by that share of all 6 labels, 4 and 2, though both have 3; the retain set's term is the same in both."""
    answers = [[0, 1], [2], [3, 1, 0]]
    logits, start, _ = (t.float() for t in random_logits(6))

    def total(rows: slice, labels: slice, **more: Any) -> Tensor:
        given = {("logits", "forget"): logits[labels], ("start logits", "forget"): start[labels]}
        return objective.loss(step(answers[rows], given, state={"multiplier": torch.tensor(2.0)}, **more)).total

    first = total(slice(2), slice(3), totals={"forget": 4.0})
    second = total(slice(2, 3), slice(3, 6), totals={"forget": 2.0})
    torch.testing.assert_close(2 / 3 * first + 1 / 3 * second, total(slice(3), slice(6)))


@pytest.mark.parametrize("objective", [UNDIAL(), CEU(), MaximiseEntropy(), PDU()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("pad", [1, 7])
def test_padding_is_ignored(objective: Any, pad: int) -> None:
    logits, start, _ = (t.float() for t in random_logits(6))
    given = {("logits", "forget"): logits, ("start logits", "forget"): start}

    def total(pad: int) -> Tensor:
        made = step([[0, 1], [2], [3, 1, 0]], given, pad, state={"multiplier": torch.tensor(2.0)})
        return objective.loss(made).total

    torch.testing.assert_close(total(pad), total(0))
