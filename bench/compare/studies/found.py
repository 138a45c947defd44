"""The studies that the records of a results directory make, by data, model and series."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.api import Series, make_task
from bench.compare.studies import muse, restor, scale, sequence
from bench.compare.studies.study import Column, Curves, Figure, Grid, Material, Study
from bench.errors import BenchError, UsageError
from bench.keys import digest
from bench.store import files, kept
from bench.store.record import RETRAIN, Cell, Record
from bench.store.versions import STUDIES

KINDS: Mapping[str, Callable[[Material], Study | None]] = {
    "muse": muse.study,
    "restor": restor.study,
    "scale": scale.study,
    "sequence": sequence.study,
}
"""What the first word of a series is made into."""


def studies(results: Path, records: Mapping[Cell, Record]) -> list[Study]:
    """Every study of which a method has all cells, by data, model and name; one without its retrain models is none.

    What was found is kept in RESULTS/analysis by the cells that it rests on; files there are safe to delete.
    """
    places: dict[tuple[str, str], dict[Cell, Record]] = defaultdict(dict)
    every: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell, record in records.items():
        every[cell.data, cell.model].append(cell)
        if record.status == "ok" and record.scores:
            places[cell.data, cell.model][cell] = record
    found = []
    for place in sorted(places):
        own, cells = places[place], tuple(sorted(every[place]))
        known = [
            (at, task) for task in {cell.task for cell in own if cell.method == RETRAIN} if (at := series_of(task))
        ]
        for _, steps in groupby(sorted(known), lambda step: step[0].name):
            (at, _), *_ = of = list(steps)
            study = _kept(results, at, {step.at: task for step, task in of}, own, cells)
            found += [study] if study else []
    return found


def series_of(task: str) -> Series | None:
    """Where a task stands; None of one that is in no series, or is not known here."""
    try:
        found: Series | None = getattr(make_task(task), "series", None)
    except UsageError:
        return None
    return found


def kind(name: str) -> str:
    """The kind of a series: "sequence" of "sequence8-b:tofu"."""
    found = re.match(r"[a-z]+", name)
    return found.group() if found else ""


def _kept(
    results: Path, at: Series, tasks: Mapping[float, str], own: Mapping[Cell, Record], cells: tuple[Cell, ...]
) -> Study | None:
    name, axis = at.name, at.axis
    make = KINDS.get(kind(name))
    if make is None:
        return None
    rests_on = [
        STUDIES,
        name,
        sorted([*cell, record.keys.get("score"), record.cost] for cell, record in own.items()),
        [list(cell) for cell in cells],
    ]
    path = kept.path(results, f"study-{digest(rests_on)}")
    try:
        return _from_json(kept.read(path))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    first = next(iter(own))
    read = cache(lambda cell: files.items(results, cell).set_index("id"))
    try:
        study = make(Material(name, first.data, first.model, axis, tasks, own, read, cells))
    except (KeyError, ValueError) as error:  # steps of other files under one label have other items
        unlike = f"Left out: its steps have not the same items ({type(error).__name__}: {error}). Run them on one data."
        return Study(name, first.data, first.model, "no figures", axis, (), (), {}, notes=(unlike,))
    except BenchError:  # items that cannot be read are named by the cells' own table
        return None
    kept.write(path, study and dataclasses.asdict(study))
    return study


def _from_json(plain: Any) -> Study | None:
    if plain is None:
        return None
    return Study(
        **{
            **plain,
            "seeds": tuple(plain["seeds"]),
            "columns": tuple(Column(*column) for column in plain["columns"]),
            "rows": {m: {title: Figure(*f) for title, f in of.items()} for m, of in plain["rows"].items()},
            "curves": tuple(
                Curves(**{**c, "lines": {m: tuple((at, Figure(*f)) for at, f in of) for m, of in c["lines"].items()}})
                for c in plain["curves"]
            ),
            "grids": tuple(
                Grid(g["title"], g["down"], g["across"],
                     {m: tuple(tuple(line) for line in of) for m, of in g["values"].items()})
                for g in plain["grids"]
            ),
            "notes": tuple(plain["notes"]),
        }
    )  # fmt: skip
