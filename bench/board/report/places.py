"""Where each place of the report lies: names of files that any method, task or model can have."""

from __future__ import annotations

import re
from functools import cache

from bench.compare.analysis import Table
from bench.compare.studies.study import Study
from bench.compare.tuning import Tuning
from bench.keys import digest
from bench.store.record import Cell

START = "index.html"


@cache
def slug(name: str) -> str:
    """A name as part of an address: what a file cannot have becomes "-", and a digest then tells names apart."""
    plain = re.sub(r"[^a-z0-9_.+=@-]", "-", name, flags=re.IGNORECASE | re.ASCII).lstrip(".")[:80]
    return plain if plain and plain == name.replace(":", "-") else f"{plain or 'name'}.{digest(name)[:6]}"


def table_slug(table: Table) -> str:
    """Of a table, from its data, model and task."""
    return "-".join(map(slug, (table.data, table.model, table.task)))


def task_page(table: Table) -> str:
    """The address of a task's page, from the folder of the report; so are all that follow."""
    return f"task/{table_slug(table)}.html"


def method_page(method: str) -> str:
    """The address of a method's page; a variant METHOD@PARAM=VALUE stands on its method's."""
    return f"method/{slug(method.partition('@')[0])}.html"


def cell_page(table: Table, cell: Cell) -> str:
    """The address of a cell's page; beside it lie its items, as `cell_data` says."""
    return f"cell/{table_slug(table)}/{slug(cell.method)}.seed{cell.seed}.html"


def cell_data(table: Table, cell: Cell) -> str:
    """The address of a cell's items and answers."""
    return cell_page(table, cell).removesuffix("html") + "js"


def pair_page(table: Table) -> str:
    """The address of the page that compares two methods, which are named after it: ?a=METHOD&b=METHOD."""
    return f"pair/{table_slug(table)}.html"


def tuning_page(tuning: Tuning) -> str:
    """The address of a tuning's page."""
    return f"tuning/{'-'.join(map(slug, (tuning.data, tuning.model, tuning.task)))}.html"


def study_page(study: Study) -> str:
    """The address of a study's page."""
    return f"study/{'-'.join(map(slug, (study.data, study.model, study.name)))}.html"


def up(address: str) -> str:
    """From the folder of an address to that of the report: "" or "../" a level."""
    return "../" * address.count("/")
