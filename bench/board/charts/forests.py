"""Forests: a row a method or a task, its value with the interval, and lines for target and retrain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import altair as alt

from bench.board.about import kind
from bench.board.charts.measures import Measure, leading, measure, spans
from bench.board.charts.theme import (
    FADED,
    INK,
    PICKED,
    Chart,
    colour,
    drawn,
    fill,
    filled,
    layered,
    looks,
    of,
    seen,
    shape,
    stroke,
    tip,
    undrawn,
)  # fmt: skip
from bench.compare.analysis import HEADLINE, Table
from bench.store.record import CONTROLS, RETRAIN, TARGET

NAME, TITLE = "forest", "Headline"
EXTENT = [-0.02, 1.02]
"""Of an axis of shares, with room for marks at both ends."""
ABOVE: Any = {"baseline": "bottom", "fontSize": 10, "fontStyle": "italic"}


def forest(table: Table, compact: bool = False, names: Iterable[str] = ()) -> Chart:
    """The number that methods are ranked by, in the order of the table.

    Args:
        compact: for a card: without the axis' title and with lower rows.
        names: the methods that looks are chosen among; by default the table's.
    """
    one = leading(table)
    if one is None:
        return undrawn(NAME, TITLE, "The task has no number to order methods by.")
    known = spans(table, one)
    methods = [row.method for row in table.rows if row.method in known and row.method not in CONTROLS]
    title = TITLE if one.name == HEADLINE else one.title[:1].upper() + one.title[1:]
    if not methods:
        return undrawn(NAME, title, f"No method has a value of {one.title} yet.")
    high = (16 if compact else 26) * len(methods)
    return drawn(
        NAME, title, _text(table, one), _compact if compact else _forest, _rows(table, one),
        looks([*names, *methods]), max(high, 40), order=methods, extent=EXTENT if one.name == HEADLINE else None,
        x=f"{one.title} (right is better)" if one.name == HEADLINE else one.title, named=True,
    )  # fmt: skip


def of_tasks(method: str, tables: Sequence[Table], names: Iterable[str] = ()) -> Chart:
    """The headline of one method on each of its tasks, with the other methods behind it."""
    title, one = "Headline by task", measure(HEADLINE)
    having = [t for t in tables if (row := t.row(method)) is not None and one.span(row) is not None]
    places = dict(zip(titles(having), having, strict=True))
    if not places:
        return undrawn("tasks", title, f"No task has a headline of {method}.")
    rows: list[dict[str, Any]] = []
    for place, table in places.items():
        known = spans(table, one)
        for row in table.rows:
            if (span := known.get(row.method)) is not None:
                kind = "method" if row.method == method else "anchor" if row.method in CONTROLS else "other"
                rows.append({"kind": kind, "task": place, "method": row.method, "value": span.value, "lo": span.lo,
                             "hi": span.hi, "apart": bool(row.apart)})  # fmt: skip
            if row.method == method:
                rows += [{"kind": "seed", "task": place, "method": method, "seed": s, "value": v}
                         for s, v in one.seeds(row)]  # fmt: skip
    own = [row for table in places.values() if (row := table.row(method)) is not None]
    said = [f"{place} {one.said([row]).removeprefix(method).strip()}" for place, row in zip(places, own, strict=True)]
    text = f"{method}: {'; '.join(said)}. Bars are 95% intervals, pale marks the other methods of the task."
    names = [*names, *(row.method for table in tables for row in table.rows)]
    return drawn("tasks", title, text, _tasks, rows, looks(names), max(30 * len(places), 60), order=list(places))


def titles(tables: Sequence[Table]) -> list[str]:
    """A name a table: its task, with whose data and which model where they differ between the tables."""
    parts = [(kind(table), table.model) for table in tables]
    several = [len(set(values)) > 1 for values in zip(*parts, strict=True)]
    return [", ".join([table.task, *(part for part, shown in zip(of, several, strict=True) if shown)])
            for table, of in zip(tables, parts, strict=True)]  # fmt: skip


def _rows(table: Table, one: Measure) -> Iterator[dict[str, Any]]:
    known = spans(table, one)
    for name in CONTROLS:
        if name in known:
            row, span = table.row(name), known[name]
            yield {"kind": "anchor", "method": name, "value": span.value, "lo": span.lo, "hi": span.hi}
            if name == RETRAIN and row is not None and span.hi > span.lo:
                yield {"kind": "band", "method": name, "value": span.value, "lo": span.lo, "hi": span.hi}
    for row in table.rows:
        if row.method in CONTROLS or row.method not in known:
            continue
        span = known[row.method]
        yield {"kind": "method", "method": row.method, "value": span.value, "lo": span.lo, "hi": span.hi,
               "letters": "apart" if row.apart else row.letters, "apart": bool(row.apart)}  # fmt: skip
        for seed, value in one.seeds(row):
            yield {"kind": "seed", "method": row.method, "seed": seed, "value": value}


def _text(table: Table, one: Measure) -> str:
    methods = [row for row in table.rows if row.method not in CONTROLS]
    parts = [f"{one.title[:1].upper()}{one.title[1:]}, best first: {one.said(methods)}."]
    controls = [row for row in table.rows if row.method in CONTROLS]
    if said := one.said(controls):
        parts.append(f"Lines: {said}.")
    if one.name == HEADLINE and table.row(RETRAIN) is not None:
        if RETRAIN in one.said(controls):
            parts.append("Retrain's is what another retrain model scores, the ceiling.")
        else:
            parts.append("Retrain's line is 1 by definition: with one retrain model the ceiling is unknown.")
    if any(row.letters for row in methods):
        parts.append("Methods that share a letter are not shown to differ.")
    if apart := [row.method for row in methods if row.apart]:
        parts.append(f"Hollow, set apart: {', '.join(apart)}.")
    return " ".join(parts)


def _forest(compact: bool = False) -> alt.LayerChart:
    y = _down("method:N")
    axis = alt.Axis(title=None if compact else "$x", labelFlush=False)
    x = alt.X("value:Q", scale=alt.Scale(domain=["$extent"], nice=False), axis=axis)
    small, size = (14, 60) if compact else (18, 110)
    band = of("band").mark_rect(color=INK, opacity=0.1).encode(x=alt.X("lo:Q"), x2="hi:Q")
    lines = of("anchor").mark_rule(strokeWidth=1.5).encode(x=x, color=colour(), opacity=seen())
    above = of("anchor").encode(x=x, y=alt.value(-3), text="method:N", opacity=seen())
    names = [
        above.transform_filter(f"datum.method === '{TARGET}'").mark_text(align="left", dx=-4, **ABOVE),
        above.transform_filter(f"datum.method === '{RETRAIN}'").mark_text(align="right", dx=4, **ABOVE),
    ]
    bars = of("method").mark_rule(strokeWidth=2).encode(x=alt.X("lo:Q"), x2="hi:Q", y=y, color=colour(), opacity=seen())
    seeds = (
        of("seed")
        .mark_point(size=small, filled=True, yOffset=5 if compact else 7)
        .encode(x=x, y=y, color=colour(), opacity=seen(0.55), tooltip=tip("seed:O", "value:Q"))
    )
    points = (
        of("method")
        .mark_point(size=size, strokeWidth=1.5)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), fillOpacity=filled(), shape=shape(), opacity=seen(),
                tooltip=tip("value:Q", "lo:Q", "hi:Q", "letters:N"))
    )  # fmt: skip
    letters = (
        of("method")
        .mark_text(align="left", baseline="middle", dx=6, fontSize=10)
        .encode(x=alt.value("width"), y=y, text="letters:N", opacity=seen())
    )
    return layered(band, lines, *names, bars, seeds, points, letters)


def _compact() -> alt.LayerChart:
    return _forest(compact=True)


def _tasks() -> alt.LayerChart:
    y = _down("task:N")
    axis = alt.Axis(title="headline (right is better)", labelFlush=False)
    x = alt.X("value:Q", scale=alt.Scale(domain=EXTENT, nice=False), axis=axis)
    told = tip("value:Q", "lo:Q", "hi:Q")
    pale = alt.when(PICKED).then(alt.value(0.4)).otherwise(alt.value(FADED))
    others = (
        of("other")
        .mark_point(size=35, filled=True)
        .encode(x=x, y=y, color=colour(), shape=shape(), opacity=pale, tooltip=told)
    )
    anchors = (
        of("anchor").mark_tick(thickness=2, size=18).encode(x=x, y=y, color=colour(), opacity=seen(), tooltip=told)
    )
    bars = of("method").mark_rule(strokeWidth=2).encode(x=alt.X("lo:Q"), x2="hi:Q", y=y, color=colour(), opacity=seen())
    seeds = of("seed").mark_point(size=18, filled=True, yOffset=8).encode(x=x, y=y, color=colour(), opacity=seen(0.55))
    points = (
        of("method")
        .mark_point(size=120, strokeWidth=1.5)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), fillOpacity=filled(), shape=shape(), opacity=seen(),
                tooltip=told)
    )  # fmt: skip
    return layered(others, anchors, bars, seeds, points)


def _down(field: str) -> alt.Y:
    axis = alt.Axis(title=None, grid=False, ticks=False, labelPadding=8, labelLimit=180)
    return alt.Y(field, scale=alt.Scale(domain=["$order"]), axis=axis)
