"""Forget ROUGE. Lin 2004; Maini et al. 2024 (TOFU), arXiv:2401.06121."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Mean


@metric("rouge")
class ForgetRouge(Mean):
    """Mean ROUGE-L recall of the answers to the forget questions."""

    goal: ClassVar = "minimise"
    title: ClassVar = "forget ROUGE-L"
    needs: ClassVar = (("forget", "rouge"),)
