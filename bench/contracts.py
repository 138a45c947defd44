"""What a scope, an objective and a transform are handed. Imports no torch until a value is used.

Shapes: B batch, L length of the padded texts, T label positions of the longest answer, N items.
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from zipfile import BadZipFile

from bench.errors import UsageError
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

    @property
    def answers(self) -> Tensor:
        """[N] int64, the labels themselves."""
        return self.labels.flatten().index_select(0, self.at)

    def rows(self, values: Tensor) -> Tensor:
        """[B, T] from one value a label [N]: row i has answer i's values in front, and 0 behind them."""
        laid = values.new_zeros(self.filled.numel()).index_copy(0, self.slots, values)
        return laid.view(self.filled.shape)

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


def _no_alternatives(kind: str) -> Sequence[Sequence[Encoded]]:
    raise UsageError(f"no alternative answers ({kind}) are given here. Make the context with `alternatives=...`.")


@dataclass
class Course:
    """How the training of a cell is run and followed, whoever trains: the loop of objectives or a transform.

    Attributes:
        precision: of the passes: "float32", "mixed" or "bfloat16".
        trace: points on the way at which forgetting and keeping are probed; 0 is none.
        log: gets the lines of the training curve as they are made.
        curve: what the loop fills (`bench.train.loop.Curve`); it makes one where there is none.
        moved: how many weights could move.
    """

    precision: Literal["float32", "mixed", "bfloat16"] = "float32"
    trace: int = 20
    log: Callable[[Mapping[str, float], int], None] | None = None
    curve: Any = None
    moved: int = 0


@dataclass(frozen=True)
class Context:
    """What a scope or a `transform` sees: a private copy of the model it starts from, and the two sets.

    `cache` is a folder for side products that are named by content (neuron masks); `kept` looks after them and after
    what they cost, which `spent` adds up. `memory` tells how much the cell has used so far, in MB. `alternatives`
    gives, for a kind (`bench.needs.KINDS`), the other answers to each forget prompt. `course` says how training is
    followed. `target` loads the model before the first of several requests; None where `lm` is that.
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
    alternatives: Callable[[str], Sequence[Sequence[Encoded]]] = _no_alternatives
    course: Course = field(default_factory=Course)
    target: Callable[[], LM] | None = None

    def kept(self, name: str, key: str, make: Callable[[], Sequence[np.ndarray]]) -> list[np.ndarray]:
        """The arrays that `make` gives, from the cache where they are known under `key`.

        What making them cost is remembered beside them and counts for every cell that needs them, so that methods do
        not look cheap because another one ran before.
        """
        import numpy as np

        path = self.cache / f"{name}-{key}.npz"
        spared = True
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = [stored[f"arr_{index}"] for index in range(len(stored.files) - 2)]
                seconds, peak = float(stored["seconds"]), float(stored["peak"])
        except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, BadZipFile, zlib.error):
            spared = False  # it is not there, or damaged
            started = time.monotonic()
            arrays = list(make())
            seconds, peak = time.monotonic() - started, self.memory()
            _write(path, arrays, seconds=np.float64(seconds), peak=np.float64(peak))
        self.spent.add(name, path, seconds, spared, peak)
        return arrays

    def stream(self, name: str) -> np.random.Generator:
        """The cell's random stream of that name; methods of one task and seed draw the same, so they are paired."""
        return stream(self.task, self.seed, name)


class Passes(Protocol):
    """What runs a model over the rows of a step; `bench.train.steps` has the implementation."""

    def label_logps(self, model: PreTrainedModel, batch: Batch) -> Labels:
        """Log-probabilities of a batch's labels."""

    def label_logits(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        """[N, V] float32, the logits at a batch's labels."""

    def labels(self, logits: Tensor, batch: Batch) -> Labels:
        """Log-probabilities of a batch's labels under logits [N, V]."""

    def hidden(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        """[N, D], the hidden states that were asked for, at a batch's labels."""

    def start(self, what: str, which: str) -> Tensor:
        """What the start model gave for the rows of a set: "logps" [B], "logits" [N, V] or "hidden" [N, D]."""

    def stream(self, name: str) -> np.random.Generator:
        """The cell's random stream of that name, from its beginning."""


@dataclass
class Step:
    """What an objective sees of one step; nothing is run before it is asked for, and everything at most once.

    Per-label values come flat, [N] with N the labels of the batch row by row; `rows` lays them out as [B, T].
    Sets are "forget", "retain" and, where alternatives are asked for, "alternative", whose row i answers forget row i;
    which retain row stands beside which forget row means nothing.
    """

    model: PreTrainedModel
    batches: Mapping[str, Batch]
    progress: float  # share of the run that is done
    passes: Passes
    totals: Mapping[str, float] = field(default_factory=dict)  # by set, of a part of a batch: `Labels.total`
    state: Mapping[str, Tensor] = field(default_factory=dict)  # what `Objective.after` made of the steps before
    _ran: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def forget(self) -> Labels:
        """Log-probabilities of the forget answers of this step."""
        return self.labels("forget")

    @property
    def retain(self) -> Labels:
        """Log-probabilities of the retain answers of this step."""
        return self.labels("retain")

    @property
    def alternative(self) -> Labels:
        """Log-probabilities of the alternative answers to the forget prompts (`needs = alternatives(...)`)."""
        return self.labels("alternative")

    @property
    def reference(self) -> Tensor:
        """[B] log-probability of each forget answer under the start model (`reference = True`)."""
        return self.start_logps("forget")

    def labels(self, which: str) -> Labels:
        """Log-probabilities of the answers of a set."""

        def run() -> Labels:
            batch, known = self.batches[which], ("logits", which) in self._ran
            return (
                self.passes.labels(self.logits(which), batch) if known else self.passes.label_logps(self.model, batch)
            )

        return self._once("labels", which, lambda: run()._replace(total=self.totals.get(which)))

    def logits(self, which: str) -> Tensor:
        """[N, V] float32, the model's logits at the labels of a set. Ask for them before the set's `labels`."""
        return self._once("logits", which, lambda: self.passes.label_logits(self.model, self.batches[which]))

    def hidden(self, which: str) -> Tensor:
        """[N, D], the model's hidden states at the labels of a set (`needs = hidden(layer)`)."""
        return self._once("hidden", which, lambda: self.passes.hidden(self.model, self.batches[which]))

    def start_logps(self, which: str) -> Tensor:
        """[B] log-probability of each answer of a set under the start model (`needs = start_logps(set)`)."""
        return self._once("start logps", which, lambda: self.passes.start("logps", which))

    def start_logits(self, which: str) -> Tensor:
        """[N, V] float32, the start model's logits at the labels of a set (`needs = start_logits(set)`)."""
        return self._once("start logits", which, lambda: self.passes.start("logits", which).float())

    def start_hidden(self, which: str) -> Tensor:
        """[N, D], the start model's hidden states at the labels of a set (`needs = hidden(layer, set)`)."""
        return self._once("start hidden", which, lambda: self.passes.start("hidden", which))

    def answers(self, which: str) -> Tensor:
        """[N] int64, the labels of a set themselves."""
        return self.batches[which].answers

    def rows(self, which: str, values: Tensor) -> Tensor:
        """[B, T] from one value a label [N]: row i has answer i's values in front, and 0 behind them."""
        return self.batches[which].rows(values)

    def mean(self, which: str, values: Tensor) -> Tensor:
        """Mean of one value a label [N] over all labels of a set's batch, of which this may be a part."""
        return values.sum() / self.totals.get(which, len(values))

    def answer_means(self, which: str, values: Tensor) -> Tensor:
        """[B] mean of one value a label [N] over each answer."""
        return self.rows(which, values).sum(-1) / self.batches[which].filled.sum(-1)

    def stream(self, name: str) -> np.random.Generator:
        """The cell's random stream of that name; it starts anew each time, so every step draws the same from it."""
        return self.passes.stream(name)

    def _once(self, what: str, which: str, run: Callable[[], Any]) -> Any:
        if (what, which) not in self._ran:
            self._ran[what, which] = run()
        return self._ran[what, which]


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
