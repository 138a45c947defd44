"""What the records of a results directory say, table by table: rows with intervals, tests, ranks, and what was left out.

`docs/statistics.md` defines everything here. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.api import Score
from bench.record import Cell, Record

CONTROLS = ("target", "retrain")


@dataclass(frozen=True)
class Rules:
    """What the tables are made by; parameters of the command, stated under every table."""

    alpha: float = 0.05  # family-wise error rate of a table's comparisons
    collapsed: float = 0.5  # share of the target's model utility below which a method is set apart, not ranked
    level: float = 0.5  # forget probability at which runs are matched
    margin: float = 0.05  # difference below which two methods count as equally good (TOST)


class Matched(NamedTuple):
    """The trade-off that a method's runs went along, over its seeds; see `bench.trade_off`."""

    retained: Score  # retain probability where the forget probability has fallen to the level
    area: Score  # mean retain probability over the forget probabilities from the start's down to 0


class Band(NamedTuple):
    """How far retrain models of different seeds are from each other: what a method has to reach.

    Values are the mean over the pairs, bounds the smallest and the largest pair, `n` the number of pairs.
    """

    ks: Score  # KS statistic
    log10_p: Score  # log10 of its p-value, as forget quality has it


@dataclass(frozen=True)
class Row:
    """One method on one task, over its seeds.

    `scores` are means over seeds; a p-value's is the geometric mean. Their intervals are hierarchical bootstraps
    (seeds, clusters, items); with one seed they are over clusters and items only.
    """

    method: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Score]
    by_seed: Mapping[str, tuple[float | None, ...]]  # in the order of `seeds`
    matched: Matched
    rank: int | None = None  # None: a control, a variant, set apart, or nothing to rank by
    apart: str = ""  # why it is set apart
    cost: Mapping[str, float | None] = field(default_factory=dict)  # unlearn_seconds, peak_memory_mb; means over seeds
    overrides: Mapping[str, tuple[str, Any]] = field(default_factory=dict)  # parameter -> (who set it, value)
    tuning_trials: int = 0
    probes: tuple[str, ...] = ()  # digests of what was measured
    notes: tuple[str, ...] = ()


class Comparison(NamedTuple):
    """Two methods on one metric, over the seeds that both have; p-values are compared by what they are p-values of."""

    a: str
    b: str
    metric: str
    difference: float  # a - b
    lo: float  # hierarchical bootstrap
    hi: float
    p: float
    p_holm: float
    test: str
    n: int  # clusters that it rests on
    equivalent: float | None  # p of the TOST that the difference is within the margin
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """One task with one model on one kind of data."""

    data: str
    model: str
    task: str
    headlines: Mapping[str, str]  # role -> metric name; a role may be missing
    details: Mapping[str, tuple[str, ...]]  # title -> metric names
    rows: tuple[Row, ...]  # controls, then by rank, then those set apart
    variants: tuple[Row, ...]  # METHOD@PARAM=VALUE: scored, neither ranked nor compared
    comparisons: tuple[Comparison, ...]
    band: Band | None  # None with fewer than two retrain models
    left_out: tuple[tuple[Cell, str], ...]  # cells that no number above rests on, and why
    notes: tuple[str, ...]  # what a reader must know of this table


def analyse(results: Path, records: Mapping[Cell, Record], rules: Rules = Rules()) -> list[Table]:  # noqa: B008
    """Every table of the records, by data, model and task."""
    raise NotImplementedError
