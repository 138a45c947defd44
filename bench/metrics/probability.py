"""Forget probability. Maini et al. 2024 (TOFU), arXiv:2401.06121."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Probability


@metric("probability")
class ForgetProbability(Probability):
    """Mean length-normalised probability of the forget answers."""

    goal: ClassVar = "minimise"
    title: ClassVar = "forget probability"
    needs: ClassVar = (("forget", "loss"),)
