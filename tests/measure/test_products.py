"""The faster products give what torch's own give, and leave the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from bench.measure import products
from bench.measure.products import onednn, top


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=4).map(lambda s: (s[0], s[1] * 32)),
        elements=st.sampled_from([0.0, 1.0, 2.0, -np.inf, np.nan]),
        fill=st.just(0.0),
    )
)
def test_top_is_argmax_with_ties_and_nans(scores: np.ndarray) -> None:
    """numpy's argmax, too, is the first of equals and the first NaN; widths with and without whole blocks."""
    assert top(torch.from_numpy(scores)).tolist() == scores.argmax(-1).tolist()


def test_products_agree_and_the_layers_are_put_back() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 32, bias=False))
    x = torch.randn(5, 7, 64)
    with torch.inference_mode():
        plain = model(x)
        with onednn(model):
            torch.testing.assert_close(model(x), plain, rtol=0, atol=1e-5)
            half = model.to(torch.bfloat16)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert all("forward" not in vars(module) for module in model.modules())


def test_products_do_not_depend_on_the_number_of_rows() -> None:
    """Row i of a product with 2 to 300 rows: the same to the bit, which is what batch invariance rests on."""
    torch.manual_seed(0)
    layer, x = nn.Linear(256, 688), torch.randn(300, 256)
    with torch.inference_mode(), onednn(layer):
        whole = layer(x)
        for rows in (16, 17, 31, 64, 100, 256):
            torch.testing.assert_close(layer(x[:rows]), whole[:rows], rtol=0, atol=1e-6)


def test_products_come_in_few_sizes_at_little_waste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size costs half a megabyte for good, so a pass over any number of tokens takes one of few."""
    sizes = {rows: rows + products.filler(rows) for rows in range(1, 2049)}
    assert len(set(sizes.values())) <= 60
    assert all(rows <= size <= 1.25 * rows for rows, size in sizes.items())
    layer, seen = nn.Linear(32, 16), set[int]()
    pointwise = products._pointwise

    def note(x: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.add(x.numel() // 32)
        return pointwise(x, *rest)  # type: ignore[arg-type]

    with torch.inference_mode(), onednn(layer):
        monkeypatch.setattr(products, "_pointwise", note)
        for rows in range(1, 100):
            x = torch.randn(3, rows, 32)
            torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    if seen:  # this PyTorch has such products
        assert seen == {sizes[3 * rows] for rows in range(1, 100)}
