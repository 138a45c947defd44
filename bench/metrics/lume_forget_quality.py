"""Forget quality for LUME, after TOFU's idea; LUME itself defines none."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import RetrainTest


@metric("lume_forget_quality")
class LumeForgetQuality(RetrainTest):
    """p-value of a KS test between this model's and the retrain model's losses of the forget set's outputs.

    LUME's items have no perturbed answers, so there is no truth ratio; the loss is what both models can be asked for.
    """

    title: ClassVar = "forget quality"
    needs: ClassVar = (("forget", "loss"),)
