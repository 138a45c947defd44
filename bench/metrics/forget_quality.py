"""Forget quality. Maini et al. 2024 (TOFU), arXiv:2401.06121."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import RetrainTest


@metric("forget_quality")
class ForgetQuality(RetrainTest):
    """p-value of a KS test between the forget truth ratios of this model and of the retrain model.

    1 is indistinguishable from never having seen the forget set. R, 1/R and log R give the same.
    """

    title: ClassVar = "forget quality"
    needs: ClassVar = (("forget", "log_truth_ratio"),)
