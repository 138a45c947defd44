"""What a scope, an objective and a transform are handed. Imports no torch until a value is used.

Shapes: B batch, L length of the padded texts, T label positions of the longest answer, N items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bench.keys import stream

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Encoded(NamedTuple):
    """Token ids of one (prompt, answer). `answer` ends with the end-of-sequence token and is what the loss falls on."""

    prompt: list[int]
    answer: list[int]


class Batch(NamedTuple):
    """Right-padded token ids [B, L], their attention mask [B, L], and labels [B, L] (-100 where there is none)."""

    ids: Tensor
    mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(*(t.to(device, non_blocking=True) for t in self))


class Labels(NamedTuple):
    """Log-probabilities of a batch's labels (answer tokens and the end-of-sequence token; never the prompt).

    Attributes:
        logp: [B, T] float32, 0 where `mask` is False.
        mask: [B, T] bool, from true lengths.
    """

    logp: Tensor
    mask: Tensor

    def sums(self) -> Tensor:
        """[B] log-probability of each whole answer."""
        return self.logp.sum(-1)

    def counts(self) -> Tensor:
        """[B] number of labels of each answer."""
        return self.mask.sum(-1)

    def cross_entropy(self) -> Tensor:
        """Mean over all labels of the batch of -log p."""
        return -self.logp.sum() / self.mask.sum()


class LM(Protocol):
    """A causal language model with its tokenizer, as a method sees it; `bench.model.models.LM` is one."""

    @property
    def model(self) -> PreTrainedModel:
        """The network."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """What its ids mean."""

    @property
    def pad(self) -> int:
        """The id that fills batches up; masks come from true lengths, never from it."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""


@dataclass(frozen=True)
class Context:
    """What a scope or a `transform` sees: a private copy of the model it starts from, and the two sets.

    `cache` is a folder for side products that are named by content (neuron masks).
    """

    lm: LM
    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    task: str
    seed: int
    cache: Path
    progress: Progress

    def stream(self, name: str) -> np.random.Generator:
        """The cell's random stream of that name; methods of one task and seed draw the same, so they are paired."""
        return stream(self.task, self.seed, name)


@dataclass
class Step:
    """What an objective sees of one step; nothing is run before it is asked for."""

    model: PreTrainedModel
    batches: Mapping[str, Batch]
    reference: Tensor  # [B] log-probability of each forget answer under the start model
    progress: float  # share of the run that is done
    label_logps: Callable[[PreTrainedModel, Batch], Labels]
    _ran: dict[str, Labels] = field(default_factory=dict)

    @property
    def forget(self) -> Labels:
        """Log-probabilities of the forget answers of this step."""
        return self._labels("forget")

    @property
    def retain(self) -> Labels:
        """Log-probabilities of the retain answers of this step."""
        return self._labels("retain")

    def _labels(self, which: str) -> Labels:
        if which not in self._ran:
            self._ran[which] = self.label_logps(self.model, self.batches[which])
        return self._ran[which]
