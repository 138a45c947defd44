"""The unlearning losses: values derived by hand, limits, gradients, and indifference to padding."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.ga import GradientAscent, gradient_ascent
from methods.graddiff import GradDiff, gradient_difference
from methods.npo import NPO, negative_preference
from tests.methods.made import labels


def step(pad: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        forget=labels([-1.0, -2.0], [-3.0], pad=pad),
        retain=labels([-0.5], [-0.5, -1.5], pad=pad),
        reference=torch.tensor([-2.0, -4.0]),
    )


def test_gradient_ascent() -> None:
    """Three forget labels of -1, -2, -3: CE is 2, a mean over tokens (over answers it would be 2.25), and L = -2."""
    terms = GradientAscent().loss(step())
    assert terms.total.item() == -2.0 and terms.parts["forget"].item() == 2.0


def test_gradient_difference() -> None:
    """CE(forget) = 2 and CE(retain) = 2.5 / 3, so with weights 0.5 and 3 the loss is -1 + 2.5."""
    terms = GradDiff(forget_weight=0.5, retain_weight=3.0).loss(step())
    assert terms.total.item() == pytest.approx(1.5)
    assert {name: part.item() for name, part in terms.parts.items()} == pytest.approx({"forget": 2, "retain": 2.5 / 3})


def test_npo() -> None:
    """Summed log-probabilities are -3 and -3 against -2 and -4, so the log-ratios are -1 and 1 and, with beta 2, the
    terms are -log sigmoid(2) and -log sigmoid(-2), which differ by 2; the mean is log(1 + e^-2) + 1, times 2 / beta
    = 1. The retain term adds half of 2.5 / 3."""
    want = math.log1p(math.exp(-2.0)) + 1.0
    terms = NPO(beta=2.0, retain_weight=0.5).loss(step())
    assert terms.parts["forget"].item() == pytest.approx(want)
    assert terms.total.item() == pytest.approx(want + 0.5 * 2.5 / 3)


def test_npo_without_a_retain_term_asks_for_no_retain_batch() -> None:
    bare = SimpleNamespace(forget=labels([-1.0]), reference=torch.tensor([-1.0]))
    terms = NPO(retain_weight=0.0).loss(bare)
    assert terms.total.item() == pytest.approx(20 * math.log(2))
    assert {name: part.item() for name, part in terms.parts.items()} == {"forget": terms.total.item()}


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_npo_starts_as_ascent(beta: float) -> None:
    """At p = p_ref: the value is (2 / beta) log 2; d/dr of -(2/beta) log sigmoid(-beta r) is 2 sigmoid(beta r),
    1 at r = 0, so the gradient is that of the mean over answers of the summed log-probability: ascent."""
    logp = torch.tensor([-5.0, -1.0, -7.0], dtype=torch.float64, requires_grad=True)
    loss = negative_preference(logp, logp.detach(), beta)
    (gradient,) = torch.autograd.grad(loss, logp)
    assert loss.item() == pytest.approx(2 / beta * math.log(2))
    torch.testing.assert_close(gradient, torch.full((3,), 1 / 3, dtype=torch.float64))


def test_npo_fades_for_what_is_forgotten() -> None:
    """2 / beta * log(1 + e^(beta r)) and its slope 2 sigmoid(beta r) at beta r = -40 are below 1e-15."""
    logp = torch.tensor([-401.0], dtype=torch.float64, requires_grad=True)
    loss = negative_preference(logp, torch.tensor([-1.0], dtype=torch.float64), beta=0.1)
    assert 0 < loss.item() < 1e-15 and 0 < torch.autograd.grad(loss, logp)[0].item() < 1e-15


@given(st.lists(st.tuples(st.floats(-30, 0), st.floats(-30, 0)), min_size=1, max_size=5))
def test_npo_tends_to_ascent_as_beta_falls(pairs: list[tuple[float, float]]) -> None:
    """2 sigmoid(beta r) - 1 = tanh(beta r / 2), below 1.5e-5 for beta = 1e-6 and |r| <= 30."""
    logp = torch.tensor([p for p, _ in pairs], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([r for _, r in pairs], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(negative_preference(logp, reference, 1e-6), logp)
    (ascent,) = torch.autograd.grad(logp.mean(), logp)
    torch.testing.assert_close(gradient, ascent, rtol=1.6e-5, atol=0)


@given(st.floats(-30, 0), st.floats(-30, 0), st.floats(0.05, 5))
def test_npo_is_bounded_below_and_rises_with_memory(a: float, b: float, beta: float) -> None:
    values = [negative_preference(torch.tensor([x]), torch.tensor([-3.0]), beta).item() for x in sorted((a, b))]
    assert 0 <= values[0] <= values[1]


def test_gradients() -> None:
    """Analytic against numerical, in double precision."""
    torch.manual_seed(0)
    f, r = (torch.randn((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    logp = -torch.rand(4, dtype=torch.float64).mul(5).requires_grad_()
    reference = -torch.rand(4, dtype=torch.float64) * 5
    assert torch.autograd.gradcheck(gradient_ascent, (f,))
    assert torch.autograd.gradcheck(lambda a, b: gradient_difference(a, b, 0.3, 2.0), (f, r))
    assert torch.autograd.gradcheck(lambda x: negative_preference(x, reference, 0.7), (logp,))


@pytest.mark.parametrize("objective", [GradientAscent(), GradDiff(), NPO()], ids=lambda o: type(o).__name__)
@given(pad=st.integers(1, 9))
def test_padding_is_ignored(objective: GradientAscent | GradDiff | NPO, pad: int) -> None:
    torch.testing.assert_close(objective.loss(step(pad)).total, objective.loss(step()).total)
