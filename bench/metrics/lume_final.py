"""LUME's final score. SemEval-2025 Task 4 (Ramakrishna et al. 2025, arXiv:2504.02883)."""

from typing import ClassVar

import numpy as np

from bench.api import Sample, metric
from bench.metrics._forms import Form
from bench.metrics.lume_mia import LumeMiaScore
from bench.metrics.lume_parts import SETS, GeneralKnowledge
from bench.metrics.lume_task_aggregate import LumeTaskAggregate

PARTS = (LumeTaskAggregate, LumeMiaScore, GeneralKnowledge)


@metric("lume_final")
class LumeFinal(Form):
    """Mean of task aggregate, MIA score and general knowledge. A destroyed model has about 0.4: look at the three."""

    title: ClassVar = "final score"
    may_lack: ClassVar = SETS
    needs: ClassVar = tuple(need for part in PARTS for need in part.needs)

    def score(self, sample: Sample, retrain: Sample | None) -> np.ndarray:
        """Arithmetic mean of the three."""
        return np.mean(np.broadcast_arrays(*(part(self.compat).score(sample, retrain) for part in PARTS)), axis=0)
