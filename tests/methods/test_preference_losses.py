"""Preference and refusal losses: values derived by hand, limits, gradients, and indifference to padding."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import Labels
from methods.dpo import DPO, AltPO, IdkDPO, preference
from methods.idk import IDK
from methods.npo import negative_preference
from methods.npo_mean import MeanNPO, mean_negative_preference
from methods.simnpo import SimNPO, simple_negative_preference
from tests.methods.made import labels


def step(pad: int = 0) -> SimpleNamespace:
    """Forget sums -3 and -3 of 2 and 1 labels, retain CE 2.5 / 3, alternative sums -4 and -3 of 1 and 3 labels."""
    return SimpleNamespace(
        forget=labels([-1.0, -2.0], [-3.0], pad=pad),
        retain=labels([-0.5], [-0.5, -1.5], pad=pad),
        alternative=labels([-4.0], [-1.0, -1.0, -1.0], pad=pad),
        reference=torch.tensor([-2.0, -4.0]),
        start_logps=lambda which: {"alternative": torch.tensor([-5.0, -5.0])}[which],
    )


RETAIN = 2.5 / 3


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_refusals() -> None:
    """Four labels of -4, -1, -1, -1: CE is 7 / 4, over answers it would be 2.5; the retain set's weighs 3. Neither is
    weighed by its tokens: over the seven labels of both it would be (7 + 2.5) / 7."""
    terms = IDK(retain_weight=3.0).loss(step())
    assert terms.total.item() == pytest.approx(7 / 4 + 3 * RETAIN)
    assert terms.parts["forget"].item() == 7 / 4


@pytest.mark.parametrize("objective", [DPO, IdkDPO, AltPO])
def test_preferences(objective: type[DPO]) -> None:
    """Log-ratios of the alternatives are 1 and 2, of the forget answers -1 and 1: leads of 2 and 1. With beta 0.5 the
    terms are log(1 + e^-1) and log(1 + e^-1/2), their mean times 2 / beta = 4."""
    mean = (softplus(-1.0) + softplus(-0.5)) / 2
    terms = objective(beta=0.5, retain_weight=2.0).loss(step())
    assert terms.parts["forget"].item() == pytest.approx(4 * mean)
    assert terms.total.item() == pytest.approx(4 * mean + 2 * RETAIN)
    plain = objective(beta=0.5, retain_weight=0.0, scaled=False).loss(step())
    assert plain.total.item() == pytest.approx(mean) and "retain" not in plain.parts


def test_preferences_ask_for_other_answers() -> None:
    """Plausible, refusing, sampled; of all three the start model's log-probability."""
    kinds = [{need.what: need.of or need.sets for need in objective.needs} for objective in (DPO, IdkDPO, AltPO)]
    assert [kind["alternatives"] for kind in kinds] == ["plausible", "refusal", "sampled"]
    assert all(kind["logps"] == ("alternative",) for kind in kinds)


@pytest.mark.parametrize("beta", [1e-6, 0.1, 5.0])
def test_preferences_start_as_ascent_and_descent(beta: float) -> None:
    """At lead 0: (2 / beta) log 2, and d/dl of -(2 / beta) log sigmoid(beta l) is -2 sigmoid(-beta l) = -1, shared by
    three pairs; without the factor it is -beta / 2. As beta falls to 0 that holds for any lead: for |beta l| < 1e-5
    2 sigmoid is 1 to 1e-5."""
    preferred, rejected = (torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = preference(preferred, rejected, beta, scaled=True)
    up, down = torch.autograd.grad(loss, (preferred, rejected))
    assert loss.item() == pytest.approx(2 / beta * math.log(2))
    torch.testing.assert_close(up, torch.full_like(up, -1 / 3))
    torch.testing.assert_close(down, -up)
    (plain,) = torch.autograd.grad(preference(preferred, rejected, beta, scaled=False), preferred)
    torch.testing.assert_close(plain, up * beta / 2)
    lead = torch.tensor([-7.0, 0.5, 9.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(preference(lead, torch.zeros_like(lead), 1e-6, scaled=True), lead)
    torch.testing.assert_close(slope, torch.full_like(slope, -1 / 3), rtol=1e-5, atol=0)


def test_a_preference_for_nothing_is_npo() -> None:
    """Where the preferred answers' log-ratios are 0 what is left is NPO's loss, factor and all."""
    logp, start = torch.tensor([-3.0, -9.0]), torch.tensor([-2.0, -4.0])
    found = preference(torch.zeros(2), logp - start, 0.3, scaled=True)
    torch.testing.assert_close(found, negative_preference(logp, start, 0.3))


def test_simnpo() -> None:
    """Log-probabilities a token are -1.5 and -3. With beta 2 and margin 1 the sigmoids are of 3 - 1 and 6 - 1, and
    -log sigmoid(x) = log(1 + e^-x); 2 / beta is 1. The weights are 0.5 and 3."""
    want = (softplus(-2.0) + softplus(-5.0)) / 2
    terms = SimNPO(beta=2.0, margin=1.0, forget_weight=0.5, retain_weight=3.0).loss(step())
    assert terms.parts["forget"].item() == pytest.approx(want)
    assert terms.total.item() == pytest.approx(0.5 * want + 3 * RETAIN)


def test_simnpo_weighs_an_answer_one_where_the_margin_says() -> None:
    """The slope by log p is 2 sigmoid(beta a + margin) / n a pair, a the log-probability a token: at
    a = -margin / beta = -2 and n = 4 that is 1 / 4, for two pairs 1 / 8."""
    logp = torch.tensor([-8.0, -8.0], dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 4])
    (slope,) = torch.autograd.grad(simple_negative_preference(logp, lengths, beta=1.5, margin=3.0), logp)
    torch.testing.assert_close(slope, torch.full_like(slope, 1 / 8))


@given(st.lists(st.tuples(st.floats(-30, 0), st.integers(1, 9)), min_size=1, max_size=5))
def test_simnpo_tends_to_ascent_a_token_as_beta_falls(answers: list[tuple[float, int]]) -> None:
    """2 sigmoid(x) - 1 = tanh(x / 2), below 1.5e-5 for x = 1e-6 * 30; NPO tends to ascent on the sum instead."""
    logp = torch.tensor([a for a, _ in answers], dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([n for _, n in answers])
    (slope,) = torch.autograd.grad(simple_negative_preference(logp, lengths, 1e-6, 0.0), logp)
    (ascent,) = torch.autograd.grad((logp / lengths).mean(), logp)
    torch.testing.assert_close(slope, ascent, rtol=1.6e-5, atol=0)


def test_npo_by_the_token() -> None:
    """Log-ratios are -1 over two labels and 1 over one: -0.5, -0.5, 1 by label. With beta 2 the terms are
    log(1 + e^-1), twice, and log(1 + e^2); 2 / beta is 1, and the mean is over three labels, not two answers."""
    want = (2 * softplus(-1.0) + softplus(2.0)) / 3
    terms = MeanNPO(beta=2.0, retain_weight=0.5).loss(step())
    assert terms.parts["forget"].item() == pytest.approx(want)
    assert terms.total.item() == pytest.approx(want + 0.5 * RETAIN)


def soul(forget: Labels, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """What SOUL's code computes: one log-ratio for the batch, the mean over its tokens."""
    ratio = (forget.sums() - reference).sum() / forget.mask.sum()
    return negative_preference(ratio, torch.zeros(()), beta)


def test_npo_by_the_token_starts_as_souls() -> None:
    """Same value, (2 / beta) log 2, and same gradient, that of -CE, at the start model and wherever ratios agree."""
    given = step().forget
    logp = given.logp.double().requires_grad_()
    forget = Labels(logp, given.mask)
    for shift in (0.0, -0.75):  # of each label
        reference = (forget.sums() + shift * forget.counts()).detach()
        ours, theirs = mean_negative_preference(forget, reference, 0.1), soul(forget, reference, 0.1)
        torch.testing.assert_close(ours, theirs)
        (a,), (b,) = torch.autograd.grad(ours, logp), torch.autograd.grad(theirs, logp)
        torch.testing.assert_close(a, b)
        if shift == 0:
            assert ours.item() == pytest.approx(20 * math.log(2))
            torch.testing.assert_close(a[forget.mask], torch.full((3,), 1 / 3, dtype=torch.float64))


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 4)), min_size=1, max_size=4), st.floats(0.05, 2))
def test_npo_by_the_token_is_little_above_souls(ratios: list[tuple[float, int]], beta: float) -> None:
    """(2 / beta) log(1 + e^(beta r)) is convex with a second derivative of at most beta / 2, so a mean of it exceeds
    its value at the mean by 0 to beta / 4 times the variance of r, over labels as all means here."""
    forget = labels(*([r] * n for r, n in ratios))
    gap = mean_negative_preference(forget, torch.zeros(len(ratios)), beta) - soul(
        forget, torch.zeros(len(ratios)), beta
    )
    variance = forget.logp[forget.mask].double().var(correction=0)
    assert -1e-4 <= gap.item() <= beta / 4 * variance.item() + 1e-4


def test_gradients() -> None:
    """Analytic against numerical, in double precision."""
    torch.manual_seed(0)
    a, b = (-torch.rand(4, dtype=torch.float64).mul(5).requires_grad_() for _ in range(2))
    token = -torch.rand(2, 3, dtype=torch.float64).mul(5).requires_grad_()
    mask, start = torch.tensor([[True] * 3, [True, False, False]]), torch.tensor([-4.0, -1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, y: preference(x, y, 0.7, scaled=True), (a, b))
    assert torch.autograd.gradcheck(lambda x: simple_negative_preference(x, torch.arange(1, 5), 0.7, 0.3), (a,))
    assert torch.autograd.gradcheck(lambda x: mean_negative_preference(Labels(x * mask, mask), start, 0.7), (token,))


ALL = [IDK(), DPO(), IdkDPO(), AltPO(), SimNPO(), MeanNPO()]


@pytest.mark.parametrize("objective", ALL, ids=lambda o: type(o).__name__)
def test_padding_is_ignored(objective: Any) -> None:
    for pad in (1, 5):
        torch.testing.assert_close(objective.loss(step(pad)).total, objective.loss(step()).total)


@pytest.mark.parametrize("objective", ALL, ids=lambda o: type(o).__name__)
def test_a_retain_set_without_weight_is_not_run(objective: Any) -> None:
    bare = vars(step()) | {"retain": None}
    terms = type(objective)(retain_weight=0.0).loss(SimpleNamespace(**bare))
    assert list(terms.parts) == ["forget"]


@pytest.mark.parametrize("objective", [DPO(), SimNPO(), MeanNPO()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("sign", [-1, 1])
def test_extremes_stay_finite(objective: Any, sign: int) -> None:
    """Where nothing is likely any more, or was not at the start: float32 has no e^1000."""
    far = torch.tensor([sign * 1e5, sign * 1e5])
    given = vars(step()) | {"reference": far, "start_logps": lambda which: -far, "forget": labels([-1e4], [-1e4])}
    given["forget"].logp.requires_grad_()
    loss = objective.loss(SimpleNamespace(**given)).total
    (slope,) = torch.autograd.grad(loss, given["forget"].logp)
    assert bool(torch.isfinite(loss)) and bool(torch.isfinite(slope).all())
