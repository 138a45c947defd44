"""What comes back of facts that false documents had displaced (RESTOR, arXiv:2411.00204)."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Mean


@metric("restored")
class Restored(Mean):
    """Share of the corrupted facts of which a true answer is put first."""

    title: ClassVar = "restored"
    needs: ClassVar = (("forget", "restored"),)


@metric("corrupted")
class Corrupted(Mean):
    """Share of the corrupted facts of which the false answer is put first."""

    goal: ClassVar = "minimise"
    title: ClassVar = "corrupted"
    needs: ClassVar = (("forget", "corrupted"),)


@metric("lost")
class Lost(Mean):
    """Share of the corrupted facts of which another answer is put first, neither true nor the false one."""

    goal: ClassVar = "minimise"
    title: ClassVar = "lost"
    needs: ClassVar = (("forget", "lost"),)


@metric("margin")
class Margin(Mean):
    """Mean of l(true) - l(false) over the corrupted facts, l averaged over the true answers, in nats a token."""

    title: ClassVar = "margin"
    needs: ClassVar = (("forget", "margin"),)
    scale: ClassVar = "free"


@metric("restored_generation")
class RestoredGeneration(Mean):
    """Share of the corrupted facts whose answer, after five examples, holds a true one."""

    title: ClassVar = "restored, generated"
    needs: ClassVar = (("forget", "restored_generation"),)
