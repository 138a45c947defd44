"""MUSE's first criterion: no verbatim memorisation. Shi et al. 2024, arXiv:2407.06460; less retrain's is ours."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import LessRetrain, Mean


@metric("muse_verbmem")
class VerbMem(Mean):
    """Mean ROUGE-L F1 of what the model continues the beginnings of forget documents with."""

    goal: ClassVar = "minimise"
    title: ClassVar = "VerbMem"
    needs: ClassVar = (("forget", "completed"),)


@metric("muse_verbmem_excess")
class VerbMemExcess(LessRetrain):
    """VerbMem less the retrain model's, which the wording of documents alone gives."""

    title: ClassVar = "VerbMem - retrain's"
    needs: ClassVar = VerbMem.needs
    parts: ClassVar = (VerbMem,)


@metric("muse_retain_verbmem")
class RetainVerbMem(Mean):
    """Mean ROUGE-L F1 of what the model continues the beginnings of retain documents with; MUSE has no such rows."""

    title: ClassVar = "VerbMem, retain"
    needs: ClassVar = (("retain", "completed"),)
