"""Single weights of a tensor, trained in a parameter of their own and put in their places whenever it is used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn


class _Put(torch.autograd.Function):
    """A tensor with some of its numbers replaced, in its own memory; the gradient is that of these numbers alone.

    What is written again and again before an optimizer steps is the same, so no graph that is alive sees it change:
    therefore `.data`, which counts no versions. Differentiable twice.
    """

    @staticmethod
    def forward(ctx: Any, frozen: Tensor, compact: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape = compact.shape
        whole = frozen.data
        _write(whole, compact, places)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:  # type: ignore[override]
        (places,) = ctx.saved_tensors
        return None, gradient.reshape(-1).index_select(0, places).view(ctx.shape), None


def place(model: nn.Module, frozen: nn.Parameter, mask: Tensor) -> tuple[nn.Parameter, Callable[[], None]]:
    """Have some weights of a parameter train, in every module that holds it.

    Args:
        model: the model, altered in place.
        frozen: its parameter, contiguous.
        mask: bool, of the parameter's shape; true where a weight may move.

    Returns:
        The weights that may move, in the order of their places: [1, k] where the parameter has two axes or more, so
        that they decay as its weights do, else [k]. And what writes them back and leaves the model as it was built; it
        warns where no module that holds them was run, as where another reads its weights (Mamba).
    """
    flat = mask.to(frozen.device).reshape(-1).nonzero().squeeze(1)
    values = frozen.detach().view(-1).index_select(0, flat)
    compact = nn.Parameter(values[None] if frozen.ndim >= 2 else values)
    places = flat.int() if frozen.numel() < 1 << 31 else flat
    owners = [(module, name) for module in model.modules() for name, p in module._parameters.items() if p is frozen]
    before = [vars(module).get("forward") for module, _ in owners]
    used: set[int] = set()
    for module, name in owners:
        module.forward = partial(_with_weights, module.forward, module, name, compact, places, used)

    def restore() -> None:
        if not used:
            names = {id(m): n for n, m in model.named_modules()}
            where = " and ".join(f"{names[id(module)]}.{name}" for module, name in owners)
            warnings.warn(
                f"{len(flat)} weights of {where} may move and did not: their module was never run.", stacklevel=2
            )
        for (module, _), forward in zip(owners, before, strict=True):
            vars(module).pop("forward", None)
            if forward is not None:
                module.forward = forward
        _write(frozen.data, compact, places)

    return compact, restore


def _with_weights(
    whole: Callable[..., Any],
    module: nn.Module,
    name: str,
    compact: nn.Parameter,
    places: Tensor,
    used: set[int],
    *args: Any,
    **kw: Any,
) -> Any:
    """A module's forward pass in which its parameter holds what was learnt so far; no closure, so that models copy."""
    used.add(id(module))
    vars(module)[name] = _Put.apply(cast(Tensor, getattr(module, name)), compact, places)
    try:
        return whole(*args, **kw)
    finally:
        del vars(module)[name]


@torch.no_grad()
def _write(whole: Tensor, compact: Tensor, places: Tensor) -> None:
    whole.view(-1).index_copy_(0, places.long(), compact.detach().view(-1))
