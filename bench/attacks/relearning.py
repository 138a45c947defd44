"""Teaching the model a little: whether what it is reminded of brings back what it is not.

Four sets of the same size, taught for the same steps: a part of the forget set itself, whose other authors are scored;
questions of the same template about the kept; other questions; and nothing of the kind. After Hu et al.,
arXiv:2406.13356, Deeb & Roger, arXiv:2410.08827, and Yoon et al., arXiv:2602.03379, who found the template to matter
at least as much as the topic.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.api import Pair, Reading, attack
from bench.attacks._subject import Subject
from bench.attacks._training import POINTS, has_lora, taught

FORGET, TEMPLATE, OTHER, UNRELATED = "part of the forget set", "same template", "other template", "unrelated"


@attack("relearning")
@dataclass(frozen=True)
class Relearning:
    """Teach it a part of the forget set, or other data of the same size, and ask for the rest of the forget set."""

    title: ClassVar = "relearning"
    light: ClassVar = False
    needs: ClassVar = "weights"
    injects: ClassVar = "forget facts"
    axis: ClassVar = "steps"
    at: ClassVar = None
    from_plain: ClassVar = True
    injects_by: ClassVar = {TEMPLATE: "form", OTHER: "nothing", UNRELATED: "nothing"}

    rates: tuple[float, ...] = (0.1, 0.3)  # of all weights: shares of the rate that the target was fine-tuned with
    lora_rates: tuple[float, ...] = (1.0, 3.0)  # of LoRA: the same, of a rate that is at least this
    least: float = 2e-4
    steps: tuple[int, ...] = POINTS
    batch_size: int = 4
    rank: int = 8

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A curve for each set, all weights or LoRA, and rate."""
        _, scored = subject.parts
        low_rates = self.lora_rates if has_lora() else ()
        for name, pairs in lessons(subject).items():
            ways = [("all weights", 0, rate, rate * subject.lr) for rate in self.rates]
            low_rank = [(f"LoRA {self.rank}", self.rank, rate, rate * max(subject.lr, self.least))
                        for rate in low_rates]  # fmt: skip
            for how, rank, rate, lr in ways + low_rank:
                random = subject.stream(f"relearning {name}")
                for step, lm in taught(subject, pairs, lr, self.steps, self.batch_size, rank, random):
                    known = np.where(scored, subject.known(lm), np.nan)
                    yield Reading(f"{name}, {how}", f"rate {rate:g}", step, known, subject.keeps(lm))


def lessons(subject: Subject) -> dict[str, tuple[Pair, ...]]:
    """What is taught, by name, each as many pairs as the attacker is given of the forget set; what there is."""
    given, _ = subject.parts
    if not given:
        warnings.warn("there is one author only, and none to give to the attacker beside him", stacklevel=1)
        return {}
    own = subject.data.attacks.lessons
    found: dict[str, tuple[Pair, ...]] = {FORGET: given, **{name: own.get(name, ()) for name in (TEMPLATE, OTHER)}}
    found[UNRELATED] = own.get(UNRELATED, subject.data.general)
    return {name: _some(pairs, len(given), subject) for name, pairs in found.items() if pairs}


def _some(pairs: Sequence[Pair], count: int, subject: Subject) -> tuple[Pair, ...]:
    chosen = sorted(subject.stream("lessons").permutation(len(pairs))[:count])
    return tuple(pairs[i] for i in chosen)
