"""LUME's membership inference: whole documents, by their loss. Ramakrishna et al. 2025, arXiv:2502.15097."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Attack, AttackScore


@metric("lume_mia_auc")
class LumeMiaAuc(Attack):
    """AUC of telling members, documents of the forget set, from documents that no model has seen."""

    title: ClassVar = "MIA AUC"
    needs: ClassVar = (("member", "document_loss"), ("nonmember", "document_loss"))


@metric("lume_mia_score")
class LumeMiaScore(AttackScore):
    """1 - 2 |AUC - 0.5|: 1 where members cannot be told from non-members, 0 where they always can."""

    title: ClassVar = "MIA score"
    needs: ClassVar = LumeMiaAuc.needs
    parts: ClassVar = (LumeMiaAuc,)
