"""LUME's task aggregate. Ramakrishna et al. 2025, arXiv:2502.15097."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Harmonic
from bench.metrics.lume_parts import FORGET, RETAIN, SETS


@metric("lume_task_aggregate")
class LumeTaskAggregate(Harmonic):
    """Harmonic mean of the retain components and of 1 - each forget component; of a part, its own four."""

    title: ClassVar = "task aggregate"
    may_lack: ClassVar = SETS
    parts: ClassVar = RETAIN
    inverted: ClassVar = FORGET
    needs: ClassVar = tuple(need for part in (*parts, *inverted) for need in part.needs)
