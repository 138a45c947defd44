"""What attacks ask, and how much of the answer a model knows.

Only the *value* of an answer counts: the tokens that not every false answer to the same question has as well. Whoever
has learnt the template says the others too (Yoon et al., arXiv:2602.03379, score keyword and template tokens apart).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bench.api import Pair, Splits, Text
from bench.contracts import Encoded
from bench.measure.lengths import context
from bench.model.models import LM
from bench.model.precision import Precision, arithmetic
from bench.train.batches import attached_logps, in_batches

SCORED, KEPT, GIVEN = 200, 30, 20
"""Most forget items that are scored, retain items beside them, and forget items that an attacker is given."""


@dataclass(frozen=True)
class Asked:
    """A question with its answer, and false answers of the same kind, by which its value is told from its template."""

    id: str
    cluster: str  # author or document
    prompt: str
    answer: str
    false: tuple[str, ...] = ()
    raw: bool = False
    begun: str = ""  # how the answer begins already, which is not scored

    def asking(self, prompt: str) -> Asked:
        """The same asked otherwise."""
        return dataclasses.replace(self, prompt=prompt)

    def encoded(self, lm: LM, answer: str) -> Encoded:
        """Ids of the question and an answer to it; how that begins already is at the end of the prompt.

        What is begun is followed by a blank; of raw texts it stands behind one, and the answer is glued to it.
        """
        if self.raw and self.begun:
            return lm.encode(f"{self.prompt} {self.begun}", answer, raw=True)
        asked = lm.encode(self.prompt, answer, self.raw)
        if not self.begun:
            return asked
        begun = lm.encode(self.prompt, self.begun).answer[:-1]
        whole = lm.encode(self.prompt, f"{self.begun} {answer}").answer
        # Where a token straddles the border, the answer is encoded as it is without the beginning.
        goes_on = whole[len(begun) :] if whole[: len(begun)] == begun else asked.answer
        return Encoded([*asked.prompt, *begun], goes_on)


def forget_items(data: Splits, random: np.random.Generator) -> tuple[Asked, ...]:
    """The forget items, whole clusters drawn until there are `SCORED`."""
    return _some(_asked(data, "forget"), SCORED, random)


def kept_items(data: Splits, random: np.random.Generator) -> tuple[Asked, ...]:
    """Retain items, those that the task's probes score, else of what is taught."""
    found = _asked(data, "retain") or [
        Asked(f"retain-{n}", f"retain-{n}", pair.prompt, pair.answer, raw=pair.raw)
        for n, pair in enumerate(data.retain)
    ]
    return _some(found, KEPT, random)


def _asked(data: Splits, set_: str) -> list[Asked]:
    false: dict[str, list[str]] = {}
    answers: dict[str, Text] = {}
    for text in data.probes.texts:
        if text.set == set_ and text.role == "perturbed":
            false.setdefault(text.id, []).append(text.continuation)
        elif text.set == set_ and text.role == "answer":
            answers[text.id] = text
    return [
        Asked(name, t.cluster, t.prompt, t.continuation, tuple(false.get(name, ())), t.raw)
        for name, t in answers.items()
    ]


def _some(found: Sequence[Asked], most: int, random: np.random.Generator) -> tuple[Asked, ...]:
    """Whole clusters in a random order until there are `most` items, in the order that they had."""
    places = dict(by_cluster(found))
    chosen = _within(places, random.permutation(len(places)), most)
    return tuple(each for each in found if each.cluster in chosen)


def taught_and_scored(items: Sequence[Asked], random: np.random.Generator) -> tuple[tuple[Pair, ...], np.ndarray]:
    """Whole clusters of at most `GIVEN` items and half of all for the attacker, and which items are scored then.

    Learning on what is scored would measure learning (Deeb & Roger, arXiv:2410.08827). One cluster is given at least,
    unless there is no other.
    """
    places = dict(by_cluster(items))
    if len(places) < 2:
        return (), np.ones(len(items), dtype=bool)
    given = _within(places, random.permutation(len(places))[: len(places) // 2], GIVEN)
    pairs = tuple(Pair(each.prompt, each.answer, each.raw) for each in items if each.cluster in given)
    return pairs, np.array([each.cluster not in given for each in items])


def _within(places: Mapping[str, Sequence[int]], order: np.ndarray, most: int) -> set[str]:
    """The first clusters in an order that have at most so many items together, or the first alone."""
    names = list(places)
    chosen = {names[order[0]]} if len(order) else set()
    count = len(places[names[order[0]]]) if len(order) else 0
    for at in order[1:]:
        count += len(places[names[at]])
        if count > most:
            break
        chosen.add(names[at])
    return chosen


class Ready:
    """Questions as a model's batches, made once for all the models that are asked them.

    What is longer than the model has positions for is not asked.

    Args:
        lm: any model with the tokenizer, where the batches are to lie.
    """

    def __init__(self, lm: LM, asked: Sequence[Asked]) -> None:
        self.items = [each.encoded(lm, each.answer) for each in asked]
        most = context(lm.model.config) or sys.maxsize
        fit = [i for i, item in enumerate(self.items) if len(item.prompt) + len(item.answer) - 1 <= most]
        self.batches = list(in_batches(lm, self.items, fit))
        self.values = [_values(lm, each, item.answer) for each, item in zip(asked, self.items, strict=True)]

    @torch.no_grad()
    def logps(self, lm: LM, precision: Precision = "float32") -> list[np.ndarray]:
        """Log-probabilities of the tokens of each answer and of its end [T_i]; none of one that is not asked."""
        found: list[np.ndarray] = [np.empty(0)] * len(self.items)
        with arithmetic(precision, lm.device):
            for rows, batch in self.batches:
                labels = attached_logps(lm, batch, [self.items[i].prompt for i in rows]).logp.float().cpu().numpy()
                for i, of in zip(rows, labels, strict=True):
                    found[i] = of[: len(self.items[i].answer)]
        return found

    def known(self, logps: Sequence[np.ndarray]) -> np.ndarray:
        """[N] geometric mean of the probabilities of each answer's value tokens; 0 where logits are no numbers, NaN
        where it is not asked.
        """
        pairs = zip(logps, self.values, strict=True)
        return np.array([np.nan_to_num(np.exp(of[value].mean())) if len(of) else np.nan for of, value in pairs])


def _values(lm: LM, asked: Asked, own: Sequence[int]) -> np.ndarray:
    """[T] which of an answer's tokens, its end among them, are its value; all but the end where none would be."""
    false = [set(asked.encoded(lm, other).answer) for other in asked.false]
    told = np.array([not false or not all(token in other for other in false) for token in own])
    told[-1] = False
    if not told.any():
        told[: max(1, len(own) - 1)] = True
    return told


def by_cluster(items: Sequence[Asked]) -> Iterator[tuple[str, list[int]]]:
    """Each cluster with the places of its items."""
    places: dict[str, list[int]] = {}
    for i, each in enumerate(items):
        places.setdefault(each.cluster, []).append(i)
    yield from places.items()
