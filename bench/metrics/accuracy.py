"""Accuracy, which the SIMU paper calls exact match. Jia et al. 2024 (SOUL), arXiv:2404.18239."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Mean


@metric("accuracy")
class ForgetAccuracy(Mean):
    """Share of paraphrased forget questions whose answer is nearest to the true option."""

    goal: ClassVar = "minimise"
    title: ClassVar = "forget accuracy"
    needs: ClassVar = (("forget", "correct"),)


@metric("retain_accuracy")
class RetainAccuracy(Mean):
    """Share of paraphrased retain questions whose answer is nearest to the true option."""

    title: ClassVar = "retain accuracy"
    needs: ClassVar = (("retain", "correct"),)


@metric("ra_accuracy")
class RealAuthorsAccuracy(Mean):
    """Share of real-author questions whose answer holds the true one."""

    title: ClassVar = "real authors accuracy"
    needs: ClassVar = (("real_authors", "correct"),)


@metric("wf_accuracy")
class WorldFactsAccuracy(Mean):
    """Share of world-fact questions whose answer holds the true one."""

    title: ClassVar = "world facts accuracy"
    needs: ClassVar = (("world_facts", "correct"),)
