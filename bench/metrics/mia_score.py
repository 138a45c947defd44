"""MIA score. Ramakrishna et al. 2025 (LUME, SemEval-2025 task 4), arXiv:2502.15097."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import AttackScore
from bench.metrics.mia_auc import MiaLoss


@metric("mia_score")
class MiaScore(AttackScore):
    """1 - 2 |AUC - 1/2| of the loss attack: 1 where it learns nothing, 0 where it is always right or always wrong."""

    title: ClassVar = "MIA score"
    needs: ClassVar = MiaLoss.needs
    parts: ClassVar = (MiaLoss,)
