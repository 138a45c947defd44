"""The numbers that figures draw of a table: a value with its interval, p-values as powers of ten, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.api import Score
from bench.board.numbers import log10, short
from bench.compare.analysis import HEADLINE, Row, Table
from bench.compare.headline import ERASED, KEPT
from bench.score.limits import is_p
from bench.score.scoring import find
from bench.store.record import RETRAIN

SHARES = (HEADLINE, ERASED, KEPT)
"""Between 0 and 1; of retrain, measured against itself, 1."""


class Span(NamedTuple):
    """A value and its interval, without width where none is known."""

    value: float
    lo: float
    hi: float


class Measure(NamedTuple):
    """A number of a table and how it is drawn."""

    name: str
    title: str
    powers: bool = False  # a p-value, drawn as the power of ten

    def number(self, value: float) -> float:
        """A value as it is drawn."""
        return log10(value) if self.powers else value

    def span(self, row: Row) -> Span | None:
        """Value and interval of a row; None where it has none."""
        score = row.scores.get(self.name, Score(None))
        if score.value is None:
            return None
        return Span(*(self.number(score.value if v is None else v) for v in (score.value, score.lo, score.hi)))

    def seeds(self, row: Row) -> list[tuple[int, float]]:
        """Seeds of a row with their values; empty where they are not known one by one."""
        of = zip(row.seeds, row.by_seed.get(self.name, ()), strict=False)
        return [(seed, self.number(value)) for seed, value in of if value is not None]

    def said(self, rows: Sequence[Row]) -> str:
        """What each row has, as the board has it."""
        known = [(row.method, row.scores[self.name]) for row in rows if self.span(row) is not None]
        return "; ".join(f"{method} {short(self.name, score)}" for method, score in known)


def measure(name: str, title: str = "") -> Measure:
    """The measure of that name; without a title its own, as words."""
    metric = find(name)
    powers = metric is not None and is_p(metric)
    title = title or name.replace("_", " ")
    return Measure(name, f"{title} (log10 p)" if powers else title, powers)


def leading(table: Table) -> Measure | None:
    """What rows are ordered by: the headline, or the first number of a task that has none."""
    if any(HEADLINE in row.scores for row in table.rows):
        return Measure(HEADLINE, HEADLINE)
    return measure(name) if (name := next(iter(table.headlines.values()), "")) else None


def spans(table: Table, one: Measure) -> dict[str, Span]:
    """The rows that have a measure, in the table's order.

    Retrain with one seed, which knows no other retrain model, has what it is by definition: a share of 1.
    """
    found = {row.method: span for row in table.rows if (span := one.span(row)) is not None}
    if one.name in SHARES and found and RETRAIN not in found and table.row(RETRAIN) is not None:
        found[RETRAIN] = Span(1.0, 1.0, 1.0)
    return found
