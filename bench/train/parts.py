"""A batch in parts, with the gradient of the whole batch to the last rounding: less padding, less memory.

A part of b of a batch's B rows weighs b / B, whichever process runs it. A mean over rows is then the weighted sum of
the parts' means; a mean over labels is too, if every part divides by the whole batch's labels times its weight
(`bench.contracts.Labels.total`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise

import torch

from bench.contracts import LM, Batch, Encoded
from bench.errors import BenchError
from bench.model.room import free_bytes
from bench.train import spread
from bench.train.batches import collate, width_multiple
from bench.train.checkpointing import checkpointed
from bench.train.footprint import Uncounted, generous_bytes, pending_bytes, tokens_that_fit
from bench.train.pieces import pieces, usual

TOGETHER = ("forget", "alternative")
"""Sets whose rows belong together, one by one."""
Drawn = Mapping[str, Sequence[int]]
"""A batch: by set the indices of its items, as many in every set."""


@dataclass(frozen=True)
class Part:
    """Some rows of a batch.

    Attributes:
        rows: by set, indices of items.
        share: of the batch's rows.
        totals: by set, the labels of the whole batch times the share; none of a whole batch.
    """

    rows: Drawn
    share: float
    totals: Mapping[str, float]


def cut(
    drawn: Drawn,
    sets: Mapping[str, Sequence[Encoded]],
    tokens: float,
    rank: int = 0,
    size: int = 1,
    a_pass: float = math.inf,
) -> list[Part]:
    """The rows of a batch that process `rank` of `size` runs, in parts of at most `tokens` padded tokens or of one row.

    With a finite `a_pass` (`bench.train.pieces`) rows are put in order of length, each set by itself, and the parts are
    the cheapest; otherwise they are as few as can be, in the order drawn. All processes get as many parts, for they
    wait for each other: who has fewer runs the batch's first row again, with no weight.
    """
    count = len(next(iter(drawn.values())))
    bounds = [count * r // size for r in range(size + 1)]
    shares: list[Drawn] = [{name: rows[start:stop] for name, rows in drawn.items()} for start, stop in pairwise(bounds)]
    if math.isfinite(a_pass):
        shares = [_by_length(share, sets) for share in shares]
    lengths = [
        [*zip(*([_length(sets[name][i]) for i in rows] for name, rows in share.items()), strict=True)]
        for share in shares
    ]
    cuts = [pieces(each, tokens, a_pass) for each in lengths]
    own, most = cuts[rank], max(map(len, cuts))
    if most == size == 1:
        return [Part(drawn, 1.0, {})]
    labels = {name: sum(_labels(sets[name][i]) for i in rows) for name, rows in drawn.items()}
    parts = [
        Part(
            {name: rows[start:stop] for name, rows in shares[rank].items()},
            (stop - start) / count,
            {name: n * (stop - start) / count for name, n in labels.items()},
        )
        for start, stop in own
    ]
    idle = Part({name: rows[:1] for name, rows in drawn.items()}, 0.0, {})
    return parts + [idle] * (most - len(own))


def _by_length(drawn: Drawn, sets: Mapping[str, Sequence[Encoded]]) -> Drawn:
    """The rows of each set from the shortest on; alternatives stay beside the forget items that they answer."""
    groups = [[name for name in TOGETHER if name in drawn], *([name] for name in drawn if name not in TOGETHER)]
    found: dict[str, Sequence[int]] = {}
    for names in filter(None, groups):
        rows = list(zip(*(drawn[name] for name in names), strict=True))
        rows.sort(key=lambda row: sum(_length(sets[name][i]) for name, i in zip(names, row, strict=True)))
        found |= {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return found


def _length(item: Encoded) -> int:
    return len(item.prompt) + len(item.answer) - 1


def _labels(item: Encoded) -> int:
    return len(item.answer) - (not item.prompt)  # nothing precedes a text's first token


class Room:
    """How much of a batch a pass holds: what suits the device, less where memory asks for it, at last checkpointed.

    Within its block the model is checkpointed from the moment that this turns out to be necessary. What is free when
    the block begins, and the shapes of the model with the weights that are trained then, say how many tokens fit.

    Args:
        lm: the model that is trained.
        sets: the items that batches are drawn from, by set.
        rows: of a batch.
        autocast: whether passes are run in bfloat16.

    Attributes:
        tokens: padded tokens in one pass.
        checkpointing: whether layers keep their inputs alone and are run again on the way back.
    """

    def __init__(self, lm: LM, sets: Mapping[str, Sequence[Encoded]], rows: int = 1, autocast: bool = False) -> None:
        self.sets, self.checkpointing = sets, False
        self.tokens, self._a_pass = self._usual = usual(lm.device)
        self._lm, self._rows, self._autocast, self._stack = lm, rows, autocast, ExitStack()

    def __enter__(self) -> Room:
        longest = sum(max(map(_length, items), default=0) for items in self.sets.values())
        mine = free_bytes(self._lm.device) / (spread.size() if self._lm.device.type == "cpu" else 1)
        mine -= pending_bytes([p for p in self._lm.model.parameters() if p.requires_grad])
        free = int(spread.least(mine))  # all run as many parts, for they wait for each other
        rows = min(self._rows, max(1, self.tokens // max(1, longest)))
        if generous_bytes(self._lm.model.config, int(rows), longest) > free:
            with suppress(Uncounted):  # then only memory that runs out tells
                model = self._lm.model
                how = {"autocast": self._autocast, "dropout": model.training, "masked": model.device.type == "cpu"}
                tokens, wanted = tokens_that_fit(model, longest, free, **how)
                self.tokens = self.tokens if tokens >= rows * longest else tokens
                if wanted:
                    self._checkpoint()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def pressed(self) -> bool:
        """Whether memory asks for smaller passes than the device would like."""
        return self.tokens < self._usual[0] or self.checkpointing

    def parts(self, drawn: Drawn) -> list[Part]:
        """The batch, of several processes this one's rows, in parts that fit, as far as is known."""
        return cut(drawn, self.sets, self.tokens, spread.rank(), spread.size(), self._a_pass)

    def whole(self, drawn: Drawn) -> list[Part]:
        """All of the batch in such parts."""
        return cut(drawn, self.sets, self.tokens, a_pass=self._a_pass)

    def batches(self, part: Part) -> dict[str, Batch]:
        """The rows of a part by set, padded, where the model is."""
        multiple = width_multiple(self._lm)
        return {
            name: collate([self.sets[name][i] for i in rows], self._lm.pad, multiple).to(self._lm.device)
            for name, rows in part.rows.items()
        }

    def shrink(self, parts: Sequence[Part]) -> None:
        """Make room after one of these parts did not fit.

        Raises:
            BenchError: the parts are single rows already, and checkpointed.
        """
        padded = max(
            sum(len(rows) * max(_length(self.sets[name][i]) for i in rows) for name, rows in part.rows.items())
            for part in parts
        )
        if any(len(rows) > 1 for part in parts for rows in part.rows.values()):
            self.tokens = padded / 2
        elif not self.checkpointing:
            self._checkpoint()
        else:
            raise BenchError(
                f"memory ran out with one item of {padded} tokens a pass and gradient checkpointing. Take --precision "
                "bfloat16, a scope that moves fewer weights (such as npo+adamw+lora), a smaller model, or "
                "several devices (accelerate launch)."
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def said(self) -> dict[str, float]:
        """What became of it, for a record: nothing where memory asked for nothing."""
        tokens = {} if self.tokens == self._usual[0] else {"tokens_a_pass": float(int(self.tokens))}
        return tokens | ({"checkpointing": 1.0} if self.checkpointing else {})

    def _checkpoint(self) -> None:
        self._stack.enter_context(checkpointed(self._lm.model))
        self.checkpointing = True
