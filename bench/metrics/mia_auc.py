"""The loss attack. Yeom et al. 2018, arXiv:1709.01604."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack


@metric("mia_auc")
class MiaLoss(Attack):
    """AUC of the loss attack, forget set against holdout: the headline membership inference number."""

    title: ClassVar = "MIA AUC (loss)"
    needs: ClassVar = (("forget", "loss"), ("holdout", "loss"))
