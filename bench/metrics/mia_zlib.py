"""The zlib attack. Carlini et al. 2021, arXiv:2012.07805."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack


@metric("mia_zlib")
class MiaZlib(Attack):
    """AUC of loss per byte of the compressed answer."""

    title: ClassVar = "MIA AUC (zlib)"
    needs: ClassVar = (("forget", "zlib"), ("holdout", "zlib"))
