"""What is known of the requests before and after this one, in tasks whose requests follow each other."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Mean


@metric("earlier_extraction_strength")
class EarlierExtractionStrength(Mean):
    """Mean extraction strength of the answers that earlier requests named."""

    goal: ClassVar = "minimise"
    title: ClassVar = "extraction strength, earlier requests"
    needs: ClassVar = (("earlier", "extraction_strength"),)


@metric("later_extraction_strength")
class LaterExtractionStrength(Mean):
    """Mean extraction strength of the answers that later requests will name, which should be as they were."""

    title: ClassVar = "extraction strength, later requests"
    needs: ClassVar = (("later", "extraction_strength"),)
