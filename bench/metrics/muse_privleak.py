"""MUSE's third criterion: no privacy leakage. Shi et al. 2024 (MUSE), arXiv:2407.06460; Min-40% of arXiv:2310.16789."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack
from bench.metrics.privleak import PrivLeak


@metric("muse_mia")
class MuseMia(Attack):
    """AUC of telling forget documents from unseen ones by their 40% least likely tokens' mean log-probability."""

    title: ClassVar = "MIA AUC (min-k, documents)"
    needs: ClassVar = (("member", "document_min_k"), ("nonmember", "document_min_k"))


@metric("muse_privleak")
class MusePrivLeak(PrivLeak):
    """PrivLeak of whole documents: 0 ideal, -100 full leak, above 0 overdone; within 5 of 0 is MUSE's good range."""

    title: ClassVar = "PrivLeak (documents)"
    needs: ClassVar = MuseMia.needs
