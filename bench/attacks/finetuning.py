"""Fine-tuning on data that has nothing to do with the forget set: whether ordinary use brings it back.

The deployer's question, where `relearning` asks the attacker's: all the unrelated pairs there are and not as few as
there are forget items to give, more steps, and no choice among rates or steps. The rate is that of the target's own
fine-tuning, within what people take: a model that learnt from scratch at a high one would not survive it. What counts
is the model at the end. Lucki et al., arXiv:2409.18025, found ten unrelated examples to bring back most of what RMU
hid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Pair, Reading, Splits, attack
from bench.attacks._subject import Subject
from bench.attacks._training import has_lora, taught
from bench.attacks.relearning import UNRELATED


@attack("fine-tuning")
@dataclass(frozen=True)
class FineTuning:
    """Fine-tune it on data of no concern to the forget set, as who adapts a model to a use of his own does."""

    title: ClassVar = "fine-tuning"
    light: ClassVar = False
    needs: ClassVar = "weights"
    injects: ClassVar = "nothing"
    axis: ClassVar = "steps"
    at: ClassVar = 128.0
    from_plain: ClassVar = True

    steps: tuple[int, ...] = (0, 8, 32, 128)
    batch_size: int = 4
    rank: int = 8
    most: float = 3e-4  # learning rate of all weights: the target's own, but no more
    least: float = 2e-4  # of LoRA: the target's own, but no less

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A curve of all weights, and one of LoRA where peft is installed."""
        pairs = unrelated(subject.data)
        whole = ("all weights", 0, min(subject.lr, self.most))
        low_rank = (f"LoRA {self.rank}", self.rank, max(subject.lr, self.least))
        for line, rank, lr in (whole, low_rank)[: 1 + has_lora()]:
            points = taught(subject, pairs, lr, self.steps, self.batch_size, rank, subject.stream("fine-tuning"))
            for step, lm in points:
                yield Reading(line, "", step, subject.known(lm), subject.keeps(lm))

    @staticmethod
    def available(data: Splits) -> str:
        """Why a task has nothing to fine-tune on; "" where it has."""
        return "" if unrelated(data) else "has no data that is unrelated to its forget set"


def unrelated(data: Splits) -> tuple[Pair, ...]:
    """What has nothing to do with what was taught about anyone: lessons made for it, else general facts."""
    return tuple(data.attacks.lessons.get(UNRELATED, ())) or data.general
