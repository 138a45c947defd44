"""What LUME's forget set leaves in a model, over its three tasks. Components: arXiv:2502.15097; the means are ours."""

from typing import ClassVar

from bench.api import metric
from bench.metrics._forms import Average
from bench.metrics.lume_parts import FORGET, SETS


@metric("lume_regurgitation")
class LumeRegurgitation(Average):
    """Mean over the tasks of the ROUGE-L recall of completed forget documents; of a part, its own."""

    goal: ClassVar = "minimise"
    title: ClassVar = "forget regurgitation"
    may_lack: ClassVar = SETS
    parts: ClassVar = tuple(part for part in FORGET if part.needs[0][1] == "regurgitation")
    needs: ClassVar = tuple(need for part in parts for need in part.needs)


@metric("lume_knowledge")
class LumeKnowledge(Average):
    """Mean over the tasks of the share of questions on forget documents answered word for word; of a part, its own."""

    goal: ClassVar = "minimise"
    title: ClassVar = "forget knowledge"
    may_lack: ClassVar = SETS
    parts: ClassVar = tuple(part for part in FORGET if part.needs[0][1] == "knowledge")
    needs: ClassVar = tuple(need for part in parts for need in part.needs)
