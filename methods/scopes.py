"""Scopes that need no data: which weights may move, by their place in the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.api import Selection, param, scope
from bench.model.architecture import Layer, chosen, layers

if TYPE_CHECKING:
    from bench.contracts import Context

_LAYERS = "layers that may move: indices and ranges such as 0,2-4, negative from the end; empty is all"


@scope("all")
@dataclass(frozen=True)
class All:
    """Every weight, embeddings and norms included."""

    def select(self, context: Context) -> Selection:
        return dict.fromkeys(name for name, _ in context.lm.model.named_parameters())


@scope("attention")
@dataclass(frozen=True)
class Attention:
    """Every attention projection of the chosen layers in full, nothing else."""

    layers: str = param("", _LAYERS)

    def select(self, context: Context) -> Selection:
        return _select(context, self.layers, lambda layer: layer.attention)


@scope("mlp")
@dataclass(frozen=True)
class MLP:
    """The whole MLP of the chosen layers, nothing else."""

    layers: str = param("", _LAYERS)

    def select(self, context: Context) -> Selection:
        return _select(context, self.layers, lambda layer: layer.mlp)


@scope("layers")
@dataclass(frozen=True)
class Layers:
    """Attention projections and MLP of the chosen layers, nothing else."""

    layers: str = param("", _LAYERS)

    def select(self, context: Context) -> Selection:
        return _select(context, self.layers, lambda layer: (*layer.attention, *layer.mlp))


def _select(context: Context, wanted: str, names: Callable[[Layer], Iterable[str]]) -> Selection:
    return dict.fromkeys(name for layer in chosen(layers(context.lm.model), wanted) for name in names(layer))
