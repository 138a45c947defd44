"""The gradient-norm attack. Wang et al. 2024, arXiv:2402.17012."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack


@metric("mia_gradient_norm")
class MiaGradientNorm(Attack):
    """AUC of the norm of the loss's gradient; needs the gradient-norm probe."""

    title: ClassVar = "MIA AUC (gradient norm)"
    needs: ClassVar = (("forget", "gradient_norm"), ("holdout", "gradient_norm"))
