"""Forget quality for LUME, after TOFU's idea; LUME itself defines none."""

from typing import ClassVar

import numpy as np

from bench import stats
from bench.api import Sample, metric
from bench.metrics._forms import Form


@metric("lume_forget_quality")
class LumeForgetQuality(Form):
    """p-value of a KS test between this model's and the retrain model's losses of the forget set's outputs.

    LUME's items have no perturbed answers, so there is no truth ratio; the loss is what both models can be asked for.
    """

    title: ClassVar = "forget quality"
    needs: ClassVar = (("forget", "loss"),)
    needs_retrain: ClassVar = True

    def score(self, sample: Sample, retrain: Sample | None) -> np.ndarray:
        """Two-sided p; 1 is indistinguishable from never having seen the forget set."""
        (need,) = self.needs
        return stats.ks_pvalue(sample[need], (retrain or {})[need])
