"""A tuning as tables: what a search of each method found and chose, for pages and, as Markdown, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.board.columns import Column
from bench.compare.selection import KEPT_AT_LEAST, Objective
from bench.compare.tuning import COLLAPSED, DEAR, Tuned, Tuning

FEW = 4
"""Trials of a small budget, in the table."""
Value = Callable[[Tuned], float | None]


class Part(NamedTuple):
    """One table."""

    caption: str
    methods: Sequence[str]
    columns: Sequence[Column]


def searched(methods: Sequence[Tuned]) -> list[Column]:
    """Columns of what the search found."""
    return _spoken(
        _number("trials", methods, lambda t: len(t.settings), "{:.0f}"),
        _column("failed", methods, _failed, lambda t: len(t.settings) - t.count("ok")),
        _number("default", methods, lambda t: t.default),
        _number("best of 1", methods, lambda t: _expected(t, 1)),
        _number(f"of {FEW}", methods, lambda t: _expected(t, FEW)),
        _number("of all", methods, lambda t: t.best),
        _number("width", methods, lambda t: t.width),
        _number("hypervolume", methods, lambda t: t.hypervolume),
        _number("s a trial", methods, lambda t: t.seconds, "{:.3g}"),
    )


def chosen(methods: Sequence[Tuned]) -> list[Column]:
    """Columns of what was chosen, and how well it held."""
    return _spoken(
        _column("deployable choice", methods, lambda t: choice(t, "deployable"), lambda t: _headline(t, "deployable")),
        _column("oracle choice", methods, lambda t: choice(t, "oracle"), lambda t: _headline(t, "oracle")),
        _number("gap", methods, lambda t: t.gap),
        _number("optimism, deployable", methods, lambda t: _optimism(t, "deployable"), "{:+.2f}"),
        _number("optimism, oracle", methods, lambda t: _optimism(t, "oracle"), "{:+.2f}"),
    )


def tables(tuning: Tuning) -> list[Part]:
    """Every table: all methods, then those that are dear at equal seconds."""
    all_, dear = tuning.methods, tuning.at_equal_seconds
    found = [("What the search found", all_, searched), ("What was chosen", all_, chosen)]
    if dear:
        found += [("What the search found in the seconds that others have", dear, searched)]
        found += [("What was chosen in the seconds that others have", dear, chosen)]
    return [Part(caption, [tuned.method for tuned in of], columns(of)) for caption, of, columns in found]


def lines(tuning: Tuning) -> list[str]:
    """All tables and what their numbers are, as lines of Markdown."""
    found = [heading(tuning)]
    for part in tables(tuning):
        found += ["", f"{part.caption}:", "", *_table(part.methods, part.columns)]
    return [*found, "", *notes(tuning)]


def _table(methods: Sequence[str], columns: Sequence[Column]) -> list[str]:
    cells = [["method", *(column.head for column in columns)]]
    cells += [[method, *(column.texts[method] for column in columns)] for method in methods]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    texts = [f"| {' | '.join(cell.ljust(w) for cell, w in zip(row, wide, strict=True))} |" for row in cells]
    return [texts[0], f"|{'|'.join('-' * (w + 2) for w in wide)}|", *texts[1:]]


def heading(tuning: Tuning) -> str:
    """Task, model and the data that settings were chosen on."""
    return f"Tuning of {tuning.task}, model {tuning.model}, on {', '.join(tuning.validation)}"


def honest(tuning: Tuning) -> str:
    """What no number of a tuning may be taken for."""
    where = ", ".join(tuning.validation)
    return f"Chosen and shown on validation data ({where}); the board's numbers are on other data."


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
    counts = sorted({len(tuned.settings) for tuned in tuning.methods})
    if len(counts) > 1:
        found.append(
            f"Methods have {counts[0]} to {counts[-1]} trials: do not compare what grows with their number, "
            "the best and the hypervolume."
        )
    if dear := [tuned.method for tuned in tuning.at_equal_seconds]:
        found.append(
            f"A trial of {', '.join(dear)} takes more than {DEAR:g} times the usual: also shown are the first trials "
            "that fit into the seconds that the others' take."
        )
    return found


def _number(head: str, methods: Sequence[Tuned], value: Value, form: str = "{:.2f}") -> Column:
    return _column(head, methods, lambda tuned: said(value(tuned), form), value)


def _column(head: str, methods: Sequence[Tuned], text: Callable[[Tuned], str], value: Value) -> Column:
    return Column(head, {t.method: text(t) for t in methods}, {t.method: value(t) for t in methods})


def _spoken(*columns: Column) -> list[Column]:
    """The columns that have something to say of any method."""
    return [column for column in columns if any(value is not None for value in column.values.values())]


def said(value: float | None, form: str = "{:.2f}") -> str:
    """A number in two digits, 0 without a sign of its own, or a dash."""
    return "-" if value is None or math.isnan(value) else form.format(round(value, 2) + 0.0)


def _failed(tuned: Tuned) -> str:
    counts = [(state, tuned.count(state)) for state in ("failed", "diverged", "collapsed")]
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "0"


def _expected(tuned: Tuned, n: int) -> float | None:
    return tuned.expected[n - 1] if len(tuned.expected) >= n else None


def choice(tuned: Tuned, objective: Objective) -> str:
    """A choice's headline, its trial and where to stop."""
    made = tuned.choices[objective]
    if made is None:
        return "-"
    at = made.candidate
    return f"{said(at.headline)} (#{at.number}, {share(at.share)}{'' if made.kept else ' !'})"


def share(value: float) -> str:
    """A share of a run: 1/8, 1/4, 1/2, 1."""
    return f"1/{1 / value:.0f}" if 0 < value < 1 and (1 / value).is_integer() else f"{value:g}"


def _headline(tuned: Tuned, objective: Objective) -> float | None:
    choice = tuned.choices[objective]
    return None if choice is None else choice.candidate.headline


def _optimism(tuned: Tuned, objective: Objective) -> float | None:
    known = tuned.optimism[objective]
    return None if known is None else known.headline
