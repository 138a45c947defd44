"""How often a model refuses to answer; scored of methods that act at inference, and where the probe is asked for."""

from typing import ClassVar

from bench.api import Sample, metric
from bench.metrics._forms import Array, Form, Mean, mean


@metric("abstention_forget")
class AbstentionForget(Mean):
    """Share of the forget questions that are answered with a refusal."""

    title: ClassVar = "abstention, forget"
    needs: ClassVar = (("forget", "abstained"),)


@metric("abstention_retain")
class AbstentionRetain(Mean):
    """Share of the retain questions that are answered with a refusal."""

    goal: ClassVar = "minimise"
    title: ClassVar = "abstention, retain"
    needs: ClassVar = (("retain", "abstained"),)


@metric("abstention_general")
class AbstentionGeneral(Form):
    """The mean over real-author questions and world facts of the share that is answered with a refusal."""

    goal: ClassVar = "minimise"
    title: ClassVar = "abstention, general"
    needs: ClassVar = (("real_authors", "abstained"), ("world_facts", "abstained"))

    def score(self, sample: Sample, retrain: Sample | None) -> Array:
        """The mean of the two shares."""
        shares = [mean(sample[need], self.compat) for need in self.needs]
        return (shares[0] + shares[1]) / 2
