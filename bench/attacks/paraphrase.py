"""The questions in other words, which nobody was trained on: whether the fact is gone or only the way it was asked.

The task's own paraphrases, those that its metrics ask (`paraphrased_question`); arXiv:2509.02820 takes the worst case
over wordings, as the attacker here may choose one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.api import Reading, Splits, attack
from bench.attacks._subject import Subject

OWN, TAUGHT = "its own answer", "the answer that was taught"


@attack("paraphrase")
@dataclass(frozen=True)
class Paraphrase:
    """Ask in other words."""

    title: ClassVar = "paraphrase"
    light: ClassVar = False
    needs: ClassVar = "probabilities"
    injects: ClassVar = "nothing"
    axis: ClassVar = ""
    at: ClassVar = None
    from_plain: ClassVar = True

    def available(self, data: Splits) -> str:
        """Why there is nothing to ask."""
        return "" if _paraphrases(data) else "has no paraphrased questions of its forget set"

    def run(self, subject: Subject) -> Iterator[Reading]:
        """How well each fact's value is said in the wording of the paraphrase, and in the one that was trained on."""
        found = _paraphrases(subject.data)
        lacking = np.array([each.id not in found for each in subject.items])
        others = [found.get(each.id, (each.prompt, each.answer)) for each in subject.items]
        taught = [each.asking(prompt) for each, (prompt, _) in zip(subject.items, others, strict=True)]
        own = [dataclasses.replace(each, answer=answer) for each, (_, answer) in zip(taught, others, strict=True)]
        for setting, asked in {OWN: own, **({TAUGHT: taught} if taught != own else {})}.items():
            yield Reading("", setting, 0.0, np.where(lacking, np.nan, subject.known(subject.lm, asked)))


def _paraphrases(data: Splits) -> dict[str, tuple[str, str]]:
    """Question and answer by item; what is asked as it was trained on is no paraphrase."""
    trained = {pair.prompt for pair in data.forget}
    return {
        prompt.id: (prompt.prompt, prompt.reference)
        for prompt in data.probes.prompts
        if (prompt.set, prompt.role) == ("forget", "paraphrased_question") and prompt.prompt not in trained
    }
