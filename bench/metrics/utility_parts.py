"""The nine parts of model utility. Maini et al. 2024 (TOFU), arXiv:2401.06121."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Mean, Probability, TrueBetter


@metric("retain_probability")
class RetainProbability(Probability):
    """Mean length-normalised probability of the retain answers."""

    title: ClassVar = "retain probability"
    needs: ClassVar = (("retain", "loss"),)


@metric("retain_rouge")
class RetainRouge(Mean):
    """Mean ROUGE-L recall of the answers to the retain questions."""

    title: ClassVar = "retain ROUGE-L"
    needs: ClassVar = (("retain", "rouge"),)


@metric("retain_truth_ratio")
class RetainTruthRatio(TrueBetter):
    """Mean of max(0, 1 - R) on the retain set, the paraphrased answer being the true one."""

    title: ClassVar = "retain truth ratio"
    needs: ClassVar = (("retain", "log_truth_ratio"),)


@metric("ra_probability")
class RealAuthorsProbability(Mean):
    """Mean share of the true answer among the options on real authors."""

    title: ClassVar = "real authors probability"
    needs: ClassVar = (("real_authors", "normalised_probability"),)


@metric("ra_rouge")
class RealAuthorsRouge(Mean):
    """Mean ROUGE-L recall of the answers to questions on real authors."""

    title: ClassVar = "real authors ROUGE-L"
    needs: ClassVar = (("real_authors", "rouge"),)


@metric("ra_truth_ratio")
class RealAuthorsTruthRatio(TrueBetter):
    """Mean of max(0, 1 - R) on real authors."""

    title: ClassVar = "real authors truth ratio"
    needs: ClassVar = (("real_authors", "log_truth_ratio"),)


@metric("wf_probability")
class WorldFactsProbability(Mean):
    """Mean share of the true answer among the options on world facts."""

    title: ClassVar = "world facts probability"
    needs: ClassVar = (("world_facts", "normalised_probability"),)


@metric("wf_rouge")
class WorldFactsRouge(Mean):
    """Mean ROUGE-L recall of the answers to questions on world facts."""

    title: ClassVar = "world facts ROUGE-L"
    needs: ClassVar = (("world_facts", "rouge"),)


@metric("wf_truth_ratio")
class WorldFactsTruthRatio(TrueBetter):
    """Mean of max(0, 1 - R) on world facts."""

    title: ClassVar = "world facts truth ratio"
    needs: ClassVar = (("world_facts", "log_truth_ratio"),)


PARTS = (
    RetainProbability,
    RetainRouge,
    RetainTruthRatio,
    RealAuthorsProbability,
    RealAuthorsRouge,
    RealAuthorsTruthRatio,
    WorldFactsProbability,
    WorldFactsRouge,
    WorldFactsTruthRatio,
)
