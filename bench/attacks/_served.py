"""A model as bitsandbytes serves it: the decoder's linear layers in 4 or 8 bits, quantised from the weights at hand."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from bench.attacks._subject import Subject, linear
from bench.model.models import LM

Kind = Literal["NF4", "LLM.int8"]
BITS: dict[Kind, int] = {"NF4": 4, "LLM.int8": 8}
OUTLIER = 6.0
"""From which on LLM.int8 multiplies an input's coordinates in 16 bits (arXiv:2208.07339)."""


def can_serve(device: torch.device) -> bool:
    """Whether bitsandbytes is installed and the model where people serve with it, on an accelerator of CUDA."""
    return device.type == "cuda" and find_spec("bitsandbytes") is not None


@torch.no_grad()
def served(subject: Subject, kind: Kind) -> LM:
    """A copy of the model whose linear layers within the decoder are bitsandbytes', with its own defaults for the kind.

    Nothing is loaded again: what is quantised are the weights that the attacked model has.
    """
    bnb: Any = import_module("bitsandbytes")
    lm = subject.copy()
    for name, module in [*linear(lm.model)]:
        weight = (module.weight.T if isinstance(module, Conv1D) else module.weight).detach().cpu().contiguous()
        own: Any
        if kind == "NF4":
            own = bnb.nn.Linear4bit(
                weight.shape[1], weight.shape[0], bias=module.bias is not None, compute_dtype=weight.dtype,
                quant_type="nf4",
            )  # fmt: skip
            own.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=own)
        else:
            own = bnb.nn.Linear8bitLt(
                weight.shape[1], weight.shape[0], bias=module.bias is not None, has_fp16_weights=False,
                threshold=OUTLIER,
            )  # fmt: skip
            own.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
        if module.bias is not None:
            own.bias = nn.Parameter(module.bias.detach().clone(), requires_grad=False)
        parent, _, last = name.rpartition(".")
        setattr(lm.model.get_submodule(parent), last, own.to(lm.device))  # the move is what quantises
    return lm
