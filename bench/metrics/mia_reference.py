"""The reference attack. Carlini et al. 2021, arXiv:2012.07805."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack


@metric("mia_reference")
class MiaReference(Attack):
    """AUC of the loss beyond a reference model's; needs the reference probe."""

    title: ClassVar = "MIA AUC (reference)"
    needs: ClassVar = (("forget", "excess_loss"), ("holdout", "excess_loss"))
