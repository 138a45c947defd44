"""Linear probe: whether a linear map that is learnt on the kept authors reads the forgotten ones' facts in the states.

Multinomial logistic regression of the value of a slot (`bench.attacks._slots`) on the bare model's state at the token
that predicts it, the true answer before it: fitted on the task's retain pairs, read on forget items, one of each layer.
The control is fitted on the same states with the values permuted. It is not fitted on forget items, for a probe learns
what it is taught. RMU left such probes little above chance in Lucki et al., arXiv:2409.18025.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from bench.api import Pair, Reading, Splits, attack
from bench.attacks._asked import Asked
from bench.attacks._inside import residuals
from bench.attacks._slots import Slots, slots_of
from bench.attacks._subject import Subject
from bench.contracts import Encoded
from bench.model.models import LM
from bench.model.precision import Precision, arithmetic
from bench.train.batches import in_batches

PERMUTED = "permuted values"


@attack("linear-probe")
@dataclass(frozen=True)
class LinearProbe:
    """Learn on kept authors to read values in the bare model's states, and read the forgotten authors'."""

    title: ClassVar = "linear probe"
    light: ClassVar = False
    needs: ClassVar = "weights"
    injects: ClassVar = "nothing"
    axis: ClassVar = "layer"
    at: ClassVar = None
    from_plain: ClassVar = False
    inside: ClassVar = True
    controls: ClassVar = (PERMUTED,)

    penalty: float = 1.0
    most: int = 1000  # retain pairs that it is fitted on

    def run(self, subject: Subject) -> Iterator[Reading]:
        """The probability of the true values, mean over an item's slots, behind each layer, the first being 1.

        None where no item has a slot.
        """
        slots = slots_of(subject.data.retain)
        random = subject.stream("linear probe")
        taught = [pair for pair in subject.data.retain if slots.found(pair.prompt, pair.answer)]
        taught = [taught[i] for i in sorted(random.permutation(len(taught))[: self.most])]
        fitted, read = (spots(subject.lm, slots, each) for each in ([*taught], [*subject.items]))
        if not len(read.slot):
            return
        permuted = fitted.permuted(random)
        states = [behind_layers(subject.lm, each, subject.precision) for each in (fitted, read)]
        for layer, (x, seen) in enumerate(zip(*states, strict=True), 1):
            for line, values in (("", fitted.value), (PERMUTED, permuted)):
                found = np.full(len(read.slot), np.nan)
                for slot in np.unique(read.slot):
                    own, of = fitted.slot == slot, read.slot == slot
                    likely = predicted(x[own], values[own], seen[of], len(slots.slots[slot].values), self.penalty)
                    found[of] = likely[np.arange(of.sum()), read.value[of]]
                yield Reading(line, "", layer, mean_by(read.item, found, len(subject.items)))

    @staticmethod
    def available(data: Splits) -> str:
        """Why a task has nothing to probe; "" where it has."""
        slots = slots_of(data.retain)
        found = any(slots.found(pair.prompt, pair.answer) for pair in data.forget)
        return "" if found else "has no answers in which the same few values come back"


class Spots(NamedTuple):
    """Tokens of some texts that begin a value of a slot: [M] each, of text `item`, and the texts themselves."""

    items: tuple[Encoded, ...]
    item: np.ndarray
    token: np.ndarray  # of the answer
    slot: np.ndarray
    value: np.ndarray

    def permuted(self, random: np.random.Generator) -> np.ndarray:
        """The values, each slot's in another order."""
        found = self.value.copy()
        for slot in np.unique(self.slot):
            found[self.slot == slot] = random.permutation(found[self.slot == slot])
        return found


def spots(lm: LM, slots: Slots, asked: Sequence[Pair | Asked]) -> Spots:
    """Where in some questions' answers the values of slots begin."""
    items = tuple(lm.encode(each.prompt, each.answer, each.raw) for each in asked)
    rows = [
        (i, begins(lm, each, slots.slots[slot].place), slot, value)
        for i, each in enumerate(asked)
        for slot, value in slots.found(each.prompt, each.answer)
    ]
    item, token, slot, value = np.array(rows, dtype=int).reshape(-1, 4).T
    return Spots(items, item, token, slot, value)


def begins(lm: LM, asked: Pair | Asked, word: int) -> int:
    """Which token of an answer is the first that its first `word` words do not have."""
    whole, part = (
        lm.encode(asked.prompt, " ".join(asked.answer.split()[:count]), asked.raw).answer for count in (None, word)
    )
    same = [a == b for a, b in zip(whole, part, strict=False)]
    return same.index(False) if False in same else len(same) - 1


@torch.no_grad()
def behind_layers(lm: LM, of: Spots, precision: Precision = "float32") -> list[np.ndarray]:
    """[M, D] of each layer: the state at the token that predicts each spot."""
    found: dict[int, list[np.ndarray]] = {}
    with arithmetic(precision, lm.device):
        for rows, batch in in_batches(lm, of.items, sorted(set(of.item.tolist()))):
            starts = dict(zip(rows, np.cumsum([0, *(len(of.items[i].answer) for i in rows)]), strict=False))
            here = np.flatnonzero(np.isin(of.item, rows))
            at = batch.at[[int(starts[of.item[m]] + of.token[m]) for m in here]]
            layers = [states.float().cpu().numpy() for states in residuals(lm, batch, at)]
            found |= {int(m): [states[n] for states in layers] for n, m in enumerate(here)}
    return [np.stack(of_layer) for of_layer in zip(*(found[m] for m in range(len(of.item))), strict=True)]


def predicted(x: np.ndarray, y: np.ndarray, seen: np.ndarray, classes: int, penalty: float) -> np.ndarray:
    """[M, C] probabilities of each class at `seen` [M, D], by logistic regression of y [N] on x [N, D].

    The states are standardised by x. Minimises the sum of cross-entropies + penalty / 2 times the squared weights
    [D, C], not the intercepts. Where there are more coordinates than rows, the fit is made in the space of the rows,
    which holds the optimum.
    """
    mean, spread = x.mean(0, dtype=float), x.std(0, dtype=float)
    x, seen = ((each - mean) / np.where(spread > 0, spread, 1.0) for each in (x, seen))
    if x.shape[1] > x.shape[0]:
        _, _, basis = np.linalg.svd(x, full_matrices=False)
        x, seen = x @ basis.T, seen @ basis.T
    x, seen = (np.column_stack([each, np.ones(len(each))]) for each in (x, seen))
    own = np.eye(classes)[y]
    kept = np.ones((x.shape[1], 1))
    kept[-1] = 0.0

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, classes)
        logp = log_softmax(x @ weights, axis=1)
        value = -(own * logp).sum() + penalty / 2 * (kept * weights**2).sum()
        return float(value), (x.T @ (np.exp(logp) - own) + penalty * kept * weights).ravel()

    fit = minimize(loss, np.zeros(x.shape[1] * classes), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    likely: np.ndarray = np.exp(log_softmax(seen @ fit.x.reshape(-1, classes), axis=1))
    return likely


def mean_by(item: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """[count] mean of the values of each item; NaN where it has none."""
    sums, of = np.bincount(item, values, count), np.bincount(item, minlength=count)
    return np.divide(sums, of, out=np.full(count, np.nan), where=of > 0)
