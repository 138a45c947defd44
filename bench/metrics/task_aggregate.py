"""Task aggregate on TOFU: LUME's idea (Ramakrishna et al. 2025, arXiv:2502.15097) over what the SIMU paper reports."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Harmonic
from bench.metrics.accuracy import ForgetAccuracy, RealAuthorsAccuracy, RetainAccuracy, WorldFactsAccuracy
from bench.metrics.rouge import ForgetRouge
from bench.metrics.utility_parts import RealAuthorsRouge, RetainRouge, WorldFactsRouge


@metric("task_aggregate")
class TaskAggregate(Harmonic):
    """Harmonic mean of ROUGE-L and accuracy on retain set, real authors and world facts, and 1 - both on forget."""

    title: ClassVar = "task aggregate"
    parts: ClassVar = (
        RetainRouge,
        RetainAccuracy,
        RealAuthorsRouge,
        RealAuthorsAccuracy,
        WorldFactsRouge,
        WorldFactsAccuracy,
    )
    inverted: ClassVar = (ForgetRouge, ForgetAccuracy)
    needs: ClassVar = tuple(need for part in (*parts, *inverted) for need in part.needs)
