"""Forget quality. Maini et al. 2024 (TOFU), arXiv:2401.06121."""

from typing import ClassVar

import numpy as np

from bench import stats
from bench.api import Sample, metric
from bench.metrics._forms import Form


@metric("forget_quality")
class ForgetQuality(Form):
    """p-value of a KS test between the forget truth ratios of this model and of the retrain model."""

    title: ClassVar = "forget quality"
    needs: ClassVar = (("forget", "log_truth_ratio"),)
    needs_retrain: ClassVar = True

    def score(self, sample: Sample, retrain: Sample | None) -> np.ndarray:
        """Two-sided p; 1 is indistinguishable from never having seen the forget set. R, 1/R and log R give the same."""
        (need,) = self.needs
        return stats.ks_pvalue(sample[need], (retrain or {})[need])
