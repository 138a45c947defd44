"""A tuning's page, and where it is told of elsewhere: in the start page's list and on the pages of its methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.board import charts
from bench.board.report import places
from bench.board.report.pages import Folder
from bench.board.tuning import choice, heading, honest, notes, said, tables
from bench.compare.tuning import Tuning


class Named(NamedTuple):
    """A row of a table of numbers: its method, with none of the marks that rows of a board may have."""

    method: str
    apart: str = ""
    changed: str = ""


def write(folder: Folder, tuning: Tuning, known: Iterable[str]) -> None:
    """Write the page of a tuning.

    Args:
        known: the methods of the whole report, among which looks are chosen.
    """
    methods = [tuned.method for tuned in tuning.methods]
    told = notes(tuning)
    folder.render(
        places.tuning_page(tuning),
        "tuning.html.j2",
        tuning=tuning,
        honest=told[0],
        notes=told[1:],
        looks=charts.looks({*known, *methods}),
        methods=methods,
        boards=[(part.caption, [Named(method) for method in part.methods], part.columns) for part in tables(tuning)],
        charts=charts.of_tuning(tuning, known),
    )


def listed(tunings: Sequence[Tuning]) -> list[Mapping[str, Any]]:
    """What the start page says of each tuning."""
    return [
        {
            "title": heading(tuning),
            "address": places.tuning_page(tuning),
            "text": f"{len(tuning.methods)} method{'s' if len(tuning.methods) != 1 else ''}, "
            f"{sum(len(tuned.settings) for tuned in tuning.methods)} trials.",
        }
        for tuning in tunings
    ]


def of_method(tunings: Sequence[Tuning], method: str, known: Iterable[str]) -> list[Mapping[str, Any]]:
    """What a method's page says of each tuning of it, with its figures."""
    known = list(known)
    found: list[Mapping[str, Any]] = []
    for n, tuning in enumerate(tunings, 1):
        tuned = tuning.of(method)
        if tuned is None:
            continue
        drawn = charts.of_tuned(tuning, method, known)
        found.append(
            {
                "title": heading(tuning),
                "address": places.tuning_page(tuning),
                "text": f"{len(tuned.settings)} trials: default {said(tuned.default)}, expected best of one "
                f"{said(tuned.expected[0])}, best {said(tuned.best)}; deployable choice {choice(tuned, 'deployable')}, "
                f"oracle choice {choice(tuned, 'oracle')}. {honest(tuning)}",
                "charts": [chart._replace(name=f"tuning-{n}-{chart.name}") for chart in drawn],
            }
        )
    return found
