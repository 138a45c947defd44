"""What a scope, an objective and a transform are handed. Imports no torch until a value is used.

Shapes: B batch, L length of the padded texts, T label positions of the longest answer, N items.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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
    """A padded batch, with the places of its labels worked out beforehand, so that no step waits for an accelerator.

    Attributes:
        ids: [B, L] token ids, padded on the right.
        mask: [B, L] 1 where there is a token.
        labels: [B, L] what each position must predict, -100 where nothing.
        at: [N] where the N labels stand in `labels`, flattened.
        filled: [B, T] bool, true in the first n_i places of row i, with n_i its number of labels.
        slots: [N] where the labels stand in `filled`, flattened.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    at: Tensor
    filled: Tensor
    slots: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`; an accelerator fetches it from pinned memory while it still computes."""
        pinned = device.type == "cuda"
        return Batch(*((t.pin_memory() if pinned else t).to(device, non_blocking=True) for t in self))


class Labels(NamedTuple):
    """Log-probabilities of a batch's labels (answer tokens and the end-of-sequence token; never the prompt).

    Attributes:
        logp: [B, T] float32, 0 where `mask` is False.
        mask: [B, T] bool, from true lengths.
        total: what a mean over labels divides by; the number of labels here where it is None. Of a part of a larger
            batch it is the whole batch's number times the part's share of its rows, so that the means of the parts,
            weighted by their shares, add up to the mean over all labels.
    """

    logp: Tensor
    mask: Tensor
    total: float | None = None

    def sums(self) -> Tensor:
        """[B] log-probability of each whole answer."""
        return self.logp.sum(-1)

    def counts(self) -> Tensor:
        """[B] number of labels of each answer."""
        return self.mask.sum(-1)

    def cross_entropy(self) -> Tensor:
        """Mean over all labels of the batch of -log p."""
        return self.mean(-self.logp)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over all labels of the batch of `values` [B, T], which are 0 where `mask` is False.

        Objectives take it in place of `values.sum() / mask.sum()`, which would be another number where a batch is run
        in parts.
        """
        return values.sum() / (self.mask.sum() if self.total is None else self.total)


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

    def encode(self, prompt: str, answer: str, raw: bool = False) -> Encoded:
        """Ids of prompt and answer, as the model's family is asked or as they are; the answer ends with EOS."""

    @property
    def attached(self) -> tuple[Any, ...]:
        """What goes with the network and is not in its weights; `bench.model.attachments.attach` puts it on."""


@dataclass
class Spent:
    """What the side products of a cell cost, whether it made them or found them in the cache.

    Attributes:
        seconds: what making each took, by name.
        spared: seconds of these that went by in an earlier cell.
        peak: what an earlier cell that made one had used of memory by then, in MB; 0 where all were made now.
        counted: files of the cache that are in here.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    spared: float = 0.0
    peak: float = 0.0
    counted: set[Path] = field(default_factory=set)

    def add(self, name: str, file: Path, seconds: float, spared: bool, peak: float) -> None:
        """Count a side product, once however often the cell asks for it."""
        if file not in self.counted:
            self.counted.add(file)
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            self.spared += seconds * spared
            self.peak = max(self.peak, peak * spared)


@dataclass(frozen=True)
class Context:
    """What a scope or a `transform` sees: a private copy of the model it starts from, and the two sets.

    `cache` is a folder for side products that are named by content (neuron masks); `kept` looks after them and after
    what they cost, which `spent` adds up. `memory` tells how much the cell has used so far, in MB.
    """

    lm: LM
    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    task: str
    seed: int
    cache: Path
    progress: Progress
    memory: Callable[[], float] = lambda: 0.0
    spent: Spent = field(default_factory=Spent)

    def kept(self, name: str, key: str, make: Callable[[], Sequence[np.ndarray]]) -> list[np.ndarray]:
        """The arrays that `make` gives, from the cache where they are known under `key`.

        What making them cost is remembered beside them and counts for every cell that needs them, so that methods do
        not look cheap because another one ran before.
        """
        import numpy as np

        path = self.cache / f"{name}-{key}.npz"
        spared = path.is_file()
        if spared:
            with np.load(path) as stored:
                arrays = [stored[f"arr_{index}"] for index in range(len(stored.files) - 2)]
                seconds, peak = float(stored["seconds"]), float(stored["peak"])
        else:
            started = time.monotonic()
            arrays = list(make())
            seconds, peak = time.monotonic() - started, self.memory()
            _write(path, arrays, seconds=np.float64(seconds), peak=np.float64(peak))
        self.spent.add(name, path, seconds, spared, peak)
        return arrays

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
    totals: Mapping[str, float] = field(default_factory=dict)  # by set, of a part of a batch: `Labels.total`
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
            labels = self.label_logps(self.model, self.batches[which])
            self._ran[which] = labels._replace(total=self.totals.get(which))
        return self._ran[which]


def _write(path: Path, arrays: Sequence[np.ndarray], **named: np.ndarray | np.float64) -> None:
    """Write an archive so that readers see all of it or nothing."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, *arrays, **named)  # type: ignore[arg-type]
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
