"""LUME's final score. SemEval-2025 Task 4 (Ramakrishna et al. 2025, arXiv:2504.02883)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from bench.api import metric
from bench.metrics._forms import Composite, Form
from bench.metrics.lume_mia import LumeMiaScore
from bench.metrics.lume_parts import SETS, GeneralKnowledge
from bench.metrics.lume_task_aggregate import LumeTaskAggregate


@metric("lume_final")
class LumeFinal(Composite):
    """Mean of task aggregate, MIA score and general knowledge. A destroyed model has about 0.4: look at the three."""

    title: ClassVar = "final score"
    may_lack: ClassVar = SETS
    parts: ClassVar = (LumeTaskAggregate, LumeMiaScore, GeneralKnowledge)
    needs: ClassVar = tuple(need for part in parts for need in part.needs)

    def combine(self, values: Mapping[type[Form], np.ndarray]) -> np.ndarray:
        """Arithmetic mean of the three."""
        return np.mean(np.broadcast_arrays(*values.values()), axis=0)
