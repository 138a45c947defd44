"""What attacks brought back, on a task's page and, a line each, on the pages of its methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.board import about, charts, robustness
from bench.board.columns import TOLD
from bench.board.report import places
from bench.compare.analysis import Rules, Table
from bench.compare.readings import Line
from bench.compare.robustness import Recovery
from bench.store.attacked import PLAIN

ANCHOR = "attacks"
"""The section's place in a task's page."""
_NEVER = 1e9  # what is not back in time stands behind all that is


class Number(NamedTuple):
    """A number of a table, what it is sorted by, and what there is to say of it."""

    text: str
    value: float | None
    why: str = ""


class Told(NamedTuple):
    """A line of an attack: retrain, target, then the excess of each method."""

    name: str
    control: bool
    injects: str
    numbers: Sequence[Number]


def section(table: Table, rules: Rules, known: Iterable[str]) -> Mapping[str, Any] | None:
    """What a task's page says of attacks; None where there were none.

    Args:
        known: the methods of the whole report, among which looks are chosen.
    """
    if not table.attacks:
        return None
    methods = {row.label: row.method for row in table.attacks}
    lines = robustness.lines(table)
    return {
        "id": ANCHOR,
        "head": robustness.HEAD,
        "sentence": robustness.sentence(table, rules),
        "looks": charts.looks({*known, *(row.method for row in table.rows), *methods.values()}),
        "most": [(row.label, row.method, robustness.name(row), _most(row, rules)) for row in robustness.most(table)],
        "methods": methods,
        "lines": [_line(name, of, methods, rules) for name, of in lines],
        "speeds": list(_speeds(lines)),
        "speed": robustness.SPEED,
        "notes": [robustness.READING, *_apart([row for _, of in lines for row in of], len(methods))],
        "attackers": _attackers(row.line for row in table.attacks),
        "charts": charts.of_attacks(table, known),
    }  # fmt: skip


def of_method(tables: Sequence[Table], rules: Rules, method: str) -> list[Mapping[str, str]]:
    """What a method's page says of the attacks on it: of each task what brings back most."""
    return [
        {
            "task": f"{table.task} ({about.kind(table)}, {table.model})",
            "address": f"{places.task_page(table)}#{ANCHOR}",
            "text": _in_words(row, rules),
        }
        for table in tables
        for row in robustness.most(table)
        if row.method == method
    ]


def _in_words(row: Recovery, rules: Rules) -> str:
    whose = "" if row.label == row.method else f" {row.label.removeprefix(row.method).strip(', ')},"
    gap = "" if row.share.value is None else f"; open after it {robustness.share(row)} of the gap to the target"
    return f"{whose} most comes back by {robustness.name(row)}: excess {robustness.said(row, rules)}{gap}.".strip()


def _most(row: Recovery, rules: Rules) -> list[Number]:
    levels = [Number(robustness.number(v), v) for v in (row.before, row.after, row.retrain)]
    return [*levels, _number(row, rules), Number(robustness.share(row), row.share.value, row.share.note)]


def _line(name: str, of: Sequence[Recovery], labels: Iterable[str], rules: Rules) -> Told:
    by = {row.label: row for row in of}
    anchors = (robustness.mean([getattr(row, who) for row in of]) for who in ("retrain", "target"))
    levels = [Number(robustness.number(value), value) for value in anchors]
    line = of[0].line
    return Told(name, line.control, line.injects, [*levels, *(_number(by.get(label), rules) for label in labels)])


def _speeds(lines: Iterable[tuple[str, Sequence[Recovery]]]) -> Iterator[tuple[str, str, str, list[Number]]]:
    """Of each line of training steps and each method: line, label, method, and how fast answers come back, of the
    method, of retrain, between the two."""
    for name, row in ((name, row) for name, of in lines for row in of if not row.weak):
        if (of := row.speed) is not None:
            steps = [_NEVER + of.last if at is None else at for at in (of.steps, of.retrain)]
            numbers = zip((*robustness.half_back(row), robustness.area(row)), (*steps, of.area.value), strict=True)
            yield name, row.label, row.method, [Number(*each) for each in numbers]


def _number(row: Recovery | None, rules: Rules) -> Number:
    """An excess as the board's columns have it: the mark in front, in brackets where it says nothing."""
    if row is None or row.excess is None:
        return Number(robustness.cell(row, rules), None, row.weak if row else "")
    value, _, ends = robustness.excess(row).partition(" ")
    value = f"({value})" if row.weak else value
    mark = f"{TOLD} " if robustness.is_shown(row, rules) else ""
    return Number(f"{mark}{value} {ends}", row.excess.difference, row.weak)


def _apart(rows: Sequence[Recovery], methods: int) -> list[str]:
    """What is to be known of lines that say nothing: controls, and weak ones by why they are."""
    found = []
    if any(row.line.control for row in rows):
        found.append("*Controls*, in grey and last: there nothing should come back, of no method.")
    weak: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.weak:
            weak.setdefault(row.weak, {}).setdefault(robustness.name(row), []).append(row.label)
    for why, by_line in weak.items():
        said = "; ".join(name if len(of) == methods else f"{name} of {', '.join(of)}" for name, of in by_line.items())
        found.append(f"*In brackets or ruined*, and counted nowhere: {why}: {said}.")
    if any(row.excess is None and not row.weak for row in rows):
        found.append("*Too few*: too few authors were scored for an interval.")
    return found


def _attackers(lines: Iterable[Line]) -> list[tuple[str, str, str, str]]:
    """Of each attack what is done, who does it, what its lines tell the model."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.attack, []).append(line)
    return [(robustness.called(of[0]), *_way(of[0]), ", ".join(dict.fromkeys(line.injects for line in of)))
            for of in found.values()]  # fmt: skip


def _way(line: Line) -> tuple[str, str]:
    """What an attack does, and what it takes."""
    if line.attack == PLAIN:
        return "Ask the bare weights, without what is attached.", robustness.HOLDS["weights"]
    return line.doc, robustness.HOLDS.get(line.needs, line.needs)
