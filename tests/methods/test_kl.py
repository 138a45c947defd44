"""KL minimisation: the divergence by hand and at the start model, and SOUL's cross-entropy beside it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.contracts import Labels
from methods.kl import KL, cross_entropy, divergence, kl_minimisation

FAIR = torch.zeros(1, 2)
ODD = torch.tensor([[math.log(3.0), 0.0]])
"""Logits of (1/2, 1/2) and of (3/4, 1/4)."""


def test_divergence() -> None:
    """KL((1/2, 1/2) || (3/4, 1/4)) = (log(2/3) + log 2) / 2 = log(4/3) / 2, and the other way it is
    3/4 log(3/2) + 1/4 log(1/2): the start model comes first."""
    assert divergence(ODD, FAIR).item() == pytest.approx(math.log(4 / 3) / 2)
    assert divergence(FAIR, ODD).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_souls_cross_entropy() -> None:
    """H((3/4, 1/4), (1/2, 1/2)) = log 2; H((1/2, 1/2), (3/4, 1/4)) = -(log(3/4) + log(1/4)) / 2."""
    assert cross_entropy(ODD, FAIR).item() == pytest.approx(math.log(2))
    assert cross_entropy(FAIR, ODD).item() == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def logits(seed: int, rows: int = 3) -> Tensor:
    return 3 * torch.randn(rows, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_at_the_start_only_a_divergence_rests(seed: int) -> None:
    """KL is 0 with gradient p - p_start = 0. Cross-entropy is H(p_start) > 0 and its gradient in the logits is that of
    the entropy, -p (log p + H): it pulls on from where it should hold."""
    start = logits(seed)
    now = start.clone().requires_grad_()
    found = divergence(now, start)
    (slope,) = torch.autograd.grad(found.sum(), now)
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-12, rtol=0)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-12, rtol=0)
    other = cross_entropy(now, start)
    p, log_p = start.softmax(-1), start.log_softmax(-1)
    entropy = -(p * log_p).sum(-1)
    torch.testing.assert_close(other, entropy)
    (pull,) = torch.autograd.grad(other.sum(), now)
    torch.testing.assert_close(pull, -p * (log_p + entropy[:, None]))
    assert float(pull.abs().max()) > 0.01


@given(st.integers(0, 99), st.integers(100, 199))
def test_it_is_what_torch_and_the_identity_say(a: int, b: int) -> None:
    """The gradient of KL in the logits is p - p_start, it is never below 0, and H(p, q) = KL(p || q) + H(p)."""
    now, start = logits(a).requires_grad_(), logits(b)
    found = divergence(now, start)
    (slope,) = torch.autograd.grad(found.sum(), now)
    torch.testing.assert_close(slope, (now.softmax(-1) - start.softmax(-1)).detach())
    assert float(found.detach().min()) > 0
    entropy = -(now.softmax(-1) * now.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(cross_entropy(now, start), divergence(start, now) + entropy)


def step(now: Tensor, start: Tensor) -> SimpleNamespace:
    forget = Labels(torch.tensor([[-1.0, -2.0], [-3.0, 0.0]]), torch.tensor([[True, True], [True, False]]))
    return SimpleNamespace(
        forget=forget,
        logits=lambda which: {"retain": now}[which],
        start_logits=lambda which: {"retain": start}[which],
        mean=lambda which, values: {"retain": values.mean()}[which],
    )


@pytest.mark.parametrize(("distance", "far"), [("kl", math.log(4 / 3) / 4), ("cross-entropy", math.log(2))])
def test_loss(distance: str, far: float) -> None:
    """CE(forget) is 2. Of two retain labels one has moved from (1/2, 1/2) to (3/4, 1/4) and one has not: the mean KL is
    half of log(4/3) / 2, the mean cross-entropy log 2 as H(p, uniform) is for every p."""
    given = step(torch.cat([ODD, FAIR]), torch.cat([FAIR, FAIR]))
    terms = KL(forget_weight=0.5, retain_weight=3.0, distance=distance).loss(given)
    assert terms.total.item() == pytest.approx(-0.5 * 2 + 3 * far)
    assert {name: part.item() for name, part in terms.parts.items()} == pytest.approx({"forget": 2, "retain": far})


def test_gradients() -> None:
    """Analytic against numerical, in double precision."""
    now, start = logits(0, 2).requires_grad_(), logits(1, 2)
    assert torch.autograd.gradcheck(lambda x: divergence(x, start), (now,))
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, start), (now,))
    f, r = (torch.randn((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: kl_minimisation(a, b, 0.3, 2.0), (f, r))


def test_extremes_stay_finite() -> None:
    """A token that float32 gives the probability 0, under either model."""
    for now, start in ((ODD * 1e4, FAIR), (FAIR, ODD * 1e4), (ODD * 1e4, -ODD * 1e4)):
        moved = now.clone().requires_grad_()
        for distance in (divergence, cross_entropy):
            found = distance(moved, start)
            (slope,) = torch.autograd.grad(found.sum(), moved)
            assert bool(torch.isfinite(found).all()) and bool(torch.isfinite(slope).all())
