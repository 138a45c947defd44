"""What is kept at each distance from what was forgotten; scored where `--probes neighbours` was asked for.

In-domain and cross-domain keeping apart: Zhang et al. 2024 (UnlearnCanvas), arXiv:2402.11846.
"""

from typing import ClassVar

from bench.api import IN_DOMAIN, NEIGHBOURS, metric
from bench.metrics._forms import Average, Mean

COLUMN = "ranked_first"


@metric("neighbours_same_subject")
class SameSubject(Mean):
    """Share of other facts about what was forgotten in part whose true answer is ranked first."""

    title: ClassVar = "kept, same subject"
    needs: ClassVar = (("neighbours_same_subject", COLUMN),)
    may_lack: ClassVar = ("neighbours_same_subject",)


@metric("neighbours_shared_value")
class SharedValue(Mean):
    """Share of kept facts whose value a forgotten subject has too whose true answer is ranked first."""

    title: ClassVar = "kept, shared value"
    needs: ClassVar = (("neighbours_shared_value", COLUMN),)
    may_lack: ClassVar = ("neighbours_shared_value",)


@metric("neighbours_same_template")
class SameTemplate(Mean):
    """Share of kept facts asked as the forgotten, whose value none of these has, whose true answer is ranked first."""

    title: ClassVar = "kept, same template"
    needs: ClassVar = (("neighbours_same_template", COLUMN),)
    may_lack: ClassVar = ("neighbours_same_template",)


@metric("neighbours_other_kind")
class OtherKind(Mean):
    """Share of facts of another kind than what was forgotten whose true answer is ranked first."""

    title: ClassVar = "kept, other kind"
    needs: ClassVar = (("neighbours_other_kind", COLUMN),)
    may_lack: ClassVar = ("neighbours_other_kind",)


@metric("neighbours_world_facts")
class WorldFacts(Mean):
    """Share of facts of the world whose true answer is ranked first."""

    title: ClassVar = "kept, world facts"
    needs: ClassVar = (("neighbours_world_facts", COLUMN),)
    may_lack: ClassVar = ("neighbours_world_facts",)


@metric("keeping_in_domain")
class InDomain(Average):
    """Mean over the distances within the domain of what was forgotten of the share of facts that are kept."""

    title: ClassVar = "kept in domain"
    may_lack: ClassVar = IN_DOMAIN
    parts: ClassVar = (SameSubject, SharedValue, SameTemplate)
    needs: ClassVar = tuple((name, COLUMN) for name in IN_DOMAIN)


@metric("keeping_cross_domain")
class CrossDomain(Average):
    """Mean over the distances outside the domain of what was forgotten of the share of facts that are kept."""

    title: ClassVar = "kept across domains"
    may_lack: ClassVar = tuple(NEIGHBOURS)[len(IN_DOMAIN) :]
    parts: ClassVar = (OtherKind, WorldFacts)
    needs: ClassVar = tuple((name, COLUMN) for name in may_lack)
