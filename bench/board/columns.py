"""The columns of a board, as texts and as the values that they are sorted by: one source for every form of a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.api import Score
from bench.board.numbers import short
from bench.board.sweeps import Swept
from bench.board.verdict import NOT_REACHED, best, is_told
from bench.compare.analysis import HEADLINE, Row, Rules, Table
from bench.compare.headline import ERASED, KEPT
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP
from bench.score.limits import is_p
from bench.score.scoring import find
from bench.store.record import RETRAIN, is_tuned

TOLD = "\u2260"
"""What marks a number by which a corrected test tells a method from retrain."""


class Column(NamedTuple):
    """One column of a board, by method."""

    head: str
    texts: Mapping[str, str]  # a method that is missing has none
    values: Mapping[str, float | None] = {}  # what a column of numbers is sorted by; empty for one of words
    top: frozenset[str] = frozenset()  # the methods that nobody beats, where somebody is beaten


def verdict(table: Table, rules: Rules) -> list[Column]:
    """Letters, headline, its two parts, what tells from retrain, cost; columns without a value are left out."""
    rows = table.rows
    told = {name: _told(table, name, rules) for name in (KS_DISTANCE, MEMBERSHIP_GAP)}
    if table.band is not None and RETRAIN in told[KS_DISTANCE].texts:
        low, high = table.band.lo, table.band.hi
        itself = f"{told[KS_DISTANCE].texts[RETRAIN]} ({low:.2f} to {high:.2f})"
        told[KS_DISTANCE] = told[KS_DISTANCE]._replace(texts={**told[KS_DISTANCE].texts, RETRAIN: itself})
    seconds = {row.method: row.cost.get("unlearn_seconds") for row in rows}
    at = {row.method: row.matched.at_retrain for row in rows}
    origins = {row.method: row.origin for row in rows}
    found = [
        Column("", {row.method: "apart" if row.apart else row.letters for row in rows}),
        number("headline", rows, HEADLINE),
        number("erased", rows, ERASED),
        number("kept", rows, KEPT),
        told[KS_DISTANCE]._replace(head="KS distance"),
        told[MEMBERSHIP_GAP]._replace(head="membership - retrain's"),
        Column("retain p at retrain's level", {m: short("", s) for m, s in at.items()}, _values(at)),
        _at_the_match(table),
        Column("settings", origins if any(map(is_tuned, origins.values())) else {}),
        Column("s", {m: f"{v:.0f}" for m, v in seconds.items() if v is not None}, seconds),
        Column("seeds", {row.method: str(len(row.seeds)) for row in rows}, {r.method: len(r.seeds) for r in rows}),
    ]
    if all(score.value is None for score in at.values()):
        found = [column for column in found if column.head != "retain p at retrain's level"]
    return [column for column in found if any(text not in ("", "-") for text in column.texts.values())]


def paper(table: Table, rules: Rules) -> list[Column]:
    """The numbers that papers report, each with its interval."""
    found = []
    for role, name in table.headlines.items():
        column, metric = number(role, table.rows, name), find(name)
        if metric is not None and is_p(metric):
            column = column._replace(head=f"{role} (log10 p)", texts={**column.texts, RETRAIN: "itself"})
        found.append(column._replace(top=frozenset(best(table, name, rules))))
    return [column for column in found if any(text not in ("-", "itself") for text in column.texts.values())]


def details(rows: Sequence[Row], names: Sequence[str]) -> list[Column]:
    """A column a metric."""
    return [number(name.replace("_", " "), rows, name) for name in names]


def variants(table: Table, rows: Sequence[Row]) -> list[Column]:
    """Of variants, which are scored like methods and compared with none, and of the methods they are variants of."""
    over = Column("seeds", {row.method: ", ".join(map(str, row.seeds)) for row in rows})
    return [*details(rows, [*_verdict(rows), *table.headlines.values()]), over]


def sweep(table: Table, one: Swept) -> list[Column]:
    """Of the points of a swept parameter: its value, then what it does."""
    rows = [row for _, row in one.points]
    values = {row.method: value for value, row in one.points}
    said = Column(one.parameter, {method: f"{value:g}" for method, value in values.items()}, values)
    return [said, *details(rows, _verdict(rows) or list(table.headlines.values()))]


def _verdict(rows: Sequence[Row]) -> list[str]:
    """The headline and its parts, where rows have it."""
    return [HEADLINE, ERASED, KEPT] if any(HEADLINE in row.scores for row in rows) else []


def number(head: str, rows: Sequence[Row], name: str, signed: bool = False) -> Column:
    """A score of every row, with its interval."""
    scores = {row.method: row.scores.get(name, Score(None)) for row in rows}
    return Column(head, {m: short(name, score, signed) for m, score in scores.items()}, _values(scores))


def _values(scores: Mapping[str, Score]) -> dict[str, float | None]:
    return {method: score.value for method, score in scores.items()}


def _told(table: Table, name: str, rules: Rules) -> Column:
    """A column of what could tell a method from retrain, marked where a test does."""
    found = number(name, table.rows, name, signed=name == MEMBERSHIP_GAP)
    marked = {m: f"{TOLD} {said}" if is_told(table, m, name, rules) else said for m, said in found.texts.items()}
    return found._replace(texts=marked)


def _at_the_match(table: Table) -> Column:
    """Utility kept by the models that `run --match utility` measured at retrain's level of forgetting."""
    at = {row.method.removesuffix("@matched"): row for row in table.variants if row.method.endswith("@matched")}
    kept = {method: row.scores[KEPT] for method, row in at.items() if KEPT in row.scores}
    few = {
        m: f" (reached by {n} of {len(table.seeds)} seeds)" for m in kept if (n := len(at[m].seeds)) < len(table.seeds)
    }
    never = {cell.method.removesuffix("@matched") for cell, why in table.left_out if why.startswith(NOT_REACHED)}
    texts = dict.fromkeys(never - kept.keys(), NOT_REACHED) | {
        m: short("", score) + few.get(m, "") for m, score in kept.items()
    }
    return Column("utility at retrain's level", texts, _values(kept))
