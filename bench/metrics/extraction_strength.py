"""Extraction strength. Carlini et al. 2021, arXiv:2012.07805, in the teacher-forced form of open-unlearning."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Mean


@metric("extraction_strength")
class ExtractionStrength(Mean):
    """Mean share of a forget answer that the model completes without a miss once it has read the rest."""

    goal: ClassVar = "minimise"
    title: ClassVar = "extraction strength"
    needs: ClassVar = (("forget", "extraction_strength"),)
