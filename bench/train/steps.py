"""From the rows of a batch to the step that an objective sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from bench.contracts import LM, Batch, Context, Encoded, Labels, Step
from bench.errors import UsageError
from bench.model.heads import label_logits, layer_states
from bench.needs import alternatives_of, check_sets, layer_of, needs_of, sets_of
from bench.train import spread
from bench.train.batches import labelled
from bench.train.joint import joined
from bench.train.parts import Drawn, Part, Room
from bench.train.start import Start


@dataclass
class Passes:
    """`bench.contracts.Passes` for one step.

    The sets whose labels the last step read share one pass of the model, where their rows are of like length.

    Attributes:
        layer: whose hidden states were asked for.
        start: what the start model gave.
        stream: the cell's random streams.
        batches: the rows of the step by set.
        read: by kind, "logits" or "hidden", the sets that a step before this one read; this one's are added.
    """

    layer: int | None
    start: Callable[[str, str], Tensor]
    stream: Callable[[str], np.random.Generator]
    batches: Mapping[str, Batch] = field(default_factory=dict)
    read: dict[str, set[str]] = field(default_factory=dict)
    _found: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def label_logps(self, model: PreTrainedModel, batch: Batch) -> Labels:
        return labelled(self.label_logits(model, batch), batch)

    def label_logits(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        return self._states("logits", batch, partial(label_logits, model)).float()

    def labels(self, logits: Tensor, batch: Batch) -> Labels:
        return labelled(logits, batch)

    def hidden(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        layer = self.layer
        if layer is None:
            raise UsageError("the loss reads hidden states and did not ask for them: needs = hidden(LAYER)")
        return self._states("hidden", batch, lambda ids, mask, at: layer_states(model, ids, mask, at, layer))

    def _states(self, kind: str, batch: Batch, run: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        """What `run` gives at the labels of a batch, from a pass of its own or from one that other sets share."""
        name = next((name for name, own in self.batches.items() if own is batch), "")
        read = self.read.setdefault(kind, set())
        together = [other for other in self.batches if other in read] if name in read else []
        read.add(name)
        if (kind, name) not in self._found:
            rows = joined([self.batches[other] for other in together])
            if rows is None:
                return run(batch.ids, batch.mask, batch.at)
            counts = [len(self.batches[other].at) for other in together]
            self._found |= {(kind, other): part for other, part in zip(together, run(*rows).split(counts))}
        return self._found.pop((kind, name))


@dataclass
class Steps:
    """The steps of a run of an objective: its sets, what was drawn of them, and what it needs of the start model.

    Attributes:
        sets: the items that batches are drawn from, by set.
        drawn: the batches of the run.
        state: what `objective.after` made of the steps so far.
    """

    context: Context
    objective: Any
    sets: Mapping[str, Sequence[Encoded]]
    drawn: Sequence[Drawn]
    start: Start
    state: dict[str, Tensor] = field(default_factory=dict)
    _read: dict[str, set[str]] = field(default_factory=dict)

    @staticmethod
    def of(
        context: Context, objective: Any, drawn: Sequence[Drawn], room: float | None = None, start: LM | None = None
    ) -> Steps:
        """Draw what is missing and compute what is needed of the start model, before anything of it moves.

        Args:
            drawn: the batches, of the forget set and, where the objective sees it, of the retain set.
            room: bytes that may be kept of the start model (`Start`).
            start: what objectives know as the start model, where that is another than `context.lm`.

        Raises:
            UsageError: alternatives are needed and an item has none of that kind, or something of a set that is not
                there.
        """
        check_sets(objective)
        sets: dict[str, Sequence[Encoded]] = {"forget": context.forget, "retain": context.retain}
        sets = {name: sets[name] for name in sets_of(objective) if name in sets}
        if kind := alternatives_of(objective):
            sets["alternative"], drawn = _with_alternatives(context, kind, drawn)
        used = {name: sorted({i for batch in drawn for i in batch[name]}) for name in sets}
        looked_back = Start(start or context.lm, sets, needs_of(objective), used, layer_of(objective), room)
        begin = getattr(objective, "begin", dict)
        return Steps(context, objective, sets, drawn, looked_back, {k: torch.as_tensor(v) for k, v in begin().items()})

    def step(
        self, model: PreTrainedModel, batches: Mapping[str, Batch], part: Part, done: float, together: bool = True
    ) -> Step:
        """What the objective sees of a part of a batch; `done` is the share of the run that is done.

        With `together` sets may share a pass; under FSDP they never do, for all processes have to make as many.
        """
        start, read = self.start.part(part.rows, batches), self._read if together and not spread.sharded() else {}
        passes = Passes(layer_of(self.objective), start, self.context.stream, batches, read)
        return Step(model, batches, done, passes, part.totals, self.state)

    def whole(self, lm: LM, drawn: Drawn, done: float = 0.0) -> Step:
        """The step of a whole batch."""
        part = Part(drawn, 1.0, {})
        return self.step(lm.model, Room(lm, self.sets).batches(part), part, done)

    def after(self, parts: Mapping[str, Tensor], done: float) -> None:
        """Tell an objective that keeps a state how the step ended, by the parts of its loss over the whole batch."""
        if hasattr(self.objective, "after"):
            self.state |= self.objective.after(self.state, parts, done)

    def kept(self) -> dict[str, Any]:
        """What a step knows of those before it."""
        return {"state": self.state, "read": {kind: sorted(sets) for kind, sets in self._read.items()}}

    def put(self, found: dict[str, Any]) -> None:
        """Set that to what `kept` gave."""
        self.state = {name: value.to(self.context.lm.device) for name, value in found["state"].items()}
        self._read = {kind: set(sets) for kind, sets in found["read"].items()}


def _with_alternatives(context: Context, kind: str, drawn: Sequence[Drawn]) -> tuple[list[Encoded], list[Drawn]]:
    """The alternatives that are drawn for the forget items of every batch, each once, and the batches with them."""
    choices = spread.same(lambda: context.alternatives(kind))
    if lacking := sum(not found for found in choices):
        raise UsageError(
            f"{context.task}: {lacking} of {len(choices)} forget items have no alternative answer ({kind}). "
            "Take another objective, or give the task's data some."
        )
    random = context.stream("alternatives")
    places: dict[tuple[int, int], int] = {}
    batches: list[Drawn] = []
    for batch in drawn:
        picked = [(i, int(random.integers(len(choices[i])))) for i in batch["forget"]]
        batches.append({**batch, "alternative": [places.setdefault(pick, len(places)) for pick in picked]})
    return [choices[item][index] for item, index in places], batches
