"""SIMU: second-order unlearning of the neurons that hold the forget set.

Agarwal, Pamnani and Hakkani-Tur 2025, arXiv:2510.07822.
Stage 1 attributes the forget set to neurons (`methods/_attribution.py`) and keeps those above a share of their layer's
largest attribution; stage 2 trains attention in full and the kept columns of every down-projection with Sophia.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.api import Selection, method, param, scope
from bench.contracts import Encoded
from bench.errors import BenchError
from bench.model.architecture import Layer, layers
from methods import _attribution, _stream

if TYPE_CHECKING:
    from bench.contracts import Context

SCORES = ("probability", "loss", "neg-loss", "absolute")


def critical(score: Tensor, t: float) -> Tensor:
    """Indices of the neurons whose score exceeds `t` times the layer's largest: Att(l, k) > t max_k Att(l, k).

    Args:
        score: attributions of one layer [N].
        t: threshold in (0, 1].

    Returns:
        int64 indices [k], ascending. Empty where no score is positive: then nothing in the layer speaks for the items.
    """
    return torch.nonzero(score > t * score.max()).squeeze(1)


def signed(attribution: Tensor, score: str) -> Tensor:
    """The score that an attribution [N] gives: "neg-loss" is its negative, "absolute" its size, the others itself."""
    return {"neg-loss": -attribution, "absolute": attribution.abs()}.get(score, attribution)


@scope("simu")
@dataclass(frozen=True)
class Simu:
    """SIMU's weights: every attention projection in full and the critical neurons of every down-projection.

    Claim: what is to be forgotten sits in few neurons, and second-order steps on these and on attention leave the rest
    of what the model knows alone.

    Att(l, k) = (1 / m) sum_{j=1..m} sum_i a_i dP(y_i | prefix i; activation j / m a_i) / da, with a_i the activation of
    neuron k of layer l before label y_i of the forget set; it may move where Att(l, k) > t max_k Att(l, k).

    Defaults: m, t and the dual mask are the paper's.

    Deviations: the paper's score is the gradient of the loss, as written; a neuron that stores a fact lowers the loss,
    so its loss attribution is negative and the rule would keep the neurons that work against the forget set. The
    method's ancestors (Dai et al. 2022, arXiv:2104.08696; Wu et al. 2023, arXiv:2310.20138) attribute the probability
    of the token, which is the default here; "loss" is the paper's letter, "neg-loss" the loss that a neuron saves.

    Cost: before the first step the neurons of each layer are attributed over the forget set: m points, each forward and
    backward through the layers above. It is kept in the cache by content, and counts for every method that needs it.
    """

    m: int = param(5, "steps from no activation to the full one", ge=1)
    t: float = param(
        0.3,
        "share of the layer's largest attribution above which a neuron is critical",
        gt=0,
        le=1,
        search=[0.1, 0.3, 0.5],
    )
    mask: str = param(
        "dual", "'forget-only' leaves out what is critical for retain too", choices=("dual", "forget-only")
    )
    score: str = param("probability", "what is attributed to the neurons", choices=SCORES)
    retain_items: int | None = param(None, "retain items that 'forget-only' looks at; as many as forget items", ge=1)
    neurons: str = param("critical", "which neurons may move", choices=("critical", "random", "all", "none"))
    attention: bool = param(True, "whether every attention projection may move")
    down: str | None = param(None, "name of the down-projection within a layer, where it is not a usual one")

    def select(self, context: Context) -> Selection:
        """Raises: BenchError for an empty forget set or one of empty answers, and when nothing may move."""
        found = layers(context.lm.model, self.down)
        selection: dict[str, Tensor | None] = {}
        if self.attention:
            selection.update(dict.fromkeys(name for layer in found for name in layer.attention))
        if self.neurons != "none":
            selection.update(zip((f"{layer.down_name}.weight" for layer in found), self.masks(context), strict=True))
        if all(kept is not None and not kept.numel() for kept in selection.values()):
            raise BenchError(
                f"SIMU selects no weight at all (t={self.t}, score={self.score}, mask={self.mask}). Lower t."
            )
        return selection

    def masks(self, context: Context) -> list[Tensor]:
        """The neurons of each layer that may move, int64 indices [k]; warns where that is none or all of a layer."""
        found = layers(context.lm.model, self.down)
        if self.neurons == "all":
            return [torch.arange(layer.neurons) for layer in found]
        kept = [critical(score, self.t) for score in self.scores(context, context.forget)]
        if self.mask == "forget-only":
            count = self.retain_items or len(context.forget)
            retain = self.scores(context, _spread(context.retain, count))
            kept = [k[~torch.isin(k, critical(score, self.t))] for k, score in zip(kept, retain, strict=True)]
        _warn(found, kept, self)
        if self.neurons == "random":
            random = context.stream("random neurons")
            draws = [random.choice(layer.neurons, len(k), replace=False) for layer, k in zip(found, kept, strict=True)]
            kept = [torch.from_numpy(np.sort(draw)) for draw in draws]
        return kept

    def scores(self, context: Context, items: Sequence[Encoded]) -> list[Tensor]:
        """The score [N] of every neuron of each layer on `items`, read from the cache where it is known."""
        _refuse_empty(items)
        quantity = "probability" if self.score == "probability" else "loss"

        def attribute() -> list[np.ndarray]:
            found = _attribution.attribute(
                context.lm.model, items, steps=self.m, quantity=quantity, down=self.down, progress=context.progress
            )
            return [values.numpy() for values in found]

        found = context.kept("attribution", self._key(context, items, quantity), attribute)
        return [signed(torch.from_numpy(values), self.score) for values in found]

    def _key(self, context: Context, items: Sequence[Encoded], quantity: str) -> str:
        """Content key: weights, items, m, what is attributed, and the code that does it; not t, mask or sign.

        And the kind of device, for what it cost is kept with it.
        """
        code = b"".join(Path(str(module.__file__)).read_bytes() for module in (_attribution, _stream))
        digest = hashlib.blake2b(code, digest_size=16)
        digest.update(
            repr((context.lm.model.device.type, self.m, quantity, self.down, [tuple(item) for item in items])).encode()
        )
        for name, value in context.lm.model.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


@scope("critical-neurons")
@dataclass(frozen=True)
class CriticalNeurons(Simu):
    """SIMU's critical neurons without attention."""

    attention: bool = param(False, "whether every attention projection may move")


@scope("random-neurons")
@dataclass(frozen=True)
class RandomNeurons(Simu):
    """Random neurons, in each layer as many as SIMU finds critical, and every attention projection in full."""

    neurons: str = param("random", "which neurons may move", choices=("critical", "random", "all", "none"))


method(
    "simu-graddiff",
    "SIMU, gradient difference (arXiv:2510.07822)",
    objective="graddiff",
    optimizer="sophia",
    scope="simu",
    family="simu",
)
method(
    "simu-npo",
    "SIMU, negative preference optimisation (arXiv:2510.07822)",
    objective="npo",
    optimizer="sophia",
    scope="simu",
    family="simu",
)


def _spread(items: Sequence[Encoded], count: int) -> list[Encoded]:
    """At most `count` items at even distances: the same for every seed, so that masks can be shared."""
    if not items:
        raise BenchError(
            "SIMU's mask 'forget-only' needs retain items, and there are none. Take --set METHOD.mask=dual."
        )
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))]


def _refuse_empty(items: Sequence[Encoded]) -> None:
    """An answer that is nothing but the end-of-sequence token is empty."""
    empty = sum(len(item.answer) <= 1 for item in items)
    if empty == len(items):
        raise BenchError(f"SIMU has nothing to attribute: of {len(items)} items, {empty} have an empty answer.")
    if empty:
        warnings.warn(
            f"SIMU: {empty} of {len(items)} items have an empty answer and count only by their end.", stacklevel=2
        )


def _warn(found: Sequence[Layer], kept: Sequence[Tensor], scope: Simu) -> None:
    for words, layers_ in (
        ("no neuron", [i for i, k in enumerate(kept) if not len(k)]),
        ("every neuron", [i for i, (k, layer) in enumerate(zip(kept, found, strict=True)) if len(k) == layer.neurons]),
    ):
        if layers_:
            warnings.warn(
                f"SIMU keeps {words} of layer {', '.join(map(str, layers_))} (of {len(found)}; t={scope.t}, "
                f"score={scope.score}, mask={scope.mask}).",
                stacklevel=2,
            )
