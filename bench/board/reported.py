"""Numbers that other people have published, with their citations: always shown as "reported, not measured"."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from bench.errors import UsageError

Value = str | float | None


class Reported(NamedTuple):
    """One published table.

    `rows` are as long as `columns`; the first value names the method, the others are as published, None where there
    is no figure.
    """

    title: str
    source: str  # the paper or the repository that has them
    note: str  # what a reader must know, such as that there is one seed
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@cache
def tables() -> list[Reported]:
    """Every table of `reported.toml`, in its order.

    Raises:
        UsageError: a row is longer than its columns, or a table lacks its source.
    """
    with (files("bench.board") / "reported.toml").open("rb") as file:
        return [read(plain) for plain in tomllib.load(file)["table"]]


def read(plain: dict[str, object]) -> Reported:
    """One table as TOML has it; rows that end early are filled up with None.

    Raises:
        UsageError: a row is longer than its columns, or a key is missing or unknown.
    """
    if set(plain) != set(Reported._fields) or not plain["source"]:
        raise UsageError(f"reported table {plain.get('title')!r}: it needs {', '.join(Reported._fields)}")
    table = Reported(**plain)  # type: ignore[arg-type]
    width = len(table.columns)
    if long := [row[0] for row in table.rows if len(row) > width]:
        raise UsageError(f"reported table {table.title!r}: {long[0]} has more than {width} values")
    rows = tuple(tuple(map(_value, row)) + (None,) * (width - len(row)) for row in table.rows)
    return table._replace(columns=tuple(table.columns), rows=rows)


def _value(value: Value) -> Value:
    return float(value) if isinstance(value, int) else value
