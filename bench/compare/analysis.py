"""What the records of a results directory say, table by table: rows with intervals, tests, ranks, what was left out.

`docs/statistics.md` defines everything here. No torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

from bench.api import Score, make_task
from bench.compare import left_out, trade_off
from bench.compare.comparing import Comparison
from bench.compare.findings import Findings, findings, untuned_beside_tuned
from bench.compare.headline import HEADLINE
from bench.compare.numbers import FORGET_QUALITY, UTILITY, Asked, counted, over_seeds
from bench.compare.robustness import Recovery, robustness
from bench.compare.studies.found import series_of
from bench.compare.trade_off import Matched
from bench.errors import UsageError
from bench.metrics._asked import ASKED_FOR, NEAR
from bench.score.scoring import find
from bench.stats.critical_difference import Ranking, rank_tasks
from bench.stats.ranking import below_floor, letters, ranks
from bench.store import attacked
from bench.store.record import CONTROLS, RETRAIN, Cell, Record, origin, tuning_of

__all__ = ["CONTROLS", "FORGET_QUALITY", "HEADLINE", "Comparison", "Matched", "Row", "Rules", "Table", "analyse"]


@dataclass(frozen=True)
class Rules:
    """What the tables are made by; parameters of the command, stated under every table."""

    alpha: float = 0.05  # family-wise error rate of a table's comparisons
    collapsed: float = 0.5  # share of the target's model utility below which a method is set apart, not ranked
    level: float = 0.5  # forget probability at which runs are matched, beside retrain's own
    margin: float = 0.05  # difference below which two methods count as equally good (TOST)
    dirty: bool = False  # ignored since cells of changed code are shown with a mark; kept for old command lines


@dataclass(frozen=True)
class Row:
    """One method on one task, over its seeds.

    `scores` are means over seeds; a p-value's is the geometric mean. `headline`, `erased`, `kept`, `ks_distance` and
    `membership_gap` are among them where the table has target and retrain. With one seed the intervals are of the items
    of these runs only.
    """

    method: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Score]
    by_seed: Mapping[str, tuple[float | None, ...]]  # in the order of `seeds`, the headline and its parts too
    matched: Matched
    rank: int | None = None  # None: a control, a variant, set apart, or nothing is ranked
    letters: str = ""  # ranked methods share a letter if and only if no difference of the headline is shown
    apart: str = ""  # why it is set apart
    near: str = ""  # what is near its floor
    changed: str = ""  # the code that made it is in no commit: which files
    cost: Mapping[str, float | None] = field(default_factory=dict)  # unlearn_seconds, peak_memory_mb; means over seeds
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of its first seed
    overrides: Mapping[str, tuple[str, Any]] = field(default_factory=dict)  # parameter -> (who set it, value)
    tuning_trials: int = 0
    origin: str = ""  # of its parameters, as `bench.store.record.origin` says it
    settings: Mapping[str, Any] = field(default_factory=dict)  # of its first seed: where tuned ones are from
    probes: tuple[str, ...] = ()  # digests of what was measured
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One task with one model on one kind of data."""

    data: str
    model: str
    task: str
    seeds: tuple[int, ...]  # what methods are compared over
    headlines: Mapping[str, str]  # role -> metric name; a role may be missing
    details: Mapping[str, tuple[str, ...]]  # title -> metric names
    memorisation: tuple[str, ...]  # metrics that fall as the forget set is erased
    floors: Mapping[str, float]  # metric -> share of the target's below which a method is set apart
    rows: tuple[Row, ...]  # controls, then by headline, then those set apart
    variants: tuple[Row, ...]  # METHOD@PARAM=VALUE: scored, neither ranked nor compared
    comparisons: tuple[Comparison, ...]
    aside: tuple[Comparison, ...]  # of pairs that the verdict leaves out: never corrected, so never significant
    matched: tuple[Comparison, ...]  # at retrain's level of forgetting; empty with one seed
    enters: tuple[str, ...]  # memorisation metrics that *erased* is made of
    blind: Mapping[str, str]  # those that cannot tell target from retrain, and why
    band: Score | None  # KS distance between retrain models; None with fewer than two
    left_out: tuple[tuple[Cell, str], ...]  # cells that no number above rests on, and why
    notes: tuple[str, ...]  # what a reader must know of this table
    fixed: tuple[str, ...] = ()  # controls that are checkpoints which were given, the same for every seed
    measured: tuple[str, ...] = ()  # rows that no method made: checkpoints that were measured as they are
    attacks: tuple[Recovery, ...] = ()  # what attacks bring back; never part of a rank
    series: str = ""  # the study that its task is a step of

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows that have a rank, best first."""
        return tuple(row for row in self.rows if row.rank is not None)

    def row(self, method: str) -> Row | None:
        """The row of a method, None if the table has none."""
        return next((row for row in self.rows if row.method == method), None)


def analyse(results: Path, records: Mapping[Cell, Record], rules: Rules = Rules()) -> list[Table]:
    """Every table of the records, by data, model and task, TOFU before other benchmarks of the same data and model.

    What takes time (intervals over seeds, tests) is kept in RESULTS/analysis by the content that it rests on.
    """

    def key(cell: Cell) -> tuple[Any, ...]:
        name, _, tuned = cell.model.partition("@")  # what was tuned stands before what was not
        return cell.data, name, not tuned, tuned, not cell.task.startswith("tofu"), cell.task

    cells = sorted(records, key=lambda c: (*key(c), c.method, c.seed))
    return [_table(results, records, list(group), rules) for _, group in groupby(cells, key)]


def attacks_on(results: Path, records: Mapping[Cell, Record], cell: Cell, rules: Rules = Rules()) -> list[Recovery]:
    """What attacks bring back of a cell's method, as its table has it, without making the table."""
    if not attacked.path(results, cell).is_file():
        return []
    place = {c: r for c, r in records.items() if c._replace(method="", seed=0) == cell._replace(method="", seed=0)}
    out = {c: why for c in place if (why := left_out.why(c, records))}
    return [row for row in _brought_back(results, place, out, rules)[0] if row.method == cell.method]


def across_tasks(tables: Iterable[Table], alpha: float = 0.05) -> dict[tuple[str, str], Ranking]:
    """For each data and model, methods ranked over its tasks by the headline; those set apart last.

    Steps of a series are left out: they are one question asked many times.
    """
    grouped: dict[tuple[str, str], list[Table]] = defaultdict(list)
    for table in tables:
        if len(table.seeds) > 1 and not table.series and any(HEADLINE in row.scores for row in table.rows):
            grouped[table.data, table.model].append(table)
    found = {}
    for place, group in grouped.items():
        values = {}
        for table in group:
            rows = {row.method: row for row in table.rows if row.method not in CONTROLS}
            by = {m: row.scores[HEADLINE].value for m, row in rows.items() if HEADLINE in row.scores}
            values[table.task] = {m: -math.inf if rows[m].apart else v for m, v in by.items() if v is not None}
        found[place] = rank_tasks(values, alpha)
    return found


def asked(table: Table, rules: Rules) -> Asked:
    """What was asked of the table's cells."""
    return Asked(table.headlines, table.memorisation, table.floors, rules.margin)


# -- one table -------------------------------------------------------------------------------------------------------


def _table(results: Path, records: Mapping[Cell, Record], cells: Sequence[Cell], rules: Rules) -> Table:
    data, model, task = cells[0].data, cells[0].model, cells[0].task
    headlines, details, floors, memorisation = _wanted(task, [records[cell] for cell in cells])
    floors = ({headlines[UTILITY]: rules.collapsed} if UTILITY in headlines else {}) | dict(floors)
    out = {cell: why for cell in cells if (why := left_out.why(cell, records))}
    fit = {cell: records[cell] for cell in cells if cell not in out}
    found = findings(results, fit, Asked(headlines, memorisation, floors, rules.margin))
    out |= found.broken
    runs: dict[str, dict[int, Record]] = defaultdict(dict)
    for cell in cells:
        if cell not in out:
            runs[cell.method][cell.seed] = records[cell]
    rows = {
        method: _row(method, by_seed, runs.get(RETRAIN, {}), found, rules)
        for method, by_seed in runs.items()
        if by_seed
    }
    ordered = _ordered({m: row for m, row in rows.items() if "@" not in m}, headlines, floors, found, rules)
    methods = [row.method for row in ordered if row.method not in CONTROLS]
    given = dict.fromkeys(cell.method for cell in cells if "checkpoint" in records[cell].identity)
    fixed = tuple(method for method in CONTROLS if method in given)
    attacks, unreadable = _brought_back(results, fit, out, rules)
    return Table(
        data,
        model,
        task,
        found.seeds,
        headlines,
        details,
        memorisation,
        floors,
        tuple(ordered),
        tuple(row for method, row in sorted(rows.items()) if "@" in method),
        tuple(found.comparisons),
        tuple(found.aside),
        tuple(trade_off.compare(runs, list(combinations(methods, 2)), rules.margin)),
        found.enters,
        found.blind,
        found.band,
        tuple(sorted(out.items())),
        (*_notes(ordered, found.seeds, runs, fixed), *unreadable),
        fixed,
        tuple(method for method in given if method not in CONTROLS),
        tuple(attacks),
        at.name if (at := series_of(task)) else "",
    )


def _brought_back(
    results: Path, records: Mapping[Cell, Record], out: Mapping[Cell, str], rules: Rules
) -> tuple[list[Recovery], list[str]]:
    """What attacks bring back of the cells of a table, and what is wrong with files of theirs."""
    unreadable: list[str] = []
    standing = {cell: record for cell, record in records.items() if cell not in out}
    found = attacked.every(results, standing, unreadable.append)
    return robustness(standing, found, rules.margin), unreadable


def _wanted(
    task: str, records: Sequence[Record]
) -> tuple[dict[str, str], dict[str, tuple[str, ...]], Mapping[str, float], tuple[str, ...]]:
    """Headlines, details, floors and memorisation metrics of a task; of one that is not known here, the first four
    scores and all. Scores that no table of a known task names follow in one of their own."""
    names = list(dict.fromkeys(name for record in records for name in record.scores))
    try:
        known = make_task(task)
    except UsageError:
        return {name.replace("_", " "): name for name in names[:4]}, {"All scores": tuple(names)}, {}, ()
    roles = {role: name for role, name in getattr(known, "headlines", {}).items() if name in names}
    details = {title: tuple(n for n in of if n in names) for title, of in getattr(known, "details", {}).items()}
    having = [name for name in names if any(_has(record, name) for record in records)]
    if near := tuple(name for name in ASKED_FOR[NEAR] if name in having):
        details["Kept, by distance from what was forgotten"] = near
    seen = {*roles.values(), *(name for of in details.values() for name in of)}
    if others := tuple(name for name in having if name not in seen):
        details["Other scores"] = others
    return roles, details, getattr(known, "floors", {}), tuple(getattr(known, "memorisation", ()))


def _has(record: Record, name: str) -> bool:
    return name in record.scores and record.scores[name].value is not None


def _row(
    method: str, by_seed: Mapping[int, Record], retrains: Mapping[int, Record], found: Findings, rules: Rules
) -> Row:
    used = counted(found.seeds, by_seed)
    records = [by_seed[seed] for seed in used]
    names = dict.fromkeys(name for record in records for name in record.scores)
    values = {name: [record.scores.get(name, Score(None)) for record in records] for name in names}
    scores = found.scores.get(method) or {name: over_seeds(name, of, used) for name, of in values.items()}
    return Row(
        method,
        used,
        scores,
        {name: tuple(score.value for score in of) for name, of in values.items()}
        | {n: tuple(of.get(seed) for seed in used) for n, of in found.by_seed.get(method, {}).items()},
        trade_off.matched({seed: by_seed[seed] for seed in used}, retrains, rules.level),
        changed=", ".join(dict.fromkeys(file for record in records for file in _changed(record))),
        cost={k: _average([r.cost.get(k) for r in records]) for k in ("unlearn_seconds", "peak_memory_mb")},
        parameters=records[0].parameters,
        overrides={p: (by, r.parameters[p]) for r in records for p, by in r.overrides.items()},
        tuning_trials=max(record.tuning_trials for record in records),
        origin="" if method in CONTROLS else ", ".join(dict.fromkeys(map(origin, records))),
        settings=records[0].settings,
        probes=tuple(sorted({str(record.identity.get("probes", "")) for record in records})),
        notes=tuple(dict.fromkeys(note for record in records for note in record.notes)),
    )


def _changed(record: Record) -> Sequence[str]:
    """Files of the code that made a record and that no commit holds."""
    if not record.environment.get("dirty"):
        return ()
    return tuple(record.environment.get("changed", ())) or ("which files was not kept",)


def _average(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def ordering(headlines: Mapping[str, str], scores: Mapping[str, Score]) -> float | None:
    """What rows are ordered by, larger is better: the headline, or the first number of a task that has none."""
    name = HEADLINE if HEADLINE in scores else next(iter(headlines.values()), "")
    value = scores[name].value if name in scores else None
    metric = find(name)
    return -value if value is not None and metric is not None and metric.goal == "minimise" else value


def _ordered(
    rows: Mapping[str, Row],
    headlines: Mapping[str, str],
    floors: Mapping[str, float],
    found: Findings,
    rules: Rules,
) -> list[Row]:
    """Rows in the order of the table, with ranks and with why some have none."""
    states = {m: _floors(found.target_shares.get(m, {}), floors) for m in rows if m not in CONTROLS}
    beside = untuned_beside_tuned({method: rows[method].origin for method in states})
    more = {m: "some of more trials" if tuning_of(rows[m].origin) else "tuned ones" for m in beside}
    states |= {m: (f"settings {rows[m].origin}, beside {more[m]}", "") for m in beside if not states[m][0]}
    by = {method: ordering(headlines, row.scores) for method, row in rows.items()}
    whole = {m: tuple(rows[m].seeds) == tuple(found.seeds) for m in states}  # others are means over other seeds
    order = sorted(states, key=lambda m: (bool(states[m][0]), not whole[m], by[m] is None, -(by[m] or 0.0), m))
    known = {frozenset((c.a, c.b)): c for c in found.comparisons if c.metric == HEADLINE}
    able = [m for m in order if any(m in pair for pair in known) and not states[m][0]] if len(found.seeds) > 1 else []

    def beats(one: str, other: str) -> bool:
        compared = known.get(frozenset((one, other)))
        if compared is None or not compared.significant(rules.alpha):
            return False
        return (compared.difference > 0) == (compared.a == one)

    placed = ranks(able, beats)
    shared = letters(able, lambda a, b: beats(a, b) or beats(b, a))
    controls = [rows[name] for name in CONTROLS if name in rows]
    return [
        *controls,
        *(
            dataclasses.replace(
                rows[m], rank=placed.get(m), letters=shared.get(m, ""), apart=states[m][0], near=states[m][1]
            )
            for m in order
        ),
    ]


def _floors(shares: Mapping[str, Score], floors: Mapping[str, float]) -> tuple[str, str]:
    """Why a method is set apart, and what of it is near a floor."""
    said: dict[str, list[str]] = {"apart": [], "near": [], "": []}
    for name, floor in floors.items():
        share = shares.get(name, Score(None))
        words = (
            f"{name.replace('_', ' ')} {share.value:.2f} of the target's, floor {floor:g}"
            if share.value is not None
            else ""
        )
        said[below_floor(share.value, share.lo, share.hi, floor)].append(words)
    return "; ".join(said["apart"]), "; ".join(said["near"])


def _notes(
    rows: Sequence[Row], seeds: Sequence[int], runs: Mapping[str, Mapping[int, Record]], fixed: Sequence[str]
) -> list[str]:
    """What a reader must know, beside the rules: the data's notes, seeds, what could not be scored or was typed."""
    notes = [note for row in rows for note in row.notes]
    if fixed and len(seeds) > 1:
        notes.append(
            f"One checkpoint for all seeds: {' and '.join(fixed)}. Seeds are of the methods alone, so intervals and "
            "tests do not know how much another target and retrain would differ; the ceiling is unknown."
        )
    if lost := sorted({seed for of in runs.values() for seed in of} - set(seeds) - {s for r in rows for s in r.seeds}):
        notes.append(f"In no number: seed {_list(lost)}, which the target, retrain or most methods lack.")
    odd = [f"{row.method} ({_list(row.seeds)})" for row in rows if tuple(row.seeds) != tuple(seeds)]
    if odd:
        notes.append(f"Compared over seeds {_list(seeds)}. Not ranked, for they have other ones: {', '.join(odd)}.")
    for row in rows:
        typed = [f"{name} = {value}" for name, (by, value) in row.overrides.items() if by == "--set"]
        notes += [f"{row.method}: {', '.join(typed)} by --set"] if typed else []
        notes += [f"{row.method}: {name}: {s.note}" for name, s in row.scores.items() if s.note and s.value is not None]
        notes += [f"{row.method} \u2020: made by code that no commit holds ({row.changed})"] if row.changed else []
    unscored: dict[str, list[str]] = {}
    for row in rows:
        for name, score in row.scores.items():
            if score.value is None:
                unscored.setdefault(score.note or "no value", []).append(name)
    notes += [f"Unscored, {reason}: {', '.join(dict.fromkeys(names))}." for reason, names in unscored.items()]
    return list(dict.fromkeys(notes))


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"
