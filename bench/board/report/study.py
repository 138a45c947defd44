"""A study's page, and what the start page says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.board import charts, studies
from bench.board.columns import Column
from bench.board.report import places
from bench.board.report.pages import Folder
from bench.board.report.tuning import Named
from bench.compare.analysis import Rules, Table
from bench.compare.studies.study import Study
from bench.store.record import RETRAIN


def write(folder: Folder, study: Study, tables: Sequence[Table], rules: Rules, known: Iterable[str]) -> None:
    """Write the page of a study.

    Args:
        tables: those of the whole report, among which its steps are.
        known: the methods of the whole report, among which looks are chosen.
    """
    methods = list(study.rows)
    columns = [
        Column(
            c.title,
            {m: studies.cell(study, m, c, rules) for m in study.rows},
            {m: figure.value if (figure := of.get(c.title)) else None for m, of in study.rows.items()},
        )
        for c in studies.shown(study)
    ]
    steps = [table for table in tables if studies.of(table, [study]) is not None]
    folder.render(
        places.study_page(study),
        "study.html.j2",
        study=study,
        title=studies.title(study),
        sentence=studies.sentence(study, rules),
        looks=charts.looks({*known, *methods}),
        methods=[*methods, RETRAIN],
        rows=[Named(method) for method in methods],
        columns=columns,
        notes=[*(f"{c.title}: {c.doc}." for c in studies.shown(study)), studies.READING, *study.notes],
        steps=[(table.task, places.task_page(table)) for table in steps],
        charts=charts.of_study(study, known),
    )


def listed(found: Sequence[Study], rules: Rules) -> list[Mapping[str, Any]]:
    """What the start page says of each study."""
    return [
        {"title": studies.title(s), "address": places.study_page(s), "text": studies.sentence(s, rules)} for s in found
    ]
