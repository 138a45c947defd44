"""Which parameters the variants of a table sweep, and the order in which variants stand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from bench.compare.analysis import Row, Table

WIDE = 8.0
"""Largest over smallest value from which an axis is logarithmic."""
ALIKE = 1.25
"""Largest over smallest ratio of neighbours up to which three values or more are geometric: 1, 3, 10 are."""


class Swept(NamedTuple):
    """One parameter of one method, all others being the same."""

    method: str  # with those assignments that all have
    parameter: str
    points: tuple[tuple[float, Row], ...]  # by value; the plain method's own is among them where it is known

    @property
    def log(self) -> bool:
        """Whether the values want a logarithmic axis: they are far apart, or geometric."""
        values = [value for value, _ in self.points]
        if values[0] <= 0:
            return False
        ratios = [b / a for a, b in itertools.pairwise(values)]
        return values[-1] / values[0] >= WIDE or (len(ratios) > 1 and max(ratios) / min(ratios) <= ALIKE)


def swept(table: Table) -> list[Swept]:
    """The parameters that a table's variants METHOD@PARAM=VALUE sweep over two numbers or more.

    The plain method's own value is a point where nothing else tells it from the variants.
    """
    rows = {row.method: row for row in (*table.rows, *table.variants)}
    found: dict[tuple[str, str], dict[float, Row]] = {}
    for row in table.variants:
        for rest, parameter, value in _numeric(row.method):
            found.setdefault((rest, parameter), {})[value] = row
    for (rest, parameter), of_values in found.items():
        plain = rows.get(rest)
        own = _own_value(plain, next(iter(of_values.values())), parameter) if plain is not None else None
        if plain is not None and own is not None:
            of_values.setdefault(own, plain)
    return [Swept(*key, tuple(sorted(of.items()))) for key, of in sorted(found.items()) if len(of) > 1]


def with_plain(table: Table) -> list[Row]:
    """The table's variants by method and value, each method's own row before its variants where the table has it."""
    own = {row.method: row for row in table.rows}
    found: list[Row] = []
    for row in sorted(table.variants, key=lambda row: _place(row.method)):
        plain = own.pop(row.method.partition("@")[0], None)
        found += [row] if plain is None else [plain, row]
    return found


def _place(variant: str) -> tuple[str, tuple[tuple[str, float, str], ...]]:
    """What variants are ordered by: method, then parameter by parameter, numbers as such."""
    plain, *settings = variant.split("@")
    parts = [setting.partition("=") for setting in settings]
    return plain, tuple((parameter, _number(value, math.inf), value) for parameter, _, value in parts)


def _numeric(variant: str) -> Iterator[tuple[str, str, float]]:
    """Of each numeric assignment of a variant: the variant without it, the parameter, the value."""
    plain, *settings = variant.split("@")
    for i, setting in enumerate(settings):
        parameter, equals, value = setting.partition("=")
        number = _number(value, math.nan)
        if parameter and equals and math.isfinite(number):
            yield "@".join([plain, *settings[:i], *settings[i + 1 :]]), parameter, number


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text) if math.isfinite(float(text)) else otherwise
    except ValueError:
        return otherwise


def _own_value(plain: Row, variant: Row, parameter: str) -> float | None:
    """What a method has without being told; None where it is no number, not known, or not all that differs."""
    value = plain.parameters.get(parameter)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    others = [{p: v for p, v in row.parameters.items() if p != parameter} for row in (plain, variant)]
    return float(value) if others[0] == others[1] else None
