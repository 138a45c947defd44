"""Model utility for LUME, after TOFU's idea; LUME itself defines none."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Harmonic
from bench.metrics.lume_parts import RETAIN, SETS, GeneralKnowledge


@metric("lume_model_utility")
class LumeModelUtility(Harmonic):
    """Harmonic mean of the retain components and of general knowledge."""

    title: ClassVar = "model utility"
    may_lack: ClassVar = SETS
    parts: ClassVar = (*RETAIN, GeneralKnowledge)
    needs: ClassVar = tuple(need for part in parts for need in part.needs)
