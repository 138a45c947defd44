"""Model utility. Maini et al. 2024 (TOFU), arXiv:2401.06121."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Harmonic
from bench.metrics.utility_parts import PARTS


@metric("model_utility")
class ModelUtility(Harmonic):
    """Harmonic mean of probability, ROUGE-L and truth ratio on retain set, real authors and world facts."""

    title: ClassVar = "model utility"
    parts: ClassVar = PARTS
    needs: ClassVar = tuple(need for part in PARTS for need in part.needs)
