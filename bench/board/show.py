"""One cell in full, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.api import Score, make_task
from bench.board import robustness
from bench.board.numbers import number
from bench.compare.analysis import Rules
from bench.compare.robustness import Recovery
from bench.store import files
from bench.store.attacked import DELIVERED
from bench.store.record import Record

DETACHABLE = "detachable: acts at inference; whoever holds the weights takes it off and has the target back"


def describe(record: Record, results: Path, attacks: Sequence[Recovery] = ()) -> str:
    """Status, scores with intervals, parameters and who set them, cost and provenance of a cell.

    Args:
        attacks: what they bring back of its method.
    """
    lines = [f"{record.cell}: {record.status}", f"made {record.created} {code(record)}"]
    if record.detachable:
        lines += [DETACHABLE]
    if record.error:
        lines += ["", record.error.rstrip()]
    lines += ["", "scores (95% interval over clusters; this run only)"]
    lines += [f"  {line}" for line in score_lines(record.scores)]
    lines += attack_lines(attacks)
    lines += ["", "parameters"]
    for name, value in record.parameters.items():
        by = f"   (by {record.overrides[name]}; not the source's default)" if name in record.overrides else ""
        lines.append(f"  {name:26} {value}{by}")
    for title, table in (("cost", record.cost), ("environment", record.environment), ("keys", record.keys)):
        lines += ["", title, *(f"  {name:26} {_plain(value)}" for name, value in table.items())]
    lines += ["", "files", f"  {files.record_path(results, record.cell)}"]
    rows = files.rows_path(results, record.keys.get("measure", ""))
    lines.append(f"  {rows}" + ("" if rows.is_file() else " (not here: rows are not kept in git)"))
    lines += [f"note: {note}" for note in record.notes]
    return "\n".join(lines)


def chief(scores: Mapping[str, Score], task: str, whole: bool = False) -> dict[str, Score]:
    """What to look at first: the task's headline scores, then those of its first table that have a value, or all."""
    known = make_task(task)
    first = next(iter(known.details.values()), ())
    heads = list(known.headlines.values())
    seen = [name for name in first if name in scores and (whole or scores[name].value is not None)]
    return {name: scores[name] for name in dict.fromkeys([*heads, *seen]) if name in scores}


def score_lines(scores: Mapping[str, Score]) -> list[str]:
    """A line a score: name, value with its interval, number of items, and what there is to say of it."""
    lines = []
    for name, score in scores.items():
        n = ", ".join(filter(None, (f"n = {score.n}" if score.value is not None else "", score.note)))
        lines.append(f"{name:26} {number(name, score._asdict()):32} {n}")
    return lines


def attack_lines(rows: Sequence[Recovery]) -> list[str]:
    """Of each attack the line that brings back most beyond retrain; nothing where there was none."""
    if not rows:
        return []
    seeds = sorted({seed for row in rows for seed in row.seeds})
    over = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    head = f"attacks on the method, {over}: what brings back most beyond retrain, \u2260 where a test shows it"
    lines = ["", head]
    found = robustness.most_by_attack(rows)
    for row in found:
        form = "" if row.form == DELIVERED else f", {row.form}"
        level = f"known {robustness.number(row.after)}, retrain {robustness.number(row.retrain)}"
        lines.append(f"  {robustness.name(row) + form:48} {robustness.cell(row, Rules()):24} {level}{_speed(row)}")
    silent = sorted({row.line.attack for row in rows} - {row.line.attack for row in found})
    return [*lines, *([f"  nothing can be said by {', '.join(silent)}"] if silent else [])]


def _speed(row: Recovery) -> str:
    """How fast it comes back, of an attack in training steps."""
    own, retrain = robustness.half_back(row)
    return own and f"; half back after {own} steps, of retrain {retrain}; area {robustness.area(row)}"


def code(record: Record) -> str:
    """What code made a cell: the commit, and what that does not hold."""
    made = record.environment
    commit = f"at commit {made['commit']}" if made.get("commit") else "at no commit: git does not keep this code"
    if not made.get("dirty"):
        return commit
    changed = f": {', '.join(made['changed'])}" if made.get("changed") else ""
    return f"{commit}, with code that it does not hold{changed}"


def _plain(value: object) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list | tuple) else str(value)
