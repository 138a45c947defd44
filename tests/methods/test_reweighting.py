"""Ascent with weighted tokens: values and gradients derived by hand, limits, finiteness, indifference to padding."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.contracts import Labels
from methods.graddiff import GradDiff
from methods.satimp import SatImp, reweighted_ascent
from methods.wga import WGA, confident_ascent


def labels(*answers: list[float], pad: int = 0) -> Labels:
    """Log-probabilities of answers of different lengths, padded on the right by `pad` more than needed."""
    width = max(map(len, answers)) + pad
    logp = torch.tensor([[*a, *[0.0] * (width - len(a))] for a in answers], dtype=torch.float64)
    mask = torch.tensor([[True] * len(a) + [False] * (width - len(a)) for a in answers])
    return Labels(logp, mask)


def step(pad: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        forget=labels([-math.log(2), -math.log(4)], [-math.log(2)], pad=pad),
        retain=labels([-0.5], [-0.5, -1.5], pad=pad),
    )


def slope(loss: Tensor, logp: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logp)[0]


def test_wga() -> None:
    """p = 1/2, 1/4, 1/2 at beta 2: weights 1/4, 1/16, 1/4 on log 2, 2 log 2, log 2, so the mean is -(1/4 + 1/8 + 1/4)
    log 2 / 3; CE(retain) = 2.5 / 3."""
    terms = WGA(beta=2.0, forget_weight=3.0, retain_weight=0.5).loss(step())
    assert terms.parts["forget"].item() == pytest.approx(-0.625 * math.log(2) / 3)
    assert terms.total.item() == pytest.approx(-0.625 * math.log(2) + 0.5 * 2.5 / 3)


def test_satimp() -> None:
    """p = 1/2, 1/4, 1/2 at powers 2 and 1: weights 1/8, 3/64, 1/8, the mean is -(1/8 + 3/32 + 1/8) log 2 / 3."""
    terms = SatImp(saturation=2.0, importance=1.0, forget_weight=3.0, retain_weight=0.5).loss(step())
    assert terms.parts["forget"].item() == pytest.approx(-11 / 32 * math.log(2) / 3)
    assert terms.total.item() == pytest.approx(-11 / 32 * math.log(2) + 0.5 * 2.5 / 3)


@given(st.lists(st.floats(-30, -1e-3), min_size=1, max_size=6), st.floats(0, 4), st.floats(0, 4))
def test_gradients_are_those_of_a_cross_entropy_with_constant_weights(row: list[float], a: float, b: float) -> None:
    """d/dlogp of mean w logp is w / n, whatever w is made of; through the weights it would be another."""
    logp = torch.tensor([row], dtype=torch.float64, requires_grad=True)
    p, given = logp.detach().exp(), Labels(logp, torch.ones(1, len(row), dtype=torch.bool))
    torch.testing.assert_close(slope(confident_ascent(given, a), logp), p**a / len(row))
    torch.testing.assert_close(
        slope(reweighted_ascent(given, a, b), logp), p**a * (1 - p) ** b / len(row), rtol=1e-6, atol=1e-12
    )


def test_limits() -> None:
    """Without its powers either is gradient difference, SatImp without importance is WGA, and WGA at beta 1 descends
    along the mean probability itself."""
    plain = GradDiff(forget_weight=0.3, retain_weight=2.0).loss(step()).total.item()
    weights = {"forget_weight": 0.3, "retain_weight": 2.0}
    assert WGA(beta=0.0, **weights).loss(step()).total.item() == pytest.approx(plain)
    assert SatImp(saturation=0.0, importance=0.0, **weights).loss(step()).total.item() == pytest.approx(plain)
    wga = WGA(beta=3.0, **weights).loss(step()).total.item()
    assert SatImp(saturation=3.0, importance=0.0, **weights).loss(step()).total.item() == pytest.approx(wga)
    given = step().forget
    logp = given.logp.requires_grad_()
    torch.testing.assert_close(
        slope(confident_ascent(given, 1.0), logp)[given.mask],
        slope(given.mean(logp.exp()), logp)[given.mask],
    )


def test_the_weight_is_largest_where_it_is_said_to_be() -> None:
    """w = p^5 (1 - p) has w' = p^4 (5 - 6 p), so its largest value is (5/6)^5 / 6 = 0.06698 at p = 5/6."""
    logp = torch.linspace(1e-6, 1 - 1e-6, 100_001, dtype=torch.float64).log()[None].requires_grad_()
    given = Labels(logp, torch.ones_like(logp, dtype=torch.bool))
    weight = slope(reweighted_ascent(given, 5.0, 1.0), logp)[0] * logp.numel()
    assert float(logp.detach()[0, int(weight.argmax())].exp()) == pytest.approx(5 / 6, abs=1e-4)
    assert float(weight.max()) == pytest.approx(0.06698, abs=1e-5)


@pytest.mark.parametrize("objective", [WGA(), SatImp(), SatImp(importance=0.5)], ids=repr)
def test_finite_where_a_model_is_sure_and_where_it_has_forgotten(objective: WGA | SatImp) -> None:
    logp = torch.tensor([[0.0, -1e-8, -1e4]], requires_grad=True)
    given = Labels(logp, torch.ones(1, 3, dtype=torch.bool))
    terms = objective.loss(SimpleNamespace(forget=given, retain=given))
    assert math.isfinite(terms.total.item()) and bool(slope(terms.total, logp).isfinite().all())


@pytest.mark.parametrize("objective", [WGA(), SatImp()], ids=lambda o: type(o).__name__)
@given(pad=st.integers(1, 9))
def test_padding_is_ignored(objective: WGA | SatImp, pad: int) -> None:
    torch.testing.assert_close(objective.loss(step(pad)).total, objective.loss(step()).total)
