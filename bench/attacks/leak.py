"""Asking many times: the chance that one of k samples is the answer, exactly from its log-probability.

leak@k of arXiv:2511.04934 for an answer that is said word for word: with p the probability of answer and end,
1 - (1 - p)^k. No sample is drawn and no error of sampling made; other wordings leak too, so it is a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.api import Reading, attack
from bench.attacks._subject import Subject
from bench.stats.leak import at_least_once


@attack("leak")
@dataclass(frozen=True)
class Leak:
    """Ask k times at temperature 1: the chance to hear the very answer, exact."""

    title: ClassVar = "leak@k"
    light: ClassVar = True
    needs: ClassVar = "questions"
    injects: ClassVar = "nothing"
    axis: ClassVar = "k"
    at: ClassVar = 128.0
    from_plain: ClassVar = False

    def run(self, subject: Subject) -> Iterator[Reading]:
        """A reading for each k = 1, 2, 4, ..., 128."""
        logps = np.array([np.nan_to_num(of.astype(float).sum(), nan=-np.inf) if len(of) else np.nan
                          for of in subject.plain])  # fmt: skip
        for k in 2 ** np.arange(8):
            yield Reading("", "", float(k), at_least_once(logps, int(k)))
