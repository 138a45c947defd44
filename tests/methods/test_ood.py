"""The out-of-distribution gate and the orthogonality of O3 (arXiv:2407.10223), on planted numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.errors import BenchError
from methods import _ood
from methods._orthogonal import overlap

LAYERS, WIDTH = 2, 12
ONE_CLASS: dict[str, Any] = {"quantile": 0.95, "steepness": 10.0, "seen": False}


def planted(count: int, seed: int, shift: float = 0.0) -> Tensor:
    """Prompts [count, LAYERS, WIDTH] of unit Gaussians around (3, ..., 3), moved by `shift` in every direction."""
    return 3 + shift + torch.randn(count, LAYERS, WIDTH, generator=torch.Generator().manual_seed(seed)).double()


def dealt(count: int) -> list[int]:
    return np.random.default_rng(0).permutation(count).tolist()


def one_class(pooled: Tensor, **changed: Any) -> _ood.Detector:
    return _ood.one_class(pooled, dealt(len(pooled)), **{**ONE_CLASS, **changed})


def allowed(share: float, count: int) -> float:
    """The share and three binomial deviations."""
    return share + 3 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("count", [6, 40])
def test_the_distance_is_that_of_the_shrunk_covariance(count: int) -> None:
    """Fewer prompts than dimensions, and more: the axes stand for the whole inverse."""
    known, asked = planted(count, 1), planted(3, 2)
    found = _ood.features(_ood.describe(known, 0.1), asked)
    for layer in range(LAYERS):
        spread = torch.cov(known[:, layer].T, correction=0)
        shrunk = 0.9 * spread + 0.1 * spread.trace() / WIDTH * torch.eye(WIDTH).double()
        apart = asked[:, layer] - known[:, layer].mean(0)
        expected = (apart @ torch.linalg.inv(shrunk) * apart).sum(1)
        torch.testing.assert_close(found[:, layer], expected)
        cosines = torch.nn.functional.cosine_similarity(asked[:, None, layer], known[None, :, layer], dim=-1)
        torch.testing.assert_close(found[:, LAYERS + layer], cosines.max(1).values)


def test_held_out_prompts_are_not_told_by_themselves() -> None:
    known = planted(20, 1)
    inside, outside = _ood.features(_ood.describe(known, 0.1), known), _ood.held_out(known, dealt(20))
    assert inside[:, LAYERS:].min() > 1 - 1e-9
    assert outside[:, LAYERS:].max() < 1 - 1e-4
    assert (outside[:, :LAYERS] > inside[:, :LAYERS]).all()
    first = [i for i in range(20) if i not in dealt(20)[0 :: _ood.FOLDS]]
    some = dealt(20)[0]
    torch.testing.assert_close(outside[some], _ood.features(_ood.describe(known[first], 0.1), known[[some]])[0])


def test_a_near_prompt_is_raised_by_both_terms() -> None:
    """O3's code lowers it by its cosine and raises it by its distance."""
    weights, _ = _ood.typical(_ood.held_out(planted(30, 1), dealt(30)))
    assert (weights[:LAYERS] < 0).all()
    assert (weights[LAYERS:] > 0).all()
    torch.testing.assert_close(weights[LAYERS:] / weights[:LAYERS], torch.full((LAYERS,), -2000.0).double())


def test_prompts_of_the_request_miss_the_gate_no_more_often_than_the_quantile_says() -> None:
    missed = [(one_class(planted(60, s)).gate(planted(60, 100 + s)) < 0.5).double().mean() for s in range(8)]
    assert torch.stack(missed).mean() <= allowed(0.05, 8 * 60)
    loose = [(one_class(planted(60, s), quantile=0.5).gate(planted(60, 100 + s)) < 0.5).double() for s in range(8)]
    assert 0.3 < torch.cat(loose).mean() <= allowed(0.5, 8 * 60)


def test_the_gate_is_open_for_the_request_and_shut_far_away() -> None:
    detector = one_class(planted(60, 1))
    assert detector.gate(planted(60, 2)).median() > 0.99
    assert detector.gate(planted(60, 2, shift=4.0)).max() < 1e-6
    doubled = one_class(planted(60, 1), steepness=20.0)
    torch.testing.assert_close(doubled.score(planted(9, 2)), 2 * detector.score(planted(9, 2)))


def test_what_was_fitted_to_is_let_in_alone_where_it_sets_the_threshold() -> None:
    known = planted(60, 1)
    detector = one_class(known, seen=True)
    assert 0.95 <= (detector.gate(known) > 0.5).double().mean() < 1
    assert (detector.gate(planted(60, 2)) > 0.5).double().mean() < 0.1
    assert (one_class(known).gate(planted(60, 2)) > 0.5).double().mean() > 0.85


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_held_out_retain_prompts_open_the_gate_no_more_often_than_the_quantile_says(shift: float) -> None:
    """Even where nothing tells the two apart."""
    opened = []
    for seed in range(8):
        forget, retain = planted(60, seed), planted(60, 50 + seed, shift)
        fitted = _ood.logistic(forget, retain, dealt(60), quantile=0.95)
        opened.append((fitted.gate(planted(60, 100 + seed, shift)) > 0.5).double())
        assert (fitted.weights[:LAYERS] <= 0).all()
        assert (fitted.weights[LAYERS:] >= 0).all()
        assert fitted.score(forget).mean() >= fitted.score(planted(60, 200 + seed)).mean()
        if shift:
            assert (fitted.gate(planted(60, 200 + seed)) > 0.5).double().mean() > 0.9
    assert torch.cat(opened).mean() <= allowed(0.05, 8 * 60)


def test_logistic_regression_is_at_its_optimum() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(n, 3, generator=generator).double() + m for n, m in ((30, 1.0), (50, 0.0)))
    weights, bias = _ood.regress(one, other, torch.ones(3), 0.1)
    spread = torch.cat([one, other]).std(0)

    def loss(w: Tensor, b: Tensor) -> Tensor:
        fit = torch.nn.functional.softplus(-(one @ w + b)).mean() + torch.nn.functional.softplus(other @ w + b).mean()
        return fit / 2 + 0.05 * (w * spread).square().sum()

    slopes = torch.autograd.functional.jacobian(loss, (weights, bias))
    assert max(float(s.abs().max()) for s in slopes) < 1e-9


def test_a_weight_of_the_wrong_sign_is_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(n, 3, generator=generator).double() + m for n, m in ((30, 1.0), (50, 0.0)))
    weights, bias = _ood.regress(one, other, torch.tensor([1.0, -1.0, 1.0]), 0.1)
    fewer, same = _ood.regress(one[:, [0, 2]], other[:, [0, 2]], torch.ones(2), 0.1)
    assert weights[1] == 0
    torch.testing.assert_close(torch.stack([*weights[[0, 2]], bias]), torch.stack([*fewer, same]))


def test_the_published_gate_has_the_values_of_its_formula() -> None:
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    z = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
    expected = torch.tensor([0.9997, 0.985, 0.764, 0.340, 0.176, 0.122])
    for side in (z, -z):
        torch.testing.assert_close(_ood.published(side, zero, zero, one), expected, atol=6e-4, rtol=0)
    apart = _ood.published(torch.tensor([-1.0, 3.0]), zero, torch.tensor(2.0), one)
    assert apart[0] == pytest.approx(float(apart[1]))


def test_the_published_gate_never_shuts() -> None:
    detector = _ood.of_mixture(planted(60, 1), dealt(60))
    far = detector.gate(planted(60, 2, shift=4.0))
    torch.testing.assert_close(far, torch.full_like(far, 1 / (1 + math.exp(2))), atol=1e-6, rtol=0)
    assert detector.gate(planted(60, 2)).median() > 0.7


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_prompts_are_refused(count: int) -> None:
    with pytest.raises(BenchError, match=f"has {count} prompts"):
        one_class(planted(count, 1))


def test_prompts_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(BenchError, match="no two that differ"):
        one_class(planted(1, 1).expand(5, -1, -1))


# -- orthogonality -----------------------------------------------------------------------------------------------------


def rows(*chosen: int) -> Tensor:
    """Orthonormal rows of a fixed rotation of 8 dimensions."""
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
    return rotation[list(chosen)]


def test_the_overlap_of_orthogonal_row_spaces_is_zero() -> None:
    now = {"q": rows(0, 1), "k": rows(0, 1)}
    assert overlap(now, [{"q": 3 * rows(2, 3), "k": rows(4)}], 1).item() == pytest.approx(0, abs=1e-10)
    tilted = {"q": rows(2, 3) + 0.1 * rows(0, 1), "k": rows(4)}
    assert overlap(now, [tilted], 1).item() == pytest.approx(2 * 0.01, rel=1e-4)


def test_the_overlap_of_a_copy_is_the_rank_for_each_module() -> None:
    now = {f"layers.{layer}.{name}": rows(0, 1, 2) for layer in range(2) for name in "qkv"}
    assert overlap(now, [now], 2).item() == pytest.approx(3 * 3)  # rank 3, three modules a layer
    assert overlap(now, [now, now], 2).item() == pytest.approx(2 * 3 * 3)


def test_without_an_earlier_request_there_is_nothing_to_overlap_with() -> None:
    assert overlap({"q": rows(0)}, [], 2).item() == 0


def test_the_overlap_pulls_apart_along_its_gradient() -> None:
    now = rows(0, 1).clone().requires_grad_()
    for _ in range(200):
        (slope,) = torch.autograd.grad(overlap({"q": now}, [{"q": rows(1, 2)}], 1), now)
        now = (now - 0.1 * slope).detach().requires_grad_()
    torch.testing.assert_close(now.detach(), torch.stack([rows(0)[0], torch.zeros(8)]), atol=1e-5, rtol=0)
