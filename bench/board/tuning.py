"""A tuning as a table: what a search of each method found, as Markdown for a terminal and for pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.compare.selection import KEPT_AT_LEAST, Choice, Objective
from bench.compare.tuning import COLLAPSED, DEAR, Tuned, Tuning

FEW = 4
"""Trials of a small budget, in the table."""


class Line(NamedTuple):
    """A row of the table: a method, or the first trials of a dear one."""

    method: str
    within: bool  # of as many trials as fit into what an equal search of the usual method takes
    tuned: Tuned


class Column(NamedTuple):
    """A column: its heading, what it says of a line, and the number that it is sorted by."""

    head: str
    text: Callable[[Tuned], str]
    value: Callable[[Tuned], float | None]


def rows(tuning: Tuning) -> list[Line]:
    """The methods by name, below a dear one the trials of it that fit into equal seconds."""
    found = []
    for tuned in tuning.methods:
        found.append(Line(tuned.method, False, tuned))
        if tuned.at_equal_seconds is not None:
            found.append(Line(tuned.method, True, tuned.at_equal_seconds))
    return found


def searched(tuning: Tuning) -> list[Column]:
    """Columns of what the search found."""
    return _spoken(
        tuning,
        _number("trials", lambda t: len(t.settings), "{:.0f}"),
        Column("failed", _failed, lambda t: len(t.settings) - t.count("ok")),
        _number("default", lambda t: t.default),
        _number("best of 1", lambda t: _expected(t, 1)),
        _number(f"of {FEW}", lambda t: _expected(t, FEW)),
        _number("of all", lambda t: t.best),
        _number("width", lambda t: t.width),
        _number("hypervolume", lambda t: t.hypervolume),
        _number("s a trial", lambda t: t.seconds, "{:.3g}"),
    )


def chosen(tuning: Tuning) -> list[Column]:
    """Columns of what was chosen, and how well it held."""
    return _spoken(
        tuning,
        Column("deployable choice", lambda t: _choice(t, "deployable"), lambda t: _chosen(t, "deployable")),
        Column("oracle choice", lambda t: _choice(t, "oracle"), lambda t: _chosen(t, "oracle")),
        _number("gap", lambda t: t.gap),
        _number("optimism, deployable", lambda t: _optimism(t, "deployable"), "{:+.2f}"),
        _number("optimism, oracle", lambda t: _optimism(t, "oracle"), "{:+.2f}"),
    )


def lines(tuning: Tuning) -> list[str]:
    """Both tables and what their numbers are, as lines of Markdown."""
    tables = [["", *_table(tuning, columns)] for columns in (searched(tuning), chosen(tuning))]
    return [heading(tuning), *tables[0], *tables[1], "", *notes(tuning)]


def _table(tuning: Tuning, columns: Sequence[Column]) -> list[str]:
    cells = [["method", *(column.head for column in columns)]]
    cells += [[title(line), *(column.text(line.tuned) for column in columns)] for line in rows(tuning)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    texts = [f"| {' | '.join(cell.ljust(w) for cell, w in zip(row, wide, strict=True))} |" for row in cells]
    return [texts[0], f"|{'|'.join('-' * (w + 2) for w in wide)}|", *texts[1:]]


def heading(tuning: Tuning) -> str:
    """Task, model and the data that settings were chosen on."""
    return f"Tuning of {tuning.task}, model {tuning.model}, on {', '.join(tuning.validation)}"


def title(line: Line) -> str:
    """What a row is called."""
    return f"{line.method} (equal s)" if line.within else line.method


def honest(tuning: Tuning) -> str:
    """What no number of a tuning may be taken for."""
    where = ", ".join(tuning.validation)
    return f"Chosen and shown on validation data ({where}); the board's numbers are on other worlds."


def notes(tuning: Tuning) -> list[str]:
    """What the columns are, in lines; of things that the table has not, nothing."""
    found = [
        honest(tuning),
        "Numbers are headlines, 0 to 1, the best along a run, of the means over validation data; every trial counts, "
        "0 where it left no point. Default: trial 1 at its end. Best of n: expected, of n trials drawn from all. "
        "Width: share of the trials within 10% of the best. Hypervolume: of erased and utility above half of the "
        f"target's, at most 0.5. Collapsed: ended with less than {COLLAPSED:.0%} of the target's utility.",
        f"Deployable choice: least extraction strength among points that keep {KEPT_AT_LEAST:.0%} of the target's "
        "utility; oracle choice: the highest headline, which needs a retrain model; gap: what not knowing it costs. "
        "In brackets trial and share of its run.",
    ]
    if any(not c.kept for t in tuning.methods for c in t.choices.values() if c is not None):
        found.append("!: no point kept that much; the one that keeps most was taken.")
    if any(o is not None for t in tuning.methods for o in t.optimism.values()):
        found.append("Optimism: the choice's headline on validation data minus its mean over runs with fresh seeds.")
    if dear := [t.method for t in tuning.methods if t.at_equal_seconds is not None]:
        found.append(f"A trial of {', '.join(dear)} takes more than {DEAR:g} times the usual: \"equal s\" has "
                     "the first trials that fit into as many seconds as others have.")  # fmt: skip
    return found


def _number(head: str, value: Callable[[Tuned], float | None], form: str = "{:.2f}") -> Column:
    return Column(head, lambda tuned: said(value(tuned), form), value)


def _spoken(tuning: Tuning, *columns: Column) -> list[Column]:
    """The columns that have something to say of any method."""
    return [column for column in columns if any(column.value(tuned) is not None for tuned in tuning.methods)]


def said(value: float | None, form: str = "{:.2f}") -> str:
    """A number in two digits, 0 without a sign of its own, or a dash."""
    return "-" if value is None or math.isnan(value) else form.format(round(value, 2) + 0.0)


def _failed(tuned: Tuned) -> str:
    counts = [(state, tuned.count(state)) for state in ("failed", "diverged", "collapsed")]
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "0"


def _expected(tuned: Tuned, n: int) -> float | None:
    return tuned.expected[n - 1] if len(tuned.expected) >= n else None


def _choice(tuned: Tuned, objective: Objective) -> str:
    choice: Choice | None = tuned.choices[objective]
    if choice is None:
        return "-"
    at = choice.candidate
    return f"{said(at.headline)} (#{at.number}, {share(at.share)}){'' if choice.kept else ' !'}"


def share(value: float) -> str:
    """A share of a run: 1/8, 1/4, 1/2, 1."""
    return f"1/{1 / value:.0f}" if 0 < value < 1 and (1 / value).is_integer() else f"{value:g}"


def _chosen(tuned: Tuned, objective: Objective) -> float | None:
    choice = tuned.choices[objective]
    return None if choice is None else choice.candidate.headline


def _optimism(tuned: Tuned, objective: Objective) -> float | None:
    known = tuned.optimism[objective]
    return None if known is None else known.headline
