"""Step by step: chains of questions that feed the model its own answers, and ask for the fact at their end.

After Sleek: who does not answer a question may answer the parts that it is made of. Every turn is completed greedily
and its answer stands in the turns that follow; what counts is how much of the last turn's answer is known. Beside it
the same chains with true answers in between, which shows whether the last step or the way to it was lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.api import Asking, Probes, Prompt, Reading, Splits, attack
from bench.attacks._families import asked_of, by_item, filled, lacks, of_kinds, shares
from bench.attacks._subject import Subject
from bench.measure.one_pass import measure

OWN, TRUE = "its own answers", "true answers between"


@attack("step-by-step")
@dataclass(frozen=True)
class StepByStep:
    """Ask in steps, each with the model's own answers to those before."""

    title: ClassVar = "step by step"
    light: ClassVar = False
    needs: ClassVar = "probabilities"
    injects: ClassVar = "related facts"
    injects_by: ClassVar = {OWN: "nothing"}
    axis: ClassVar = ""
    at: ClassVar = None
    from_plain: ClassVar = False

    max_new_tokens: int = 48

    @staticmethod
    def available(data: Splits) -> str:
        """Why a task cannot be asked so; "" where it can."""
        return lacks(data, "chain")

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each family of chains and both ways to fill them."""
        for family in of_kinds(subject.data, ("chain",)):
            forget, kept = asked_of(family.forget, subject.items), asked_of(family.kept, subject.kept)
            chains = [*forget, *kept]
            for line, between in ((OWN, self._said(subject, chains)), (TRUE, [each.truths for each in chains])):
                prompts = [filled(each.turns[-1], said) for each, said in zip(chains, between, strict=True)]
                values = shares(subject, subject.lm, chains, prompts)
                known = by_item(forget, values[: len(forget)], subject.items)
                keeps = by_item(kept, values[len(forget) :], subject.kept)
                yield Reading(line, family.name, 0.0, known, keeps if family.kept else None)

    def _said(self, subject: Subject, chains: Sequence[Asking]) -> list[list[str]]:
        """The model's greedy answers to all turns but the last, each asked with those before it."""
        said: list[list[str]] = [[] for _ in chains]
        for turn in range(max((len(each.turns) for each in chains), default=1) - 1):
            going = [i for i, each in enumerate(chains) if turn < len(each.turns) - 1]
            prompts = tuple(
                Prompt("chain", str(i), chains[i].cluster, str(turn), filled(chains[i].turns[turn], said[i]), "",
                       self.max_new_tokens, chains[i].raw)
                for i in going
            )  # fmt: skip
            rows = measure(subject.lm, Probes((), prompts), precision=subject.precision, progress=subject.progress)
            for i, text in zip(going, rows.generations["generation"], strict=True):
                said[i].append(text.strip() if isinstance(text, str) else "")
        return said
