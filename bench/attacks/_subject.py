"""What an attack is handed: the attacked model, the two that it is held against, and what is asked of all three.

The control comes first: `bench.run.attacking` runs every attack on the method's model, on target and on retrain of the
same seed, with the same questions, steps and draws, so that what is read of a method is what it has beyond retrain.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from bench.api import Pair, Splits
from bench.attacks._asked import Asked, Ready, taught_and_scored
from bench.contracts import Progress
from bench.model.models import LM
from bench.model.precision import Precision


@dataclass(frozen=True)
class Subject:
    """One model under attack.

    Attributes:
        lm: it; an attack changes a `copy` or a `changed` one, never this.
        items: the forget items that are scored. kept: retain items, by which is seen what an attack costs.
        data: the task's splits.
        target: loads the model that learnt everything. retrain: loads the one that never saw the forget set.
        stream: the random stream of a name, the same for the method, target and retrain.
        lr: the highest learning rate that the target was fine-tuned with.
        precision: of passes.
    """

    lm: LM
    items: tuple[Asked, ...]
    kept: tuple[Asked, ...]
    data: Splits
    target: Callable[[], LM]
    retrain: Callable[[], LM]
    stream: Callable[[str], np.random.Generator]
    progress: Progress
    lr: float
    precision: Precision = "float32"
    _ready: dict[tuple[Asked, ...], Ready] = field(default_factory=dict, repr=False)

    def copy(self) -> LM:
        """A private copy of the model, with what is attached to it."""
        return dataclasses.replace(self.lm, model=copy.deepcopy(self.lm.model))

    @torch.no_grad()
    def changed(self, change: Callable[[str, Tensor], Tensor]) -> LM:
        """A copy whose linear layers within the decoder have other weights; embeddings, head and norms stay.

        Args:
            change: of a module's name and its weight [out, in], the new weight.
        """
        lm = self.copy()
        for name, module in linear(lm.model):
            turned = isinstance(module, Conv1D)  # whose weight is [in, out]
            new = change(name, module.weight.T if turned else module.weight)
            module.weight.copy_(new.T if turned else new)
        return lm

    def known(self, lm: LM, asked: Sequence[Asked] | None = None) -> np.ndarray:
        """How much a model knows of each item, in [0, 1] (`bench.attacks._asked.Ready`); by default of `items`."""
        ready = self.ready(self.items if asked is None else asked)
        return ready.known(ready.logps(lm, self.precision))

    @cached_property
    def plain(self) -> list[np.ndarray]:
        """Log-probabilities of the tokens of each item's answer and of its end, as the model is [T_i]."""
        return self.ready(self.items).logps(self.lm, self.precision)

    def ready(self, asked: Sequence[Asked]) -> Ready:
        """Questions as batches, made once."""
        each = tuple(asked)
        if each not in self._ready:
            self._ready[each] = Ready(self.lm, each)
        return self._ready[each]

    def keeps(self, lm: LM) -> np.ndarray:
        """The same of what it should keep."""
        return self.known(lm, self.kept)

    @cached_property
    def parts(self) -> tuple[tuple[Pair, ...], np.ndarray]:
        """What an attacker is given of the forget set, and which items of other clusters are scored then [N]."""
        return taught_and_scored(self.items, self.stream("given to the attacker"))


def linear(model: nn.Module) -> Iterator[tuple[str, nn.Linear | Conv1D]]:
    """The linear layers of a model's decoder by name, without the head."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and module is not head:
            yield name, module
