"""What a study is: the settings that it runs, its tables and its figure. `bench ablate` runs one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.compare import trade_off
from bench.run.plan import Request
from bench.store.record import Record

Records = Mapping[tuple[str, int], Record]
"""Records that are ok, by (method, seed)."""


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        methods: the settings by model and task.
        report: the tables in Markdown; records and the forget probability at which runs are matched.
        plot: draws the figure to a file; records, that level, and what `look` gave.
        seeds: those that are run unless others are asked for.
        look: what has to be found on the targets themselves; request, task and seeds.
    """

    methods: Callable[[str, str], Sequence[str]]
    report: Callable[[Records, float], str]
    plot: Callable[[Records, float, Any, Path], None]
    seeds: str = "0"
    look: Callable[[Request, str, Sequence[int]], Any] | None = None


class Estimate(NamedTuple):
    """A mean over seeds with its 95% t-interval; bounds are None where one seed leaves them unknown."""

    mean: float
    lo: float | None
    hi: float | None
    n: int

    def __str__(self) -> str:
        if self.n == 0:
            return "not reached"
        bounds = "unknown" if self.lo is None else f"{self.lo:.3f}, {self.hi:.3f}"
        return f"{self.mean:.3f} [{bounds}]" + (f" (n = {self.n})" if self.lo is None else "")

    @property
    def half(self) -> float:
        """Half the width of the interval, for error bars."""
        return 0.0 if self.hi is None else self.hi - self.mean


def over_seeds(values: Sequence[float], lowest: float = 0.0) -> Estimate:
    """Mean and t-interval of one value a seed."""
    mean, lo, hi, n, _ = trade_off.over_seeds(values, lowest=lowest)
    return Estimate(math.nan if mean is None else mean, lo, hi, n)


def at_the_end(records: Sequence[Record]) -> list[str]:
    """Where runs of one setting ended, over seeds: forget and retain probability, model utility, task aggregate."""
    parts = [over_seeds([r.curve[f"trace {part} probability"][-1] for r in records]) for part in ("forget", "retain")]
    scores = [
        over_seeds([v for r in records if name in r.scores and (v := r.scores[name].value) is not None])
        for name in ("model_utility", "task_aggregate")
    ]
    return [*map(str, parts), *map(str, scores)]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [[*heads], *map(list, rows)]
    written = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([written[0], "|---" * len(heads) + "|", *written[1:]])
