"""How many single weights a scope lets move, and which: the largest of a score, exactly so many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bench.api import Selection, param
from bench.errors import BenchError, UsageError
from bench.model.architecture import neuron_axis
from methods.simu import Simu

if TYPE_CHECKING:
    from bench.contracts import Context

_PIECE = 1 << 26  # numbers that are counted at once


@dataclass(frozen=True)
class Budget:
    """A share of the weights, or so many.

    `ratio` is the share of *trainable* weights, as in WAGLE's code (0.95 in its TOFU configurations of GradDiff and
    NPO, 0.8 for PO, 0.4 and 0.6 for WMDP): at 0.95 nearly all move, and scopes differ by the twentieth that is left
    out. `weights` names a number instead, so that scopes of different kinds can be compared.
    """

    looks_at: ClassVar[tuple[str, ...]] = ()  # the sets whose gradients it takes

    ratio: float = param(0.95, "share of the weights that may move", gt=0, le=1, search=[0.5, 0.8, 0.95])
    weights: str = param("", "how many may move, in place of ratio: a whole number, or simu for as many as SIMU moves")

    def __post_init__(self) -> None:
        if self.weights not in ("", "simu") and not (self.weights.isdecimal() and int(self.weights)):
            raise UsageError(f"weights must be simu or a whole number above 0, not '{self.weights}'")

    def pool(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """The tensors whose weights are chosen from, by name: all of the model's, each once."""
        return dict(model.named_parameters())

    def how_many(self, total: int, of_simu: Callable[[], int]) -> int:
        """How many of `total` weights may move.

        Raises:
            BenchError: none, or more than there are.
        """
        said = {"": lambda: round(self.ratio * total), "simu": of_simu}
        count = said.get(self.weights, lambda: int(self.weights))()
        if not 0 < count <= total:
            raise BenchError(f"{count} of {total} weights cannot move. Take another --set METHOD.ratio or .weights.")
        return count

    def count(self, context: Context) -> int:
        """How many weights may move of this model."""
        total = sum(p.numel() for p in self.pool(context.lm.model).values())
        return self.how_many(total, lambda: moved(context.lm.model, Simu().select(context)))


def moved(model: PreTrainedModel, selection: Selection) -> int:
    """How many weights a selection lets move."""

    def of(name: str, chosen: Tensor | None) -> int:
        whole = model.get_parameter(name)
        if chosen is None or chosen.dtype == torch.bool:
            return whole.numel() if chosen is None else int(chosen.sum())
        layer = model.get_submodule(name.rpartition(".")[0])
        return chosen.numel() * (whole.numel() // whole.shape[neuron_axis(layer)])

    return sum(of(name, chosen) for name, chosen in selection.items())


def largest(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Masks of the `count` largest scores over all tensors; of equal ones the first in order.

    The smallest score that is in is found by counting (`nth_largest`), so nothing is sorted and no copy of all scores
    is made.

    Args:
        scores: float32, none negative.
        count: from 1 to the number of scores.

    Raises:
        BenchError: a score is not finite.
    """
    bound, above = nth_largest(scores.values(), count)
    left = count - above
    masks = {}
    for name, values in scores.items():
        bits = _bits(values)
        mask = bits > bound
        if left:
            ties = (bits == bound).nonzero().squeeze(1)[:left]
            mask[ties] = True
            left -= len(ties)
        masks[name] = mask.view(values.shape)
    return masks


def median(values: Iterable[Tensor]) -> float:
    """The median of all numbers of float32 tensors, none negative; of an even number of them the larger of the two."""
    tensors = list(values)
    bits, _ = nth_largest(tensors, (sum(t.numel() for t in tensors) + 1) // 2)
    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))


def nth_largest(values: Iterable[Tensor], n: int) -> tuple[int, int]:
    """The n-th largest of all numbers as the bits of a float32, and how many are larger.

    Floats that are not negative are in the order of their bits, so two histograms find it: of the upper 16 bits, then
    of the lower 16 of those that share the upper ones.

    Raises:
        BenchError: a number is not finite, or negative.
    """
    tensors = list(values)
    if not all(bool((torch.isfinite(t) & (t >= 0)).all()) for t in tensors):
        raise BenchError("a score of the weights is not a finite number, so they cannot be ranked.")
    upper, above = _bin((bits >> 16 for bits in _pieces(tensors)), 1 << 15, n)
    same = (bits[bits >> 16 == upper] & 0xFFFF for bits in _pieces(tensors))
    lower, more = _bin(same, 1 << 16, n - above)
    return upper << 16 | lower, above + more


def _bin(pieces: Iterable[Tensor], size: int, n: int) -> tuple[int, int]:
    """The bin that the n-th largest of whole numbers below `size` falls into, and how many are in those above."""
    counts = torch.zeros(size, dtype=torch.int64)
    for piece in pieces:
        counts += torch.bincount(piece, minlength=size).cpu()
    down = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(down, n))
    return size - 1 - place, int(down[place] - counts[size - 1 - place])


def _pieces(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    for tensor in tensors:
        yield from _bits(tensor).split(_PIECE)


def _bits(values: Tensor) -> Tensor:
    return (values + 0.0).contiguous().view(torch.int32).view(-1)  # -0.0 + 0.0 is 0.0
