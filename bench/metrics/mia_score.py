"""MIA score. Ramakrishna et al. 2025 (LUME, SemEval-2025 task 4), arXiv:2502.15097."""

from typing import ClassVar

import numpy as np

from bench import stats
from bench.api import Sample, metric
from bench.metrics._forms import Form


@metric("mia_score")
class MiaScore(Form):
    """1 - 2 |AUC - 1/2| of the loss attack: 1 where it learns nothing, 0 where it is always right or always wrong."""

    title: ClassVar = "MIA score"
    needs: ClassVar = (("forget", "loss"), ("holdout", "loss"))

    def score(self, sample: Sample, retrain: Sample | None) -> np.ndarray:
        """In [0, 1]."""
        member, other = (sample[need] for need in self.needs)
        return 1 - 2 * np.abs(stats.auc(member, other) - 0.5)
