"""A model as a library serves it: the decoder's linear layers in 4 or 8 bits, quantised from the weights at hand.

bitsandbytes with its own defaults, on CUDA, where people serve with it. torchao's weight-only kinds with its defaults:
int8, a step a row, on any device; int4, a step a group of weights, on CUDA, in the packing that needs nothing beside
torch. What torchao does not take it refuses, such as Mamba's layers, or int4 of weights that are not bfloat16: there is
no reading then, and a warning. torchao 0.18 with torch 2.13 was run in 8 bits on a CPU, in float32, mixed and bfloat16;
its int4 was run on nothing yet.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from bench.attacks._subject import Subject, linear
from bench.model.models import LM

OUTLIER = 6.0
"""From which on LLM.int8 multiplies an input's coordinates in 16 bits (arXiv:2208.07339)."""
GROUPS = (128, 64, 32)
"""Weights that share a step in torchao's int4: the most that divide the width. It would leave what none divides."""


class Way(NamedTuple):
    """A way to serve."""

    package: str
    bits: int
    device: str  # where; "" is anywhere
    refuses: bool  # whether a model that it does not take is no error
    made: Callable[[nn.Module], nn.Module]  # of one linear layer, where the layer is


def ways(subject: Subject) -> Iterator[tuple[str, int, LM]]:
    """The ways that there are to serve a model where it is: name, bits, and the model so served."""
    for name, way in WAYS.items():
        if way.device not in ("", subject.lm.device.type) or find_spec(way.package) is None:
            continue
        try:
            lm = served(subject, name)
            subject.known(lm, subject.items[:1])
        except Exception as refusal:
            if not way.refuses:
                raise
            why = next(iter(str(refusal).splitlines()), "")
            warnings.warn(f"{name} does not serve this model: {type(refusal).__name__}: {why}", stacklevel=1)
        else:
            yield name, way.bits, lm


@torch.no_grad()
def served(subject: Subject, way: str) -> LM:
    """A copy of the model whose linear layers within the decoder are served so.

    Nothing is loaded again: what is quantised are the weights that the attacked model has.
    """
    lm = subject.copy()
    for name, module in [*linear(lm.model)]:
        parent, _, last = name.rpartition(".")
        setattr(lm.model.get_submodule(parent), last, WAYS[way].made(module))
    return lm


def _weight(module: Any) -> Tensor:
    """[out, in]"""
    turned: Tensor = module.weight.T if isinstance(module, Conv1D) else module.weight
    return turned.detach().contiguous()


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(), requires_grad=False)


# -- bitsandbytes ----------------------------------------------------------------------------------------------------


def _nf4(module: Any) -> nn.Module:
    bnb, weight = import_module("bitsandbytes"), _weight(module).cpu()
    own = bnb.nn.Linear4bit(*weight.T.shape, bias=module.bias is not None, compute_dtype=weight.dtype, quant_type="nf4")
    own.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=own)
    return _moved(own, module)


def _llm_int8(module: Any) -> nn.Module:
    bnb, weight = import_module("bitsandbytes"), _weight(module).cpu()
    more = {"bias": module.bias is not None, "has_fp16_weights": False, "threshold": OUTLIER}
    own = bnb.nn.Linear8bitLt(*weight.T.shape, **more)
    own.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    return _moved(own, module)


def _moved(own: Any, module: Any) -> nn.Module:
    """With the bias, where the layer was: the move is what quantises."""
    if module.bias is not None:
        own.bias = _frozen(module.bias)
    there: nn.Module = own.to(module.weight.device)
    return there


# -- torchao ---------------------------------------------------------------------------------------------------------


def _int8(module: Any) -> nn.Module:
    return _quantised(module, import_module("torchao.quantization").Int8WeightOnlyConfig(set_inductor_config=False))


def _int4(module: Any) -> nn.Module:
    width = _weight(module).shape[1]
    groups = [size for size in GROUPS if width % size == 0]
    if not groups:
        raise ValueError(f"a layer is {width} wide, which is no multiple of {min(GROUPS)}")
    config = import_module("torchao.quantization").Int4WeightOnlyConfig
    packing = {"int4_packing_format": "tile_packed_to_4d", "set_inductor_config": False}
    return _quantised(module, config(group_size=groups[0], **packing))


def _quantised(module: Any, config: Any) -> nn.Module:
    weight = _weight(module)
    own: Any = nn.Linear(weight.shape[1], weight.shape[0], module.bias is not None, device="meta")
    own.weight = _frozen(weight)
    if module.bias is not None:
        own.bias = _frozen(module.bias)
    import_module("torchao.quantization").quantize_(own, config)
    done: nn.Module = own
    return done


WAYS: dict[str, Way] = {
    "bitsandbytes NF4": Way("bitsandbytes", 4, "cuda", False, _nf4),
    "bitsandbytes LLM.int8": Way("bitsandbytes", 8, "cuda", False, _llm_int8),
    "torchao int8": Way("torchao", 8, "", True, _int8),
    "torchao int4": Way("torchao", 4, "cuda", True, _int4),
}
