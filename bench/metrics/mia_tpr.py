"""Membership inference at low false-positive rates. Carlini et al. 2022, arXiv:2112.03570."""

from typing import ClassVar

import numpy as np

from bench.api import Goal, Sample, metric
from bench.metrics._forms import Form
from bench.stats import roc


class _TprAtFpr(Form):
    """Share of the forget set that the loss attack names at a false-positive rate; ideally that rate itself."""

    goal: ClassVar[Goal] = "match"
    needs: ClassVar = (("forget", "loss"), ("holdout", "loss"))
    fpr: ClassVar[float]

    def score(self, sample: Sample, retrain: Sample | None) -> np.ndarray:
        """The largest true-positive rate whose false-positive rate is not above `fpr`."""
        member, other = (sample[need] for need in self.needs)
        return roc.tpr_at(self.fpr, member, other)


@metric("mia_tpr_1")
class MiaTpr1(_TprAtFpr):
    """True-positive rate of the loss attack at 1% false positives."""

    title: ClassVar = "MIA TPR at 1% FPR"
    fpr: ClassVar = 0.01


@metric("mia_tpr_5")
class MiaTpr5(_TprAtFpr):
    """True-positive rate of the loss attack at 5% false positives."""

    title: ClassVar = "MIA TPR at 5% FPR"
    fpr: ClassVar = 0.05
