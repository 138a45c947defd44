"""The min-k attack. Shi et al. 2024, arXiv:2310.16789; k = 0.4 as in MUSE and open-unlearning."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack


@metric("mia_min_k")
class MiaMinK(Attack):
    """AUC of minus the mean log-probability of the 40% least likely tokens."""

    title: ClassVar = "MIA AUC (min-k)"
    needs: ClassVar = (("forget", "min_k"), ("holdout", "min_k"))
