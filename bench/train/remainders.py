"""Steps of bfloat16 weights that move as float32 weights would.

A bfloat16 is 8 bits of mantissa wide, so a step of 5e-6 on a weight of 0.02 is lost to rounding, every time. Here each
weight has its remainder beside it, 16 bits: the two together are the float32 weight, to the bit, and the optimizer
steps on that one. Weight and remainder take the 4 bytes that a float32 weight takes, the forward pass reads 2 of them,
and gradients are half as large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.errors import BenchError

_BLOCK = 1 << 26  # weights that are float32 at a time
Build = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


class Held(NamedTuple):
    """A bfloat16 weight, the float32 one that the optimizer knows, empty between steps, and the remainder, int16."""

    narrow: nn.Parameter
    wide: nn.Parameter
    remainder: Tensor


class Remainders(torch.optim.Optimizer):
    """Any optimizer of float32 weights, for bfloat16 ones.

    Args:
        params: bfloat16 parameters, each of which keeps its gradient in `.grad`.
        build: makes the optimizer of some parameters; called for groups of them, one of which is float32 at a time.
    """

    def __init__(self, params: Sequence[nn.Parameter], build: Build) -> None:
        super().__init__(params, {})
        self._blocks: list[tuple[list[Held], torch.optim.Optimizer]] = []
        for group in _groups(params):
            wide = [nn.Parameter(p.detach().float()) for p in group]
            optimizer = build(wide)
            members = [Held(p, w, torch.zeros_like(p, dtype=torch.int16)) for p, w in zip(group, wide, strict=True)]
            self._blocks.append((members, optimizer))
            for w in wide:
                w.data = w.new_empty(0)
        self.param_groups = [group for _, optimizer in self._blocks for group in optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Of every block its optimizer's state, and the remainders."""
        return {"blocks": [[optimizer.state_dict(), [held.remainder for held in members]]
                           for members, optimizer in self._blocks]}  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Set all that to what `state_dict` gave."""
        for (members, optimizer), (state, remainders) in zip(self._blocks, state_dict["blocks"], strict=True):
            optimizer.load_state_dict(state)
            for held, remainder in zip(members, remainders, strict=True):
                held.remainder.copy_(remainder)
        self.param_groups = [group for _, optimizer in self._blocks for group in optimizer.param_groups]

    @property
    def estimates_curvature(self) -> bool:
        """Whether the optimizer asks for a curvature estimate, which it would take of weights that nobody runs."""
        return any(getattr(optimizer, "curvature_due", False) for _, optimizer in self._blocks)

    @property
    def clipped(self) -> float:
        """Share of the weights whose last step was clipped, of an optimizer that knows it."""
        counts = [sum(p.numel() for p, _, _ in members) for members, _ in self._blocks]
        shares = [optimizer.clipped for _, optimizer in self._blocks]  # type: ignore[attr-defined]
        return float(sum(n * share for n, share in zip(counts, shares, strict=True)) / sum(counts))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        for members, optimizer in self._blocks:
            with _widened(members):
                optimizer.step()


@contextmanager
def _widened(members: Sequence[Held]) -> Iterator[None]:
    """Within the block the wide weights are there, with their gradients."""
    for narrow, wide, remainder in members:
        wide.data = join(narrow.detach(), remainder)
        wide.grad = None if narrow.grad is None else narrow.grad.float()
    yield
    for narrow, wide, remainder in members:
        for kept, part in zip((narrow, remainder), split(wide.detach()), strict=True):
            kept.copy_(part)
        wide.grad = None
        wide.data = wide.new_empty(0)


def split(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A float32 tensor as its nearest bfloat16 (of two that are as near the larger) and an int16 remainder."""
    bits = weight.contiguous().view(torch.int32)
    upper = (bits + 0x8000) >> 16
    return upper.to(torch.int16).view(torch.bfloat16), (bits - (upper << 16)).to(torch.int16)


def join(narrow: Tensor, remainder: Tensor) -> Tensor:
    """The float32 tensor of which `split` gave the two parts, to the bit."""
    upper = narrow.contiguous().view(torch.int16).to(torch.int32) << 16
    return (upper + remainder.to(torch.int32)).view(torch.float32)


def _groups(params: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Consecutive parameters of at most `_BLOCK` weights together, or of one."""
    group: list[nn.Parameter] = []
    size = 0
    for p in params:
        if group and size + p.numel() > _BLOCK:
            yield group
            group, size = [], 0
        group.append(p)
        size += p.numel()
    if group:
        yield group


def stepping(params: Sequence[nn.Parameter], build: Build) -> torch.optim.Optimizer:
    """The optimizer that `build` makes of `params`, with remainders where they are bfloat16.

    Raises:
        BenchError: they are, and the optimizer estimates curvature by passes of its own.
    """
    if params[0].dtype != torch.bfloat16:
        return build(params)
    made = Remainders(params, build)
    if made.estimates_curvature:
        raise BenchError(
            "with bfloat16 weights no curvature can be estimated beside the step's own gradient. "
            "Take --precision mixed, or --set METHOD.curvature=empirical."
        )
    return made
