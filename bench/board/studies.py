"""A study as people read it: a table of figures, what they mean, a sentence; as data for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table as Lines
from rich.text import Text

from bench.board import about
from bench.board.columns import TOLD
from bench.compare.analysis import Rules, Table
from bench.compare.studies.study import Column, Figure, Study
from bench.store.record import CONTROLS

_RULES = Rules()
READING = (
    f"In brackets both ends of 95% intervals over clusters and seeds; {TOLD} where a test, corrected for all methods "
    "and figures that are tested here, tells it from 0."
)


def title(study: Study) -> str:
    """What it asks, of whose data and which model."""
    model = study.model.replace("@", ", tuned: ")
    return f"{study.name}: {study.title}, {about.label(study.data)}, model {model}, {about.seeds(study.seeds)}"


def of(table: Table, studies: Sequence[Study]) -> Study | None:
    """The study that a table is a step of."""
    name = table.series
    place = table.data, table.model, name
    return next((s for s in studies if name and (s.data, s.model, s.name) == place), None)


def shown(study: Study) -> list[Column]:
    """The columns in which somebody has a number."""
    return [c for c in study.columns if any(_has(of.get(c.title)) for of in study.rows.values())]


def cell(study: Study, method: str, column: Column, rules: Rules = _RULES, ends: bool = True) -> str:
    """A figure as a table has it, with both ends of its interval; a note stands where there is no number."""
    figure = study.rows[method].get(column.title)
    if figure is None or figure.value is None:
        return figure.note if figure is not None and figure.note else "-"
    form = (lambda v: f"{v + 0.0:+.2f}") if column.signed else (lambda v: f"{v:.2f}")
    mark = f"{TOLD} " if _is_told(figure, rules) else ""
    around = f" [{form(figure.lo)}, {form(figure.hi)}]" if ends and figure.lo is not None else ""
    return f"{mark}{form(figure.value)}{around}" + (f" ({figure.note})" if figure.note else "")


def sentence(study: Study, rules: Rules = _RULES) -> str:
    """What corrected tests tell from 0, by figure."""
    told = []
    for column in study.columns:
        own = [m for m, of in study.rows.items() if m not in CONTROLS and _is_told(of.get(column.title), rules)]
        told += [f"{column.title}: {', '.join(own)}"] if own else []
    count = len([m for m in study.rows if m not in CONTROLS])
    methods = f"{count} method{'s' if count != 1 else ''}"
    return f"{methods}. Told from 0 by a corrected test: {'; '.join(told) or 'nothing'}."


def markdown(study: Study, rules: Rules) -> str:
    """The table with what its columns mean."""
    columns = shown(study)
    heads = ["method", *(c.title for c in columns)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for method in study.rows:
        name = f"*{method}*" if method in CONTROLS else method
        lines.append("| " + " | ".join([name, *(cell(study, method, c, rules) for c in columns)]) + " |")
    meaning = [f"*{c.title}*: {c.doc}" for c in columns]
    return "\n\n".join([sentence(study, rules), "\n".join(lines), "; ".join(meaning) + ". " + READING,
                        *study.notes])  # fmt: skip


def terminal(study: Study, rules: Rules = _RULES) -> Group:
    """The same for a terminal: the figures without their intervals."""
    columns = shown(study)
    lines = Lines("method", *(c.title for c in columns), box=box.SIMPLE_HEAD, pad_edge=False)
    for method in study.rows:
        lines.add_row(method, *(cell(study, method, c, rules, ends=False) for c in columns))
    return Group(Text(title(study), style="bold"), Text(sentence(study, rules)), lines)


def plain(study: Study, method: str) -> dict[str, Any]:
    """What a method's row of the last step has in `--json`."""
    return {title: figure._asdict() for title, figure in study.rows.get(method, {}).items()}


def _has(figure: Figure | None) -> bool:
    return figure is not None and (figure.value is not None or bool(figure.note))


def _is_told(figure: Figure | None, rules: Rules) -> bool:
    return figure is not None and figure.p is not None and figure.p < rules.alpha
