"""How far a prompt is from those of a request, from the hidden states of a model that never moves.

O3, arXiv:2407.10223, without its RoBERTa: the encoder is the target itself. A prompt is pooled to one
vector a layer; each layer gives two features, the squared Mahalanobis distance to the request's prompts and the largest
cosine to one of them; a linear map makes a score of these and a sigmoid a gate. Everything is one number a prompt,
whatever else is in the batch.

Shapes: B prompts, P tokens, L layers, D width, N prompts of the request, K = min(N, D).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import BenchError
from bench.model.architecture import blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FOLDS = 5
SHRINKAGE = 0.1
"""Share of a covariance that is its mean variance on the diagonal."""
RIDGE = 0.01
"""Half of it times the squared weights of the logistic gate is added to its mean loss."""
COSINE = 1000.0
"""What the cosine weighs beside half the squared distance, in O3's code."""


@dataclass(frozen=True)
class Shape:
    """What is kept of a request's prompts: mean, shrunk covariance and directions, by layer.

    With S the covariance and m the mean of its diagonal, the shrunk one is (1 - a) S + a m I. S has rank below N, so
    its inverse is kept as (I - U' diag(shrunk) U) / floor: as many axes as there are prompts, not D x D numbers.

    Attributes:
        mean: [L, D]
        axes: [L, K, D] orthonormal rows U.
        shrunk: [L, K] in [0, 1): the share of the distance along each axis that does not count.
        floor: [L] variance where no prompt varies, a m.
        known: [L, N, D] the prompts, of length 1.
    """

    mean: Tensor
    axes: Tensor
    shrunk: Tensor
    floor: Tensor
    known: Tensor


@dataclass(frozen=True)
class Detector:
    """The gate of one request.

    Attributes:
        shape: what the prompts are like.
        weights: [2L] of the features of `features`.
        bias: []; weights and bias make the score.
        mixture: [0], or [3] for the published gate: the two means and the deviation (`published`).
    """

    shape: Shape
    weights: Tensor
    bias: Tensor
    mixture: Tensor

    def score(self, pooled: Tensor) -> Tensor:
        """[B] of prompts [B, L, D]; above 0 the gate is more than half open, unless it is the published one."""
        return features(self.shape, pooled) @ self.weights + self.bias

    def gate(self, pooled: Tensor) -> Tensor:
        """[B] in [0, 1] of prompts [B, L, D]: how much of the request's adapter is loaded."""
        score = self.score(pooled)
        return published(score, *self.mixture) if len(self.mixture) else score.sigmoid()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that it is, in float32; `restored` makes it again."""
        own = {"weights": self.weights, "bias": self.bias, "mixture": self.mixture}
        return {name: tensor.float() for name, tensor in (vars(self.shape) | own).items()}


def restored(tensors: Mapping[str, Tensor]) -> Detector:
    """The detector that these are the tensors of."""
    shape = Shape(**{spec.name: tensors[spec.name] for spec in fields(Shape)})
    return Detector(shape, tensors["weights"], tensors["bias"], tensors["mixture"])


# -- features ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def encode(model: PreTrainedModel, prompt: Tensor) -> Tensor:
    """The mean hidden state behind each decoder layer over the tokens [P] of one prompt, [L, D] float32.

    A prompt is run alone: there is no filler, and no answer. (Transformers' `output_hidden_states` would leave hooks on
    the layers behind.)
    """
    found: list[Tensor] = []

    def catch(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    handles = [block.register_forward_hook(catch) for block in blocks(model)[1]]
    try:
        model.base_model(input_ids=prompt[None], use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([states.flatten(0, -2).float().mean(0) for states in found])


def describe(pooled: Tensor, shrinkage: float = SHRINKAGE) -> Shape:
    """The shape of a request from its prompts [N, L, D], in their precision.

    Raises:
        BenchError: fewer than two prompts that differ, which have no covariance.
    """
    by_layer = pooled.transpose(0, 1)
    mean = by_layer.mean(1)
    apart = by_layer - mean[:, None]
    floor = shrinkage * apart.square().sum((1, 2)) / (by_layer.shape[1] * by_layer.shape[2])
    if not bool((floor > 0).all()):
        raise BenchError(
            f"the request has {pooled.shape[0]} prompts and no two that differ, so nothing tells how far others are "
            "from them. O3's gate needs at least two different ones."
        )
    _, sizes, axes = torch.linalg.svd(apart, full_matrices=False)
    varies = (1 - shrinkage) * sizes.square() / by_layer.shape[1]
    return Shape(mean, axes, varies / (varies + floor[:, None]), floor, F.normalize(by_layer, dim=-1))


def features(shape: Shape, pooled: Tensor) -> Tensor:
    """[B, 2L] of prompts [B, L, D]: squared Mahalanobis distances, then largest cosines to a known prompt."""
    by_layer = pooled.to(shape.mean.dtype).transpose(0, 1)
    apart = by_layer - shape.mean[:, None]
    along = apart @ shape.axes.transpose(1, 2)
    distance = (apart.square().sum(-1) - (along.square() * shape.shrunk[:, None]).sum(-1)) / shape.floor[:, None]
    cosine = (F.normalize(by_layer, dim=-1) @ shape.known.transpose(1, 2)).amax(-1)
    return torch.cat([distance, cosine]).T


def held_out(pooled: Tensor, order: Sequence[int]) -> Tensor:
    """[N, 2L] features of each prompt of [N, L, D] against the other folds, which `order` deals them to."""
    count = pooled.shape[0]
    found = pooled.new_empty(count, 2 * pooled.shape[1])
    folds = min(FOLDS, count)
    for fold in range(folds):
        out = torch.zeros(count, dtype=torch.bool, device=pooled.device)
        out[list(order[fold::folds])] = True
        found[out] = features(describe(pooled[~out]), pooled[out])
    return found


# -- fitting -----------------------------------------------------------------------------------------------------------


def one_class(pooled: Tensor, order: Sequence[int], *, quantile: float, steepness: float, seen: bool) -> Detector:
    """A gate from the prompts [N, L, D] of a request alone.

    The score is `typical`'s. Half open is the gate where `quantile` of the held-out prompts are above, or of the `seen`
    ones, which are nearer; it shuts by `steepness` for every deviation of the held-out scores.

    Raises:
        BenchError: fewer than three prompts, or no two that differ.
    """
    found = _cross_fitted(pooled, order)
    weights, _ = typical(found)
    shape = describe(pooled)
    scale = steepness / (found @ weights).std().clamp(min=1e-12)
    scores = (features(shape, pooled) if seen else found) @ weights
    lowest = torch.quantile(scores, 1 - quantile, interpolation="lower")
    return Detector(shape, scale * weights, -scale * lowest, pooled.new_empty(0))


def of_mixture(pooled: Tensor, order: Sequence[int]) -> Detector:
    """O3's own gate from the prompts [N, L, D] of a request: `published` over the scores of `typical`.

    The two Gaussians are those of the prompts that made the statistics and of the held-out ones, both with the
    deviation of the latter, as in the code.

    Raises:
        BenchError: as in `one_class`.
    """
    found = _cross_fitted(pooled, order)
    weights, bias = typical(found)
    shape = describe(pooled)
    rest, used = (rows @ weights + bias for rows in (found, features(shape, pooled)))
    return Detector(shape, weights, bias, torch.stack([used.mean(), rest.mean(), rest.std().clamp(min=1e-12)]))


def logistic(pooled: Tensor, retain: Tensor, order: Sequence[int], *, quantile: float) -> Detector:
    """A gate from the prompts [N, L, D] of a request and prompts [M, L, D] that it must stay shut for.

    Logistic regression on the features, those of the request held out; each side weighs one half. The gate is more than
    half open for no more than 1 - `quantile` of the retain prompts, whatever the regression says, and what is nearer to
    the request never shuts it: the prompts that were fitted to are nearer than any that was held out.

    Raises:
        BenchError: as in `one_class`.
    """
    shape = describe(pooled)
    others = features(shape, retain)
    found = _cross_fitted(pooled, order)
    nearer = torch.tensor([-1.0, 1.0]).repeat_interleave(pooled.shape[1]).to(pooled)
    weights, bias = regress(found, others, nearer)
    bias = bias - torch.quantile(others @ weights + bias, quantile, interpolation="higher").clamp(min=0)
    return Detector(shape, weights, bias, pooled.new_empty(0))


def typical(found: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [2L] and bias of a score that is 0 on the average of features [N, 2L], higher for what is nearer.

    The score of a layer is -d^2 / 2 + `COSINE` times the cosine, standardised; theirs are averaged. O3's code subtracts
    the cosine, so that a near prompt is lowered by one term and raised by the other: a slip, mended here. Its linear
    one-class machine over the layers is their mean.
    """
    depth = found.shape[1] // 2
    half, cosine = -found[:, :depth] / 2, found[:, depth:] * COSINE
    scale = 1 / (depth * (half + cosine).std(0).clamp(min=1e-12))
    weights = torch.cat([-scale / 2, scale * COSINE])
    return weights, -(found @ weights).mean()


def regress(positive: Tensor, negative: Tensor, signs: Tensor, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """Weights [F] and bias of a logistic regression of rows [n, F] against rows [m, F]; each side weighs one half.

    The features are standardised, and `ridge` / 2 times the squared weights is added to the mean loss. A weight whose
    sign would not be that of `signs` [F] is 0: its feature is left out and the others are fitted again.
    """
    rows = torch.cat([positive, negative])
    centre, scale = rows.mean(0), rows.std(0).clamp(min=1e-12)
    known = torch.cat([(rows - centre) / scale, rows.new_ones(len(rows), 1)], 1)
    label = torch.cat([rows.new_ones(len(positive)), rows.new_zeros(len(negative))])
    share = 0.5 * (label / len(positive) + (1 - label) / len(negative))
    theta = _newton(known, label, share, ridge)
    while bool((wrong := theta[:-1] * signs < 0).any()):
        known[:, :-1][:, wrong] = 0.0
        theta = _newton(known, label, share, ridge)
    weights = theta[:-1] / scale
    return weights, theta[-1] - weights @ centre


def _newton(known: Tensor, label: Tensor, share: Tensor, ridge: float, steps: int = 50) -> Tensor:
    """The coefficients [F + 1] where the loss of rows [n, F + 1], the last feature of which is 1, is least."""
    penalty = torch.full_like(known[0], ridge)
    penalty[-1] = 0.0
    theta = torch.zeros_like(penalty)
    for _ in range(steps):
        p = (known @ theta).sigmoid()
        slope = known.T @ (share * (p - label)) + penalty * theta
        bend = known.T @ (known * (share * p * (1 - p))[:, None]) + penalty.diag()
        bend.diagonal().add_(1e-9)
        step = torch.linalg.solve(bend, slope)
        theta = theta - step
        if float(step.abs().max()) < 1e-9:
            break
    return theta


def _cross_fitted(pooled: Tensor, order: Sequence[int]) -> Tensor:
    if len(pooled) < 3:
        raise BenchError(
            f"the request has {len(pooled)} prompts: O3's gate holds some out to see how far a prompt of the request "
            "may be from the others, which takes at least three."
        )
    return held_out(pooled, order)


# -- the published gate ------------------------------------------------------------------------------------------------


def published(score: Tensor, first: Tensor, second: Tensor, deviation: Tensor) -> Tensor:
    """O3's weight of scores [B]: sigmoid(10 c - 2), with c from 1 in the middle to 0 on either side.

    c = 1 - |F(x) - F(m1 + m2 - x)|, with F the equal mixture of two Gaussians of means m1 and m2 and one deviation.
    Symmetric: a prompt that is nearer than the request's own shuts it as well, and far away it is never below 0.119.
    """
    mirrored = first + second - score

    def share(x: Tensor) -> Tensor:
        return 0.5 * (_below((x - first) / deviation) + _below((x - second) / deviation))

    return (10 * (1 - (share(score) - share(mirrored)).abs()) - 2).sigmoid()


def _below(z: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-z / math.sqrt(2))
