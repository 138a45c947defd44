"""What WAGLE is compared with, at as many weights: random ones, large ones, those of the forget loss's gradient.

SNIP: Lee et al. 2019, arXiv:1810.02340. Wanda: Sun et al. 2023, arXiv:2306.11695. As baselines of unlearning: Jia et
al. 2024, arXiv:2410.17509. The layer-matched random choice is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bench.api import Selection, param, scope
from methods._budget import Budget, largest
from methods._gradients import input_norms, mean_gradient, projections, spaced
from methods.wagle import Wagle

if TYPE_CHECKING:
    from bench.contracts import Context

_WANDA_ITEMS = 128  # as in the released code


@scope("random-weights")
@dataclass(frozen=True)
class RandomWeights(Budget):
    """Random weights of any tensor, each as likely as another: what any choice has to beat."""

    def select(self, context: Context) -> Selection:
        random = _generator(context)
        draws = {name: _drawn(p, random) for name, p in self.pool(context.lm.model).items()}
        return largest(draws, self.count(context))


@scope("layer-random-weights")
@dataclass(frozen=True)
class LayerRandomWeights(Budget):
    """Random weights, in each tensor as many as WAGLE takes there.

    It tells *which weights* from *which layers*: what WAGLE gains over it is due to the weights themselves.
    """

    looks_at: ClassVar[tuple[str, ...]] = Wagle.looks_at

    mu: float | None = param(None, "mu of the WAGLE that is matched", gt=0)

    def select(self, context: Context) -> Selection:
        found, random = Wagle(self.ratio, self.weights, self.mu).select(context), _generator(context)
        counts = {name: int(mask.sum()) for name, mask in found.items() if mask is not None}
        draws = {name: _drawn(p, random) for name, p in self.pool(context.lm.model).items()}
        return {name: largest({name: draws[name]}, count)[name] for name, count in counts.items() if count}


@scope("magnitude")
@dataclass(frozen=True)
class Magnitude(Budget):
    """The largest |theta|."""

    def select(self, context: Context) -> Selection:
        scores = {name: p.detach().float().cpu().abs() for name, p in self.pool(context.lm.model).items()}
        return largest(scores, self.count(context))


@scope("gradient")
@dataclass(frozen=True)
class Gradient(Budget):
    """The largest |g_f|, g_f the gradient of the mean cross-entropy of the forget items."""

    looks_at: ClassVar[tuple[str, ...]] = ("forget",)

    def select(self, context: Context) -> Selection:
        scores = {name: g.abs() for name, g in mean_gradient(context, context.forget).items()}
        return largest(scores, self.count(context))


@scope("snip")
@dataclass(frozen=True)
class Snip(Budget):
    """The largest |theta g_f|: to first order, what setting the weight to 0 would do to the forget loss."""

    looks_at: ClassVar[tuple[str, ...]] = ("forget",)

    def select(self, context: Context) -> Selection:
        found, weights = mean_gradient(context, context.forget), self.pool(context.lm.model)
        scores = {name: (weights[name].detach().float().cpu() * g).abs() for name, g in found.items()}
        return largest(scores, self.count(context))


@scope("wanda")
@dataclass(frozen=True)
class Wanda(Budget):
    """The largest |W_ij| ||X_j||_2 of every output i, X_j what input j is on the tokens of at most 128 forget items.

    Linear maps of the decoder layers alone, all else is frozen, so `ratio` is a share of *their* weights. Each output
    has the same share of its inputs, rounded so that all add up to the number asked for.
    """

    def pool(self, model: PreTrainedModel) -> dict[str, Tensor]:
        return {name: model.get_parameter(name) for name in projections(model)}

    def select(self, context: Context) -> Selection:
        model, count = context.lm.model, self.count(context)
        norms, maps = input_norms(context, spaced(context.forget, _WANDA_ITEMS)), projections(model)
        total = sum(p.numel() for p in self.pool(model).values())
        masks, before = {}, 0
        for name, weight in self.pool(model).items():
            turned = isinstance(maps[name], Conv1D)  # [inputs, outputs]
            rows = (weight.t() if turned else weight).detach().float().cpu().abs() * norms[name]
            mask = largest_of_rows(rows, before, total, count)
            masks[name] = mask.t().contiguous() if turned else mask
            before += weight.numel()
        return masks


def largest_of_rows(scores: Tensor, before: int, total: int, count: int) -> Tensor:
    """Mask of the largest of each row, such that over all rows of all tensors `count` of `total` are in.

    A row ends where the share count / total of all weights up to there, rounded down, is in.

    Args:
        scores: [rows, columns]; of equal ones the first is in. before: weights of the tensors that came before.
    """
    rows, columns = scores.shape
    ends = torch.tensor([(before + columns * row) * count // total for row in range(rows + 1)])
    order = scores.sort(dim=1, descending=True, stable=True).indices
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter_(1, order, torch.arange(columns) < ends.diff()[:, None])


def _generator(context: Context) -> torch.Generator:
    seed = int(context.stream("random weights").integers(2**62))
    return torch.Generator().manual_seed(seed)


def _drawn(like: Tensor, random: torch.Generator) -> Tensor:
    """Uniform numbers of the tensor's shape."""
    return torch.rand(like.shape, generator=random)
