"""Where a decoder keeps its layers, its MLPs' down-projections, its attention projections and its head.

A *neuron* is one input coordinate of a down-projection, the last linear map of a layer's MLP. `nn.Linear` stores it as
a column of `weight` [width, neurons], transformers' `Conv1D` (GPT-2) as a row of `weight` [neurons, width].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bench.errors import BenchError, UsageError

# As transformers names them: Llama, Mistral, OLMo, Qwen, Gemma; Phi; GPT-NeoX; GPT-2; OPT.
DOWN = ("mlp.down_proj", "mlp.fc2", "mlp.dense_4h_to_h", "mlp.c_proj", "fc2")
ATTENTION = ("self_attn", "attention", "attn", "self_attention")
NORM = ("norm", "final_layernorm", "final_layer_norm", "ln_f")


@dataclass(frozen=True)
class Layer:
    """One decoder layer.

    Attributes:
        name: its qualified name in the model, such as "model.layers.3".
        module: the layer itself.
        down_name: qualified name of its down-projection.
        down: the down-projection, `nn.Linear` or `Conv1D`.
        attention: qualified names of the weights and biases of its attention projections.
    """

    name: str
    module: nn.Module
    down_name: str
    down: nn.Module
    attention: tuple[str, ...]

    @property
    def neurons(self) -> int:
        """How many neurons the layer has."""
        return weight(self.down).shape[neuron_axis(self.down)]

    @property
    def mlp(self) -> tuple[str, ...]:
        """Qualified names of all parameters of the MLP that ends in the down-projection."""
        parent = self.down_name.rpartition(".")[0]
        if parent == self.name:
            return tuple(f"{self.down_name}.{name}" for name, _ in self.down.named_parameters())
        block = self.module.get_submodule(parent.removeprefix(f"{self.name}."))
        return tuple(f"{parent}.{name}" for name, _ in block.named_parameters())


def weight(module: nn.Module) -> Tensor:
    """The weight matrix of a projection."""
    return cast(Tensor, module.weight)


def neuron_axis(module: nn.Module) -> int:
    """The axis of a projection's weight along which its inputs lie: 1 for `nn.Linear`, 0 for `Conv1D`."""
    return 0 if isinstance(module, Conv1D) else 1


def layers(model: PreTrainedModel, down: str | None = None) -> tuple[Layer, ...]:
    """The decoder layers of `model`, first to last.

    Args:
        model: a causal language model of transformers.
        down: the down-projection's name within a layer, such as "mlp.w2"; found by the usual names when not given.

    Raises:
        BenchError: no list of layers, or a layer without a recognisable down-projection or attention; the message says
            what was looked for and what the layer has.
    """
    prefix, blocks = _blocks(model)
    return tuple(_layer(f"{prefix}.{index}", block, (down,) if down else DOWN) for index, block in enumerate(blocks))


def chosen(found: tuple[Layer, ...], wanted: str) -> tuple[Layer, ...]:
    """The layers that a comma list of indices and ranges names: "0,2-4"; "" is all, negatives count from the end.

    Raises:
        UsageError: an index that is none, or out of range.
    """
    if not wanted.strip():
        return found
    indices: list[int] = []
    for word in wanted.replace(" ", "").split(","):
        first, dash, last = word.rpartition("-")
        try:
            indices += range(int(first), int(last) + 1) if dash and first else [int(word)]
        except ValueError:
            raise UsageError(f"layers '{wanted}': '{word}' is no index. Write some, such as 0,2-4.") from None
    count = len(found)
    wrong = [i for i in indices if not -count <= i < count]
    if wrong:
        raise UsageError(f"layers '{wanted}': there is no layer {wrong[0]}; the model has {count}, 0 to {count - 1}.")
    return tuple(found[i] for i in sorted({i % count for i in indices}))


def head(model: PreTrainedModel) -> nn.Sequential:
    """What turns the last layer's hidden states [..., D] into logits [..., V]: final norm and output embedding.

    Raises:
        BenchError: either cannot be found.
    """
    parent = model.get_submodule(_blocks(model)[0].rpartition(".")[0])
    norms = [child for name, child in parent.named_children() if name in NORM]
    output = model.get_output_embeddings()
    if len(norms) != 1 or output is None:
        raise BenchError(
            f"{type(model).__name__}: looked for one final norm named {' or '.join(NORM)} beside the decoder layers "
            f"and for an output embedding; found {[name for name, _ in parent.named_children()]}. "
            "Add the norm's name to bench/model/architecture.py."
        )
    return nn.Sequential(norms[0], output)


def _blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    count = model.config.num_hidden_layers
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not found:
        raise BenchError(
            f"{type(model).__name__}: looked for a list of {count} decoder layers (config.num_hidden_layers) and found "
            "none. Scopes that choose weights by layer need a decoder of transformers; take scope 'all'."
        )
    return found[0]


def _layer(name: str, block: nn.Module, wanted: tuple[str, ...]) -> Layer:
    modules = dict(block.named_modules())
    linear = {n: m for n, m in modules.items() if isinstance(m, nn.Linear | Conv1D)}
    downs = [n for n in wanted if n in linear]
    if not downs:
        raise BenchError(
            f"{name} ({type(block).__name__}) has no recognisable down-projection: looked for a Linear or Conv1D named "
            f"{' or '.join(wanted)}, found {', '.join(linear) or 'none'}. Name it with --set METHOD.down=NAME."
        )
    attention = [n for n in ATTENTION if n in modules]
    if not attention:
        raise BenchError(
            f"{name} ({type(block).__name__}) has no recognisable attention: looked for {' or '.join(ATTENTION)}, "
            f"found {', '.join(n for n, _ in block.named_children())}. Add its name to bench/model/architecture.py."
        )
    projections = tuple(_parameters(name, {n: m for n, m in linear.items() if n.startswith(f"{attention[0]}.")}))
    return Layer(name, block, f"{name}.{downs[0]}", linear[downs[0]], projections)


def _parameters(prefix: str, modules: dict[str, nn.Module]) -> Iterator[str]:
    for name, module in modules.items():
        yield from (f"{prefix}.{name}.{own}" for own, _ in module.named_parameters(recurse=False))
