"""The min-k++ attack. Zhang et al. 2024, arXiv:2404.02936."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack


@metric("mia_min_k_plus_plus")
class MiaMinKPlusPlus(Attack):
    """AUC of min-k over log-probabilities that are standardised over the vocabulary."""

    title: ClassVar = "MIA AUC (min-k++)"
    needs: ClassVar = (("forget", "min_k_plus_plus"), ("holdout", "min_k_plus_plus"))
