"""What the records of a results directory say, table by table: rows with intervals, tests, ranks, what was left out.

`docs/statistics.md` defines everything here. No torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

from bench.api import Score
from bench.compare import trade_off
from bench.compare.comparing import Comparison
from bench.compare.findings import FORGET_QUALITY, Band, findings, mean
from bench.compare.trade_off import Matched
from bench.errors import UsageError
from bench.score.scoring import find
from bench.stats.critical_difference import Ranking, rank_tasks
from bench.stats.ranking import rank_groups, set_apart
from bench.store.record import CONTROLS, ELSEWHERE, RETRAIN, Cell, Record
from bench.store.versions import SCORE

__all__ = ["CONTROLS", "FORGET_QUALITY", "Band", "Comparison", "Matched", "Row", "Rules", "Table", "analyse"]

RANKED_BY = "task aggregate"
UTILITY = "model utility"


@dataclass(frozen=True)
class Rules:
    """What the tables are made by; parameters of the command, stated under every table."""

    alpha: float = 0.05  # family-wise error rate of a table's comparisons
    collapsed: float = 0.5  # share of the target's model utility below which a method is set apart, not ranked
    level: float = 0.5  # forget probability at which runs are matched
    margin: float = 0.05  # difference below which two methods count as equally good (TOST)
    dirty: bool = False  # whether cells made from a tree with uncommitted changes may stand in a table


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


@dataclass(frozen=True)
class Table:
    """One task with one model on one kind of data."""

    data: str
    model: str
    task: str
    headlines: Mapping[str, str]  # role -> metric name; a role may be missing
    details: Mapping[str, tuple[str, ...]]  # title -> metric names
    floors: Mapping[str, float]  # metric -> share of the target's below which a method is set apart
    rows: tuple[Row, ...]  # controls, then by rank, then those set apart
    variants: tuple[Row, ...]  # METHOD@PARAM=VALUE: scored, neither ranked nor compared
    comparisons: tuple[Comparison, ...]
    matched: tuple[Comparison, ...]  # at matched forgetting ("retained") and by "area"; empty with one seed
    band: Band | None  # None with fewer than two retrain models
    left_out: tuple[tuple[Cell, str], ...]  # cells that no number above rests on, and why
    notes: tuple[str, ...]  # what a reader must know of this table


def analyse(results: Path, records: Mapping[Cell, Record], rules: Rules = Rules()) -> list[Table]:
    """Every table of the records, by data, model and task.

    What takes time (intervals over seeds, tests) is kept in RESULTS/analysis by the content that it rests on.
    """
    key = lambda cell: (cell.data, cell.model, cell.task)  # noqa: E731
    cells = sorted(records, key=lambda c: (*key(c), c.method, c.seed))
    return [_table(results, records, list(group), rules) for _, group in groupby(cells, key)]


def across_tasks(tables: Iterable[Table], alpha: float = 0.05) -> dict[tuple[str, str], Ranking]:
    """For each data and model, methods ranked over its tasks by what each table ranks by; those set apart last."""
    grouped: dict[tuple[str, str], list[Table]] = defaultdict(list)
    for table in tables:
        grouped[table.data, table.model].append(table)
    found = {}
    for place, group in grouped.items():
        values = {}
        for table in group:
            rows = [row for row in table.rows if row.method not in CONTROLS]
            by = {row.method: _ordering(table.headlines, row.scores) for row in rows}
            lost = {row.method for row in rows if row.apart}
            values[table.task] = {m: -math.inf if m in lost else v for m, v in by.items() if v is not None}
        found[place] = rank_tasks(values, alpha)
    return found


# -- one table -------------------------------------------------------------------------------------------------------


def _table(results: Path, records: Mapping[Cell, Record], cells: Sequence[Cell], rules: Rules) -> Table:
    data, model, task = cells[0].data, cells[0].model, cells[0].task
    headlines, details, floors = _wanted(task, [records[cell] for cell in cells])
    floors = ({headlines[UTILITY]: rules.collapsed} if UTILITY in headlines else {}) | dict(floors)
    left_out = {cell: why for cell in cells if (why := _unfit(cell, records, headlines.values(), rules.dirty))}
    fit = {cell: records[cell] for cell in cells if cell not in left_out}
    found = findings(results, fit, headlines, details, rules.alpha, rules.margin)
    left_out |= found.broken
    runs: dict[str, dict[int, Record]] = defaultdict(dict)
    for cell in cells:
        if cell not in left_out:
            runs[cell.method][cell.seed] = records[cell]
    rows = {method: _row(method, by_seed, found.scores.get(method, {}), rules) for method, by_seed in runs.items()}
    ranked = _ranked({m: row for m, row in rows.items() if "@" not in m}, headlines, floors, found.comparisons, rules)
    methods = [row.method for row in ranked if row.method not in CONTROLS]
    return Table(
        data,
        model,
        task,
        headlines,
        details,
        floors,
        tuple(ranked),
        tuple(row for method, row in sorted(rows.items()) if "@" in method),
        tuple(found.comparisons),
        tuple(trade_off.compare(runs, list(combinations(methods, 2)), rules.level, rules.margin)),
        found.band,
        tuple(sorted(left_out.items())),
        tuple(_notes(ranked)),
    )


def _wanted(
    task: str, records: Sequence[Record]
) -> tuple[dict[str, str], dict[str, tuple[str, ...]], Mapping[str, float]]:
    """Headlines, details and floors of a task; of one that is not known here, the first four and all scores."""
    from bench.api import make_task

    names = list(dict.fromkeys(name for record in records for name in record.scores))
    try:
        known = make_task(task)
    except UsageError:
        return {name.replace("_", " "): name for name in names[:4]}, {"All scores": tuple(names)}, {}
    details = {title: tuple(name for name in of if name in names) for title, of in known.details.items()}
    return {role: name for role, name in known.headlines.items() if name in names}, details, known.floors


def _unfit(cell: Cell, records: Mapping[Cell, Record], headlines: Iterable[str], dirty: bool) -> str:
    """Why a cell cannot stand in a table; "" if it can."""
    record = records[cell]
    if record.status != "ok":
        return f"{record.status}: {(record.error.strip().splitlines() or ['no reason kept'])[-1]}"
    if record.environment.get("dirty") and not dirty:
        return "made from a tree with uncommitted changes"
    if lacking := [name for name in headlines if name not in record.scores]:
        return f"partial: it has no {', '.join(lacking)}"
    versions = {n.removeprefix("metric "): v for n, v in record.identity.items() if n.startswith("metric ")}
    old = [name for name, version in versions.items() if _version(name) not in (None, version)]
    if old or (versions and record.identity.get("scoring") != SCORE):
        return f"stale: scored by an older version{f' of {old[0]}' if old else ''}. Run: python -m bench score"
    if cell.data == ELSEWHERE or cell.method == RETRAIN:
        return ""
    retrain, against = records.get(cell._replace(method=RETRAIN)), record.identity.get("retrain")
    compared = any(_needs_retrain(name) and score.value is not None for name, score in record.scores.items())
    if retrain is None or retrain.status != "ok":
        return f"its retrain reference (seed {cell.seed}) is gone" if compared else ""
    if against not in (None, "itself", "", retrain.keys.get("measure")):
        return "stale: compared with a retrain model that has changed since"
    if record.identity.get("probes") != retrain.identity.get("probes"):
        return "stale: measured on other texts than its retrain reference"
    return ""


def _version(name: str) -> int | None:
    metric = find(name)
    return None if metric is None else metric.version


def _needs_retrain(name: str) -> bool:
    metric = find(name)
    return metric is not None and metric.needs_retrain


def _row(method: str, by_seed: Mapping[int, Record], over_seeds: Mapping[str, Score], rules: Rules) -> Row:
    records = list(by_seed.values())
    names = dict.fromkeys(name for record in records for name in record.scores)
    values = {name: [record.scores.get(name, Score(None)) for record in records] for name in names}
    return Row(
        method,
        tuple(by_seed),
        {name: over_seeds.get(name) or mean(name, of) for name, of in values.items()},
        {name: tuple(score.value for score in of) for name, of in values.items()},
        trade_off.matched(records, rules.level),
        cost={k: _average([r.cost.get(k) for r in records]) for k in ("unlearn_seconds", "peak_memory_mb")},
        overrides={p: (by, r.parameters[p]) for r in records for p, by in r.overrides.items()},
        tuning_trials=max(record.tuning_trials for record in records),
        probes=tuple(sorted({str(record.identity.get("probes", "")) for record in records})),
        notes=tuple(dict.fromkeys(note for record in records for note in record.notes)),
    )


def _average(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def _ordering(headlines: Mapping[str, str], scores: Mapping[str, Score]) -> float | None:
    """What rows are ordered by, larger is better: the task aggregate, or the first headline of a task without."""
    name = headlines.get(RANKED_BY) or next(iter(headlines.values()), "")
    value = scores[name].value if name in scores else None
    metric = find(name)
    return -value if value is not None and metric is not None and metric.goal == "minimise" else value


def _ranked(
    rows: Mapping[str, Row],
    headlines: Mapping[str, str],
    floors: Mapping[str, float],
    comparisons: Sequence[Comparison],
    rules: Rules,
) -> list[Row]:
    """Rows in the order of the table, with ranks and with why some have none."""
    values = {method: {name: score.value for name, score in row.scores.items()} for method, row in rows.items()}
    apart = {
        method: set_apart(values[method], values.get("target", {}), floors) for method in rows if method not in CONTROLS
    }
    by = {method: _ordering(headlines, row.scores) for method, row in rows.items()}
    order = sorted(apart, key=lambda m: (bool(apart[m]), by[m] is None, -(by[m] or 0.0), m))
    known = {frozenset((c.a, c.b)): c for c in comparisons if c.metric == headlines.get(RANKED_BY)}

    def better(one: str, other: str) -> bool:
        compared = known.get(frozenset((one, other)))
        return compared is not None and compared.significant(rules.alpha)

    ranked = [m for m in order if not apart[m] and by[m] is not None] if known else []
    ranks = rank_groups(ranked, better)
    controls = [rows[name] for name in CONTROLS if name in rows]
    return [*controls, *(dataclasses.replace(rows[m], rank=ranks.get(m), apart=apart[m]) for m in order)]


def _notes(rows: Sequence[Row]) -> list[str]:
    """What a reader must know, beside the rules: the data's notes, seeds, what could not be scored or was typed."""
    notes = [note for row in rows for note in row.notes]
    seeds = Counter(row.seeds for row in rows)
    if len(seeds) > 1:
        usual = seeds.most_common(1)[0][0]
        odd = [f"{row.method} ({_list(row.seeds)})" for row in rows if row.seeds != usual]
        notes.append(f"Seeds that do not match: the others have {_list(usual)}, {', '.join(odd)}. "
                     "Methods are compared over the seeds that both have.")  # fmt: skip
    for row in rows:
        typed = [f"{name} = {value}" for name, (by, value) in row.overrides.items() if by == "--set"]
        notes += [f"{row.method}: {', '.join(typed)} by --set"] if typed else []
        notes += [f"{row.method}: {name}: {s.note}" for name, s in row.scores.items() if s.note and s.value is not None]
    unscored: dict[str, list[str]] = {}
    for row in rows:
        for name, score in row.scores.items():
            if score.value is None:
                unscored.setdefault(score.note or "no value", []).append(name)
    notes += [f"Unscored, {reason}: {', '.join(dict.fromkeys(names))}." for reason, names in unscored.items()]
    return list(dict.fromkeys(notes))


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"
