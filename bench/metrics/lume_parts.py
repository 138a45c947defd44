"""LUME's twelve components, and general knowledge. Ramakrishna et al. 2025, arXiv:2502.15097; SemEval-2025 Task 4.

Regurgitation is the mean ROUGE-L recall of completions, knowledge the share of questions answered word for word; task 1
are stories, task 2 biographies with personal data, task 3 encyclopaedia entries.
"""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Mean


class Forgotten(Mean):
    """A component of the forget set."""

    goal: ClassVar = "minimise"


@metric("forget_regurgitation_1")
class ForgetRegurgitation1(Forgotten):
    """Mean ROUGE-L recall of the completed forget stories."""

    title: ClassVar = "forget regurgitation, stories"
    needs: ClassVar = (("forget1-completion", "regurgitation"),)


@metric("forget_regurgitation_2")
class ForgetRegurgitation2(Forgotten):
    """Mean ROUGE-L recall of the completed forget biographies."""

    title: ClassVar = "forget regurgitation, biographies"
    needs: ClassVar = (("forget2-completion", "regurgitation"),)


@metric("forget_regurgitation_3")
class ForgetRegurgitation3(Forgotten):
    """Mean ROUGE-L recall of the completed forget entries."""

    title: ClassVar = "forget regurgitation, entries"
    needs: ClassVar = (("forget3-completion", "regurgitation"),)


@metric("forget_knowledge_1")
class ForgetKnowledge1(Forgotten):
    """Share of the questions about forget stories that are answered word for word."""

    title: ClassVar = "forget knowledge, stories"
    needs: ClassVar = (("forget1-question", "knowledge"),)


@metric("forget_knowledge_2")
class ForgetKnowledge2(Forgotten):
    """Share of the questions about forget biographies that are answered word for word."""

    title: ClassVar = "forget knowledge, biographies"
    needs: ClassVar = (("forget2-question", "knowledge"),)


@metric("forget_knowledge_3")
class ForgetKnowledge3(Forgotten):
    """Share of the questions about forget entries that are answered word for word."""

    title: ClassVar = "forget knowledge, entries"
    needs: ClassVar = (("forget3-question", "knowledge"),)


@metric("retain_regurgitation_1")
class RetainRegurgitation1(Mean):
    """Mean ROUGE-L recall of the completed retain stories."""

    title: ClassVar = "retain regurgitation, stories"
    needs: ClassVar = (("retain1-completion", "regurgitation"),)


@metric("retain_regurgitation_2")
class RetainRegurgitation2(Mean):
    """Mean ROUGE-L recall of the completed retain biographies."""

    title: ClassVar = "retain regurgitation, biographies"
    needs: ClassVar = (("retain2-completion", "regurgitation"),)


@metric("retain_regurgitation_3")
class RetainRegurgitation3(Mean):
    """Mean ROUGE-L recall of the completed retain entries."""

    title: ClassVar = "retain regurgitation, entries"
    needs: ClassVar = (("retain3-completion", "regurgitation"),)


@metric("retain_knowledge_1")
class RetainKnowledge1(Mean):
    """Share of the questions about retain stories that are answered word for word."""

    title: ClassVar = "retain knowledge, stories"
    needs: ClassVar = (("retain1-question", "knowledge"),)


@metric("retain_knowledge_2")
class RetainKnowledge2(Mean):
    """Share of the questions about retain biographies that are answered word for word."""

    title: ClassVar = "retain knowledge, biographies"
    needs: ClassVar = (("retain2-question", "knowledge"),)


@metric("retain_knowledge_3")
class RetainKnowledge3(Mean):
    """Share of the questions about retain entries that are answered word for word."""

    title: ClassVar = "retain knowledge, entries"
    needs: ClassVar = (("retain3-question", "knowledge"),)


@metric("general_knowledge")
class GeneralKnowledge(Mean):
    """Share of the questions of MMLU, or of the exam that stands in for it, that are answered right."""

    title: ClassVar = "general knowledge"
    needs: ClassVar = (("general", "right"),)


FORGET = (
    ForgetRegurgitation1,
    ForgetKnowledge1,
    ForgetRegurgitation2,
    ForgetKnowledge2,
    ForgetRegurgitation3,
    ForgetKnowledge3,
)
RETAIN = (
    RetainRegurgitation1,
    RetainKnowledge1,
    RetainRegurgitation2,
    RetainKnowledge2,
    RetainRegurgitation3,
    RetainKnowledge3,
)
SETS = tuple(dict.fromkeys(need[0] for part in (*FORGET, *RETAIN) for need in part.needs))
"""The sets that a part of the benchmark lacks, all but its own four."""
