"""Exact memorisation. Tirumala et al. 2022, arXiv:2205.10770."""

from typing import ClassVar

import numpy as np

from bench.api import Sample, metric
from bench.metrics._forms import Mean, mean


@metric("exact_memorisation")
class ExactMemorisation(Mean):
    """Mean share of a forget answer's tokens that the model puts first; the end of sequence does not count."""

    goal: ClassVar = "minimise"
    title: ClassVar = "exact memorisation"
    needs: ClassVar = (("forget", "exact_memorisation"),)

    def score(self, sample: Sample, retrain: Sample | None) -> np.ndarray:
        """Answers without tokens are left out, by everyone."""
        return mean(sample[self.needs[0]])
