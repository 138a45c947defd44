"""What an objective needs of the model that unlearning started from, for every item that the run will draw.

It is computed once an item, before the first weight moves, and kept where that fits; there is no second model then.
Logits and hidden states that do not fit are computed anew in each step by a copy of the start model, which shares with
the trained one all weights that do not move.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.api import Selection
from bench.contracts import LM, Batch, Encoded
from bench.errors import BenchError
from bench.model.heads import label_logits, layer_states
from bench.model.room import free_bytes
from bench.needs import Need
from bench.train import spread
from bench.train.batches import answer_logps, in_batches

SHARE = 0.25
"""Of the free memory that what is kept may take, all sets together."""


class Start:
    """The start model's log-probabilities, logits and hidden states of the items of a run.

    Args:
        lm: the model, before anything of it moves or is added to it.
        sets: the items that batches are drawn from, by set.
        needs: what is asked for.
        used: by set, the items that the run draws; nothing is computed for others.
        layer: whose hidden states are asked for.
        room: bytes that may be kept; by default a share of what is free where the model is.

    Raises:
        BenchError: the model has no such layer.
    """

    def __init__(
        self,
        lm: LM,
        sets: Mapping[str, Sequence[Encoded]],
        needs: Sequence[Need],
        used: Mapping[str, Sequence[int]],
        layer: int | None = None,
        room: float | None = None,
    ) -> None:
        self._device, self._layer = lm.device, layer
        self._logps = {name: _logps(lm, sets[name], used[name]) for name in _of("logps", needs)}
        self._kept: dict[tuple[str, str], Mapping[int, Tensor]] = {}
        self.model: PreTrainedModel | None = None
        wide = [(need.what, name) for need in needs if need.what in ("logits", "hidden") for name in need.sets]
        self._asked = frozenset(wide)
        if not wide:
            return
        left = free_bytes(lm.device) * SHARE if room is None else room
        for what, name in dict.fromkeys(wide):
            size = sum(len(sets[name][i].answer) for i in used[name]) * _width(lm.model, what) * lm.model.dtype.itemsize
            if size <= left:
                left -= size
                self._kept[what, name] = _each(lm, sets[name], used[name], self._run(what))
            elif self.model is None:
                self.model = _twin(lm.model)

    def own(self, selection: Selection) -> None:
        """Before the selected weights move: from here on the start model, where there is one, has its own of these."""
        if self.model is not None:
            for name, parameter in self.model.named_parameters(remove_duplicate=False):
                if name in selection or spread.sharded():
                    parameter.data = parameter.detach().clone()

    def part(self, rows: Mapping[str, Sequence[int]], batches: Mapping[str, Batch]) -> Callable[[str, str], Tensor]:
        """What of the start model belongs to these rows: `Passes.start`."""

        def look_up(what: str, which: str) -> Tensor:
            if what == "logps" and which in self._logps:
                return self._logps[which][rows[which]].to(self._device, non_blocking=True)
            if (what, which) in self._kept:
                return torch.cat([self._kept[what, which][i] for i in rows[which]])
            if self.model is None or (what, which) not in self._asked:
                asked = {"logps": "start_logps", "logits": "start_logits"}.get(what, "hidden")
                raise BenchError(
                    f"the loss reads the start model's {what} of the {which} set and did not ask for them: "
                    f"needs = {asked}({'LAYER, ' if what == 'hidden' else ''}'{which}')"
                )
            with torch.no_grad():
                return self._run(what)(self.model, batches[which])

        return look_up

    def _run(self, what: str) -> Callable[[PreTrainedModel, Batch], Tensor]:
        if what == "logits":
            return lambda model, batch: label_logits(model, batch.ids, batch.mask, batch.at)
        return lambda model, batch: layer_states(model, batch.ids, batch.mask, batch.at, self._layer or 0)


def _of(what: str, needs: Sequence[Need]) -> list[str]:
    return list(dict.fromkeys(name for need in needs if need.what == what for name in need.sets))


def _logps(lm: LM, items: Sequence[Encoded], used: Sequence[int]) -> Tensor:
    """[items] on the CPU, NaN for those that are not used."""
    found = torch.full((len(items),), torch.nan)
    found[list(used)] = answer_logps(lm, [items[i] for i in used]).cpu()
    return found


def _width(model: PreTrainedModel, what: str) -> int:
    config = model.config.get_text_config(decoder=True)
    return int(config.vocab_size if what == "logits" else config.hidden_size)


@torch.no_grad()
def _each(
    lm: LM, items: Sequence[Encoded], used: Sequence[int], run: Callable[[PreTrainedModel, Batch], Tensor]
) -> dict[int, Tensor]:
    """What `run` gives for each used item, a row a label."""
    found: dict[int, Tensor] = {}
    for chosen, batch in in_batches(lm, items, used):
        values = run(lm.model, batch).to(lm.model.dtype)
        found |= zip(chosen, (part.clone() for part in values.split(batch.filled.sum(1).tolist())), strict=True)
    return found


def _twin(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of a model on the very same weights, without gradients."""
    shared = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    return copy.deepcopy(model, shared)
