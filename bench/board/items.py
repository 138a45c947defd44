"""Single items: what was asked, what answers are judged by, and the columns that a metric is a mean of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from bench.api import Metric, Sample
from bench.data import world as number
from bench.errors import BenchError
from bench.metrics._forms import Composite

Array = np.ndarray
Asked = Mapping[tuple[str, str, str], str]
"""What was asked, by set, id and role."""
JUDGED_BY = ("rouge", "regurgitation", "knowledge", "correct", "right")
"""Columns that judge an answer, the first that a set has before the others; all are higher where more is said."""
PROBABILITY = "probability"


def judgements(columns: Sample, set_: str) -> dict[str, Array]:
    """What the items of a set can be judged by, each [n]; the first is what they are judged by. Empty without any.

    Without an answer to judge it is the loss: the probability exp(-loss) stands for it, and is last.

    Args:
        columns: item values [n] of one model by (set, column).
    """
    found = {name: columns[set_, name] for name in JUDGED_BY if (set_, name) in columns}
    if (loss := columns.get((set_, "loss"))) is not None:
        found[PROBABILITY] = np.exp(-loss)
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def higher_is_worse(set_: str) -> bool:
    """Whether more said is worse: what a forget set still shows is bad, what any other set has lost is."""
    return set_.startswith(("forget", "member"))


def leaves(metric: Metric, sample: Sample) -> Iterator[Metric]:
    """The metrics of single columns that a metric is made of where a model has the columns of `sample`."""
    if not isinstance(metric, Composite):
        yield metric
        return
    for part in metric.made_of(sample):
        yield from leaves(part, sample)


@cache
def questions(task: str, world: str, data: str = "") -> Asked:
    """The prompts of a task by set, id and role; none where the data cannot be had.

    Args:
        world: whose data the table's is. data: where all but the embedded worlds' is read from: a directory or "hub".
    """
    from bench.run.plan import prompts

    source = data if number(world) is None else world
    try:
        return prompts(task, source) if source else {}
    except BenchError:
        return {}
