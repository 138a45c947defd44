"""Which single weights a scope chooses: exact counts, the limits of WAGLE's score, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.contracts import Context, Encoded
from bench.errors import BenchError, UsageError
from bench.model.architecture import blocks
from bench.registry import load
from bench.run.compose import compose
from bench.run.site import weights_moved
from bench.train.batches import collate, label_logps
from bench.train.masking import trainable
from methods._budget import largest, median, moved, nth_largest
from methods._gradients import input_norms, mean_gradient, spaced
from methods.importance import LayerRandomWeights, RandomWeights, Snip, Wanda, largest_of_rows
from methods.simu import Simu
from methods.wagle import Wagle, attribution, balanced
from tests.methods.test_scopes import items

Tiny = Callable[..., PreTrainedModel]
EVERYWHERE = ("wagle", "random-weights", "layer-random-weights", "magnitude", "gradient", "snip")


def context(model: nn.Module, cache: Path, seed: int = 0, **sets: Any) -> Context:
    lm: Any = SimpleNamespace(model=model, device=torch.device("cpu"))
    forget, retain = sets.get("forget", items(0)), sets.get("retain", items(1, 9))
    return Context(lm, forget, retain, "test", seed, cache, lambda what, done, total: None)


def total(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# -- exactly so many -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 700, 1499, 1500])
def test_the_nth_largest_is_that_of_sorting(n: int) -> None:
    """Of numbers of all magnitudes, with many ties, zeros of both signs and the smallest floats there are."""
    random = torch.Generator().manual_seed(0)
    numbers = torch.randn(1200, generator=random).abs() ** 20
    numbers[:300] = numbers[300:600]
    tensors = [numbers.view(30, 40), torch.zeros(100), -torch.zeros(100), torch.full((100,), 1e-44)]
    ordered = torch.cat([t.flatten() for t in tensors]).sort(descending=True).values
    bits, above = nth_largest(tensors, n)
    assert torch.tensor(bits, dtype=torch.int32).view(torch.float32) == ordered[n - 1]
    assert above == int((ordered > ordered[n - 1]).sum())


def test_of_equal_scores_the_first_are_in() -> None:
    scores = {"a": torch.tensor([[1.0, 3.0], [2.0, 2.0]]), "b": torch.tensor([2.0, 2.0, 5.0])}
    masks = largest(scores, 4)
    assert masks["a"].tolist() == [[False, True], [True, True]]
    assert masks["b"].tolist() == [False, False, True]
    assert largest({"a": torch.zeros(5)}, 2)["a"].tolist() == [True, True, False, False, False]


def test_medians() -> None:
    assert median([torch.tensor([1.0, 9.0]), torch.tensor([3.0])]) == 3
    assert median([torch.tensor([1.0, 2.0, 3.0, 4.0])]) == 3


def test_scores_that_are_no_numbers() -> None:
    with pytest.raises(BenchError, match="not a finite number"):
        largest({"a": torch.tensor([1.0, float("nan")])}, 1)


@pytest.mark.parametrize("ratio", [0.001, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", EVERYWHERE)
def test_exactly_the_share_that_is_asked_for(tiny: Tiny, tmp_path: Path, name: str, ratio: float) -> None:
    """A tied embedding counts once; what is chosen is what trains."""
    model = tiny("llama")
    selection = load("scope", name)(ratio=ratio).select(context(model, tmp_path))
    assert moved(model, selection) == round(ratio * total(model))
    with trainable(model, selection) as parameters:
        assert sum(p.numel() for p in parameters) == round(ratio * total(model))


@pytest.mark.parametrize("name", [*EVERYWHERE, "wanda"])
def test_so_many_and_as_many_as_simu(tiny: Tiny, tmp_path: Path, name: str) -> None:
    model, scope = tiny("llama"), load("scope", name)
    here = context(model, tmp_path)
    assert moved(model, scope(weights="1234").select(here)) == 1234
    want = moved(model, Simu().select(here))
    with trainable(model, Simu().select(here)) as parameters:
        assert want == sum(p.numel() for p in parameters)
    assert moved(model, scope(weights="simu").select(here)) == want


@pytest.mark.parametrize("name", EVERYWHERE)
def test_all_of_them_is_the_scope_all(tiny: Tiny, tmp_path: Path, name: str) -> None:
    """Ratio 1 hands the optimizer the very parameters that `all` does, in the same order."""
    model = tiny("llama")
    selection = load("scope", name)(ratio=1.0).select(context(model, tmp_path))
    with trainable(model, selection) as parameters:
        assert [id(p) for p in parameters] == [id(p) for p in model.parameters()]


def test_none_of_them_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ratio must be greater than 0"):
        compose("wagle-npo", "tiny", {"ratio": "0"})
    with pytest.raises(UsageError, match="simu or a whole number above 0, not '0'"):
        compose("wagle-npo@weights=0", "tiny")
    here = context(tiny("llama"), tmp_path)
    with pytest.raises(BenchError, match=r"0 of \d+ weights cannot move"):
        RandomWeights(ratio=1e-9).select(here)
    with pytest.raises(BenchError, match=r"999999 of \d+ weights cannot move"):
        RandomWeights(weights="999999").select(here)


# -- gradients -------------------------------------------------------------------------------------------------------


def test_gradients_are_of_the_mean_over_items_of_mean_losses(tiny: Tiny, family: str, tmp_path: Path) -> None:
    """Answers of different lengths; the model's flags, mode and gradients are as they were."""
    model = tiny(family).train()
    asked = [*items(0), Encoded([5, 6, 7], [8, 1]), Encoded([9], [*range(2, 12), 1])]
    first = next(iter(model.parameters()))
    first.requires_grad_(False)
    found = mean_gradient(context(model, tmp_path), asked)
    assert model.training and not first.requires_grad and all(p.grad is None for p in model.parameters())
    model.eval().requires_grad_(True)
    labels = [label_logps(model, collate([item], 0)) for item in asked]
    torch.stack([one.cross_entropy() for one in labels]).mean().backward()
    for name, p in model.named_parameters():
        want = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(found[name], want, rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_are_kept_by_content(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    one = mean_gradient(context(model, tmp_path), items(0))
    here = context(model, tmp_path)
    again = mean_gradient(here, items(0))
    assert all(torch.equal(one[name], again[name]) for name in one) and len([*tmp_path.iterdir()]) == 1
    assert here.spent.spared == here.spent.seconds["gradients"] > 0
    mean_gradient(here, items(1))
    with torch.no_grad():
        model.model.norm.weight[0] += 1
    mean_gradient(here, items(0))
    assert len([*tmp_path.iterdir()]) == 3


def test_retain_items_are_spread_evenly() -> None:
    many = [Encoded([i], [i]) for i in range(9)]
    assert [item.prompt[0] for item in spaced(many, 3)] == [0, 4, 8]
    assert spaced(many, 20) == many and spaced([], 3) == []


def test_empty_sets(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="of 0 items none has a label"):
        Wagle().select(context(tiny("llama"), tmp_path, retain=[]))
    with pytest.raises(BenchError, match="of 1 items none has a label"):
        Snip().select(context(tiny("llama"), tmp_path, forget=[Encoded([], [1])]))


# -- WAGLE -----------------------------------------------------------------------------------------------------------


def three(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    weight, forget, retain = (torch.randn(2000, generator=random) for _ in range(3))
    return weight, forget, retain


def top(scores: Tensor, count: int = 400) -> Tensor:
    return largest({"": scores.abs()}, count)[""]


def test_without_retain_gradients_it_is_snip() -> None:
    weight, forget, _ = three()
    assert torch.equal(attribution(weight, forget, torch.zeros(2000), 1e-3), (weight * forget).abs())


def test_the_limits_of_mu_are_snip_and_the_product_of_gradients() -> None:
    weight, forget, retain = three()
    assert torch.equal(top(attribution(weight, forget, retain, 1e9)), top(weight * forget))
    assert torch.equal(top(attribution(weight, forget, retain, 1e-9)), top(retain * forget))
    assert not torch.equal(top(weight * forget), top(retain * forget))


def test_scaling_a_loss() -> None:
    """A forget loss c times as large has the same mask; a retain loss c times as large is mu / c, to the bit at 2^k."""
    weight, forget, retain = three()
    one = top(attribution(weight, forget, retain, 0.5))
    assert torch.equal(one, top(attribution(weight, 8 * forget, retain, 0.5)))
    assert torch.equal(attribution(weight, forget, 8 * retain, 0.5), attribution(weight, forget, retain, 0.5 / 8))


def test_by_default_both_terms_are_equally_large(tiny: Tiny, tmp_path: Path) -> None:
    """mu* is the ratio of the medians; a retain loss 4 times as large has 4 times the mu, and so the same mask."""
    weight, _, retain = three()
    assert balanced([weight], [retain]) == pytest.approx(float(retain.abs().median() / weight.abs().median()), rel=0.01)
    assert balanced([weight], [4 * retain]) == 4 * balanced([weight], [retain])
    with pytest.raises(BenchError, match="no mu balances"):
        balanced([weight], [torch.zeros(5)])
    scores, terms = Wagle().scores(context(tiny("llama"), tmp_path))
    assert 0.1 < terms.sensitivity / terms.correction < 10
    assert {name: s.shape for name, s in scores.items()} == {n: p.shape for n, p in tiny("llama").named_parameters()}


def test_a_mu_at_which_one_term_decides_is_said(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"WAGLE at mu = 1e-08 ranks by its correction alone: .* is .*, that of"):
        Wagle(mu=1e-8).select(context(tiny("llama"), tmp_path))


class Planted(nn.Module):
    """y = a x_f + b x_r, in disjoint weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.tensor([2.0]))

    def loss(self, forget: float, retain: float) -> Tensor:
        return (self.a * forget + self.b * retain - 1).square().sum()


def test_a_planted_weight_is_found() -> None:
    """Only a is used on the forget set, only b on the retain set: SNIP's and WAGLE's first weight is a."""
    model = Planted()
    forget, retain = (
        torch.cat([torch.zeros(1) if g is None else g for g in torch.autograd.grad(loss, (model.a, model.b))])
        for loss in (model.loss(1.0, 0.0), model.loss(0.0, 1.0))
    )
    weight = torch.cat([model.a, model.b]).detach()
    assert top(weight * forget, 1).tolist() == [True, False]
    for mu in (1e-3, 1.0, 1e3):
        assert top(attribution(weight, forget, retain, mu), 1).tolist() == [True, False]


# -- what it is compared with ----------------------------------------------------------------------------------------


def test_random_weights_are_the_seeds_own_and_even(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    one, same, other = (RandomWeights(ratio=0.5).select(context(model, tmp_path, seed)) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    shares = [float(mask.float().mean()) for mask in one.values() if mask.numel() > 1000]
    assert all(abs(share - 0.5) < 4 * 0.5 / 1000**0.5 for share in shares)


def test_layer_matched_random_weights_are_as_many_in_each_tensor(tiny: Tiny, tmp_path: Path) -> None:
    here = context(tiny("llama"), tmp_path)
    found, drawn = (cls(ratio=0.2).select(here) for cls in (Wagle, LayerRandomWeights))
    counts = {name: int(mask.sum()) for name, mask in found.items() if mask.any()}
    assert {name: int(mask.sum()) for name, mask in drawn.items()} == counts
    assert len(set(counts.values())) > 5
    name = "model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(found[name], drawn[name])


def test_scores_by_hand(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    here = context(model, tmp_path)
    gradient = torch.cat([g.flatten() for g in mean_gradient(here, here.forget).values()])
    weight = torch.cat([p.detach().flatten() for p in model.parameters()])
    for name, scores in {"magnitude": weight, "gradient": gradient, "snip": weight * gradient}.items():
        masks = load("scope", name)(ratio=0.3).select(here)
        chosen = torch.cat([mask.flatten() for mask in masks.values()])
        assert float(scores.abs()[chosen].min()) >= float(scores.abs()[~chosen].max()), name


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_wanda_takes_the_same_share_of_every_output(tiny: Tiny, tmp_path: Path, family: str) -> None:
    """|W| times the norm of its input over all tokens, of linear maps in the layers alone; by hand for one of them."""
    model = tiny(family)
    here = context(model, tmp_path)
    masks = Wanda(ratio=0.3).select(here)
    linear = sum(model.get_parameter(name).numel() for name in masks)
    prefix = blocks(model)[0]
    assert all(name.startswith(prefix) and model.get_parameter(name).ndim == 2 for name in masks)
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.3 * linear)
    axis = 0 if family == "gpt2" else 1
    kept = {name: mask.sum(axis).unique() for name, mask in masks.items()}
    assert all(int(k.max() - k.min()) <= 1 for k in kept.values())
    name = f"{prefix}.1." + ("mlp.c_fc.weight" if family == "gpt2" else "mlp.up_proj.weight")
    seen: list[Tensor] = []
    handle = model.get_submodule(name.removesuffix(".weight")).register_forward_hook(lambda m, x, y: seen.append(x[0]))
    with torch.no_grad():
        for item in here.forget:
            model(torch.tensor([(item.prompt + item.answer)[:-1]]))
    handle.remove()
    norms = torch.cat([x.flatten(0, 1) for x in seen]).norm(dim=0)
    torch.testing.assert_close(input_norms(here, here.forget)[name], norms)
    weight = model.get_parameter(name).detach()
    scores = weight.abs() * (norms[:, None] if family == "gpt2" else norms)
    row, mask = (t.t()[3] if family == "gpt2" else t[3] for t in (scores, masks[name]))
    assert float(row[mask].min()) >= float(row[~mask].max())


def test_rows_add_up_to_the_number_asked_for() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0]] * 4)
    masks = [largest_of_rows(scores, before, 24, 11) for before in (0, 12)]
    assert sum(int(mask.sum()) for mask in masks) == 11
    assert masks[0].sum(1).tolist() == [1, 1, 2, 1]
    assert masks[0][2].tolist() == [True, False, True]
    assert largest_of_rows(torch.zeros(1, 4), 0, 4, 2).tolist() == [[True, True, False, False]]


# -- before there are weights ----------------------------------------------------------------------------------------


def test_what_moves_is_known_from_shapes(tiny: Tiny) -> None:
    config = tiny("llama").config
    site: Any = SimpleNamespace(config=config, dtype=torch.float32)
    everything = total(tiny("llama"))
    assert weights_moved(site, Wagle(ratio=0.25)) == round(0.25 * everything)
    assert weights_moved(site, Wagle(weights="777")) == 777
    assert weights_moved(site, Wagle(weights="simu")) == weights_moved(site, Simu()) > 0
    assert weights_moved(site, Wanda(ratio=0.5)) < 0.5 * everything


def test_numbers_of_a_selection(tiny: Tiny) -> None:
    for family in ("llama", "gpt2"):
        model = tiny(family)
        name = blocks(model)[0] + (".0.mlp.c_proj.weight" if family == "gpt2" else ".0.mlp.down_proj.weight")
        mask = torch.zeros_like(model.get_parameter(name), dtype=torch.bool)
        mask[0, :5] = True
        assert moved(model, {name: torch.tensor([1, 2, 3])}) == 3 * 32
        assert moved(model, {name: None}) == 48 * 32 and moved(model, {name: mask}) == 5
