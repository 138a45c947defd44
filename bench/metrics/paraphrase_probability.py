"""Probability of the paraphrased forget answers: what is known whatever the words. After Maini et al. 2024."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Probability


@metric("paraphrase_probability")
class ParaphraseProbability(Probability):
    """Mean length-normalised probability of the paraphrases of the forget answers."""

    goal: ClassVar = "minimise"
    title: ClassVar = "paraphrase probability"
    needs: ClassVar = (("forget", "paraphrase_loss"),)
