"""From the rows of a batch to the step that an objective sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from bench.train.batches import label_logps, labelled
from bench.train.parts import Drawn, Part, Room
from bench.train.start import Start


@dataclass(frozen=True)
class Passes:
    """`bench.contracts.Passes` for one step."""

    layer: int | None
    start: Callable[[str, str], Tensor]
    stream: Callable[[str], np.random.Generator]

    def label_logps(self, model: PreTrainedModel, batch: Batch) -> Labels:
        return label_logps(model, batch)

    def label_logits(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        return label_logits(model, batch.ids, batch.mask, batch.at).float()

    def labels(self, logits: Tensor, batch: Batch) -> Labels:
        return labelled(logits, batch)

    def hidden(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        if self.layer is None:
            raise UsageError("the loss reads hidden states and did not ask for them: needs = hidden(LAYER)")
        return layer_states(model, batch.ids, batch.mask, batch.at, self.layer)


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

    @staticmethod
    def of(context: Context, objective: Any, drawn: Sequence[Drawn], room: float | None = None) -> Steps:
        """Draw what is missing and compute what is needed of the start model, before anything of it moves.

        Args:
            drawn: the batches, of the forget set and, where the objective sees it, of the retain set.
            room: bytes that may be kept of the start model (`Start`).

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
        start = Start(context.lm, sets, needs_of(objective), used, layer_of(objective), room)
        begin = getattr(objective, "begin", dict)
        return Steps(context, objective, sets, drawn, start, {k: torch.as_tensor(v) for k, v in begin().items()})

    def step(self, model: PreTrainedModel, batches: Mapping[str, Batch], part: Part, done: float) -> Step:
        """What the objective sees of a part of a batch; `done` is the share of the run that is done."""
        passes = Passes(layer_of(self.objective), self.start.part(part.rows, batches), self.context.stream)
        return Step(model, batches, done, passes, part.totals, self.state)

    def whole(self, lm: LM, drawn: Drawn, done: float = 0.0) -> Step:
        """The step of a whole batch."""
        part = Part(drawn, 1.0, {})
        return self.step(lm.model, Room(lm, self.sets).batches(part), part, done)

    def after(self, parts: Mapping[str, Tensor], done: float) -> None:
        """Tell an objective that keeps a state how the step ended, by the parts of its loss over the whole batch."""
        if hasattr(self.objective, "after"):
            self.state |= self.objective.after(self.state, parts, done)


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
