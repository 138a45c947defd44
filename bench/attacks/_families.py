"""A task's families of questions, put to a model: how much of the answers it knows, item by item.

Most are scored as plain questions are, by the value of the answer. Where the answer is one among options, what counts
is its share of the probability that the model gives them: 1 / (number of options) is chance. An item that is asked
several times (a true and a false value, two authors in both orders) counts by the product: who guesses both has 1/4,
who always says yes nothing, and who likes one name better than another up to 1/2. What retrain has is the chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bench.api import Asking, Family, Splits
from bench.attacks._asked import Asked
from bench.attacks._subject import Subject
from bench.model.models import LM


def of_kinds(data: Splits, kinds: Iterable[str]) -> list[Family]:
    """The families of a task of some kinds, in the order of the kinds; controls are others' to ask."""
    return [f for kind in kinds for f in data.attacks.families if f.kind == kind and not f.control]


def lacks(data: Splits, *kinds: str) -> str:
    """Why a task cannot be asked so; "" where it can."""
    return "" if of_kinds(data, kinds) else f"has no family of questions of the kind {' or '.join(kinds)}"


def asked_of(askings: Sequence[Asking], items: Sequence[Asked]) -> list[Asking]:
    """What is asked of these items alone."""
    wanted = {each.id for each in items}
    return [asking for asking in askings if asking.id in wanted]


def shares(subject: Subject, lm: LM, askings: Sequence[Asking], prompts: Sequence[str]) -> np.ndarray:
    """[K] how much of each answer is known under its prompt: of its value, or its share among the options."""
    found = np.full(len(askings), np.nan)
    plain = [i for i, each in enumerate(askings) if not each.options]
    if plain:
        found[plain] = subject.known(lm, [asked(askings[i], prompts[i]) for i in plain])
    chosen = [i for i, each in enumerate(askings) if each.options]
    if chosen:
        found[chosen] = _among_options(subject, lm, [askings[i] for i in chosen], [prompts[i] for i in chosen])
    return found


def asked(asking: Asking, prompt: str) -> Asked:
    """What a turn asks, put so."""
    return Asked(asking.id, asking.cluster, prompt, asking.answer, asking.false, asking.raw)


def filled(turn: str, answers: Sequence[str]) -> str:
    """A turn with the answers before it in their places; one that none stands before is left as it is."""
    return turn.format(*answers) if answers else turn


def _among_options(subject: Subject, lm: LM, askings: Sequence[Asking], prompts: Sequence[str]) -> np.ndarray:
    ready = subject.ready(
        [
            Asked(each.id, each.cluster, prompt, option, raw=each.raw)
            for each, prompt in zip(askings, prompts, strict=True)
            for option in (each.answer, *each.false)
        ]
    )
    said = ready.logps(lm, subject.precision)
    logps = np.array([of.astype(float).sum() if len(of) else np.nan for of in said])
    ends = np.cumsum([1 + len(each.false) for each in askings])[:-1]
    return np.array([share(of) for of in np.split(logps, ends)])


def share(logps: np.ndarray) -> float:
    """The first option's share of the probability of all, from their log-probabilities; NaN where one is no number."""
    return float(1 / np.exp(logps - logps[0]).sum())


def by_item(askings: Sequence[Asking], values: np.ndarray, items: Sequence[Asked]) -> np.ndarray:
    """[N] of each item the product of what it was asked; NaN where it was asked nothing."""
    of: dict[str, float] = {}
    for asking, value in zip(askings, values, strict=True):
        of[asking.id] = of.get(asking.id, 1.0) * float(value)
    return np.array([of.get(each.id, np.nan) for each in items])
