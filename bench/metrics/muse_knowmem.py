"""MUSE's second and fourth criterion: no knowledge memorisation, and utility. Shi et al. 2024, arXiv:2407.06460.

The shares of answers that hold the true one, and what is less retrain's, are ours.
"""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import LessRetrain, Mean


@metric("muse_knowmem")
class KnowMem(Mean):
    """Mean ROUGE-L F1 of the answers to questions on forget documents, none of which was ever taught."""

    goal: ClassVar = "minimise"
    title: ClassVar = "KnowMem"
    needs: ClassVar = (("forget_qa", "answered"),)


@metric("muse_knowmem_excess")
class KnowMemExcess(LessRetrain):
    """KnowMem less the retrain model's, which is what guessing gives."""

    title: ClassVar = "KnowMem - retrain's"
    needs: ClassVar = KnowMem.needs
    parts: ClassVar = (KnowMem,)


@metric("muse_retain_knowmem")
class RetainKnowMem(Mean):
    """Mean ROUGE-L F1 of the answers to questions on retain documents: MUSE's utility."""

    title: ClassVar = "KnowMem, retain"
    needs: ClassVar = (("retain_qa", "answered"),)


@metric("muse_held")
class Held(Mean):
    """Share of the questions on forget documents whose answer holds the true one."""

    goal: ClassVar = "minimise"
    title: ClassVar = "answers held, forget"
    needs: ClassVar = (("forget_qa", "held"),)


@metric("muse_retain_held")
class RetainHeld(Mean):
    """Share of the questions on retain documents whose answer holds the true one."""

    title: ClassVar = "answers held, retain"
    needs: ClassVar = (("retain_qa", "held"),)
