"""A few steps of supervised training on a private copy, looked at on the way."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from bench.api import Pair
from bench.attacks._subject import Subject, linear
from bench.model.models import LM
from bench.model.precision import arithmetic
from bench.train.batches import collate, label_logps

POINTS = (0, 1, 2, 4, 8, 16, 32, 64)
CLIP = 1.0


def taught(
    subject: Subject,
    pairs: Sequence[Pair],
    lr: float,
    points: Sequence[int],
    batch_size: int,
    rank: int,
    random: np.random.Generator,
) -> Iterator[tuple[int, LM]]:
    """The model after each of the `points`, steps of AdamW on batches of pairs; it may be the same one, taught on.

    No decay, a constant rate, the gradient's norm at most 1; every epoch in an order of its own. Only answers count.

    Args:
        rank: of LoRA on the decoder's linear layers, scaled by 2, in place of all weights; 0 is all weights.
    """  # fmt: skip
    lm = subject.copy()
    if rank:
        _low_rank(lm, rank, random)
    items = [lm.encode(p.prompt, p.answer, p.raw) for p in pairs]
    order = (int(i) for _ in range(1 << 30) for i in random.permutation(len(items)))
    moving = [p for p in lm.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=lr, weight_decay=0.0, fused=True)
    for step in range(max(points) + 1):
        if step in points:
            yield step, _merged(subject, lm) if rank else lm
        if step == max(points):
            break
        chosen = [items[next(order)] for _ in range(batch_size)]
        batch = collate(chosen, lm.pad).to(lm.device)
        with arithmetic(subject.precision, lm.device):
            labels = label_logps(lm.model, batch)
        optimizer.zero_grad()
        labels.cross_entropy().backward()
        torch.nn.utils.clip_grad_norm_(moving, CLIP)
        optimizer.step()
        subject.progress("teaching", step + 1, max(points))


def has_lora() -> bool:
    """Whether peft is installed, without which no low-rank update is taught; warns where it is not."""
    found = find_spec("peft") is not None
    if not found:
        warnings.warn("no LoRA without peft: python -m pip install 'unlearning-bench[lora]'", stacklevel=2)
    return found


def _merged(subject: Subject, lm: LM) -> LM:
    """The attacked model with the low-rank updates added to its weights, its modules those that it had.

    What is attached finds its layers in it, which it would not among peft's.
    """

    def change(name: str, weight: Tensor) -> Tensor:
        own: Any = lm.model.get_submodule(name)
        update = own.get_delta_weight("default")
        turned = isinstance(own.get_base_layer(), Conv1D)
        return (weight.float() + (update.T if turned else update).float()).to(weight.dtype)

    return subject.changed(change)


def _low_rank(lm: LM, rank: int, random: np.random.Generator) -> None:
    """Put a low-rank update beside the decoder's linear layers, through peft; nothing else moves."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it advises to install kernels that nothing here uses
    import peft

    found = dict(linear(lm.model))
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="|".join(map(re.escape, found)),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in found.values()),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(int(random.integers(1 << 62)))
        peft.LoraModel(lm.model, config, "default")
    lm.model.eval()
