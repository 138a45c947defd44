"""What is kept against the distance from what was forgotten: as a share of the facts, and less what the target has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from bench.api import IN_DOMAIN, NEIGHBOURS
from bench.board.charts.measures import measure
from bench.board.charts.theme import (
    SOFT,
    Chart,
    colour,
    dash,
    drawn,
    fill,
    layered,
    looks,
    of,
    seen,
    shape,
    stroke,
    tip,
)
from bench.compare.analysis import Row, Table
from bench.compare.crossed import Crossed
from bench.compare.neighbours import SUMMARIES, Change, changes
from bench.store.record import TARGET

DISTANCES = {name: name.removeprefix("neighbours_").replace("_", " ") for name in NEIGHBOURS}
BORDER = len(IN_DOMAIN) - 0.5
SPREAD = 0.5
"""How wide the methods stand beside one another, in distances: their bars would hide each other."""


def neighbours(table: Table, crossed: Crossed, names: Iterable[str] = ()) -> list[Chart]:
    """Both figures of a table whose cells were asked for their neighbours; none of another.

    Args:
        crossed: the item values of its runs.
        names: methods that looks are chosen among beside the table's own.
    """
    rows = [row for row in table.rows if any(measure(name).span(row) is not None for name in DISTANCES)]
    if not rows:
        return []
    looked = looks([*names, *(row.method for row in table.rows)])
    charts = [_kept(rows, looked)]
    found = changes(crossed, {row.method: row.seeds for row in rows})
    return charts + ([_changed(rows, found, looked)] if found else [])


def _kept(rows: Sequence[Row], looked: Mapping[str, Any]) -> Chart:
    points = [
        {"method": row.method, "distance": said, "value": span.value, "lo": span.lo, "hi": span.hi}
        for row in rows for name, said in DISTANCES.items() if (span := measure(name).span(row)) is not None
    ]  # fmt: skip
    text = (
        "Share of the facts at each distance from what was forgotten whose true answer is ranked first, right is "
        f"farther, up is better; bars are 95% intervals. {_seeds(rows)} {_said(rows)}"
    )
    return _drawn("neighbours", "Kept against distance", text, points, rows, looked, "share kept, up is better")


def _changed(rows: Sequence[Row], found: Sequence[Change], looked: Mapping[str, Any]) -> Chart:
    points = [
        {"method": c.method, "distance": DISTANCES[c.name], "value": c.difference, "lo": c.lo, "hi": c.hi, "p": c.p}
        for c in found if c.name in DISTANCES
    ]  # fmt: skip
    by_method: dict[str, list[str]] = {}
    for c in found:
        if c.name in SUMMARIES:
            said = f"{c.name.replace('_', ' ')} {c.difference:+.2f} [{c.lo:+.2f}, {c.hi:+.2f}]"
            by_method.setdefault(c.method, []).append(said)
    text = (
        "The same less the target's on the same items, 0 is all that the target has; bars are 95% intervals of the "
        "paired differences, not corrected for how many there are. "
        f"{'; '.join(f'{method}: ' + ', '.join(of) for method, of in by_method.items())}."
    )
    title = "Kept against distance, less the target's"
    return _drawn("neighbours-change", title, text, points, [row for row in rows if row.method != TARGET], looked,
                  "change against target, up is better")  # fmt: skip


def _drawn(name: str, title: str, text: str, points: Sequence[dict[str, Any]], rows: Sequence[Row],
           looked: Mapping[str, Any], y: str) -> Chart:  # fmt: skip
    methods, places = [row.method for row in rows], list(DISTANCES.values())
    apart = {method: SPREAD * ((n + 0.5) / len(methods) - 0.5) for n, method in enumerate(methods)}
    placed = [{"kind": "point", **p, "place": places.index(p["distance"]) + apart[p["method"]]} for p in points]
    ticks = sorted({places.index(p["distance"]) for p in points})
    both = ticks[0] < BORDER < ticks[-1]
    lines = [*placed, *([{"kind": "border", "place": BORDER}] if both else [])]
    return drawn(name, title, text, _by_distance, lines, looked, 260, y=y, ticks=ticks)


def _seeds(rows: Sequence[Row]) -> str:
    seeds = sorted({len(row.seeds) for row in rows})
    return f"Means over {' to '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}."


def _said(rows: Sequence[Row]) -> str:
    said = (f"{one.title}: {one.said(rows)}." for one in map(measure, SUMMARIES))
    return " ".join(f"{line[0].upper()}{line[1:]}" for line in said)


def _by_distance() -> alt.LayerChart:
    labels = ", ".join(f"'{said}'" for said in DISTANCES.values())
    axis = alt.Axis(title="distance from what was forgotten; beyond the dotted line another domain", values=["$ticks"],
                    labelExpr=f"[{labels}][datum.value]", labelOverlap=False, grid=False)  # fmt: skip
    x = alt.X("place:Q", axis=axis, scale=alt.Scale(zero=False, nice=False, padding=40))
    y = alt.Y("value:Q", axis=alt.Axis(title="$y"), scale=alt.Scale(zero=False, padding=8))
    told = tip("distance:N", "value:Q", "lo:Q", "hi:Q")
    border = of("border").mark_rule(strokeDash=[2, 3], color=SOFT).encode(x=x)
    lines = (
        of("point").mark_line(strokeWidth=1.6).encode(x=x, y=y, color=colour(), strokeDash=dash(), opacity=seen(0.8))
    )
    bars = of("point").mark_rule().encode(x=x, y=alt.Y("lo:Q"), y2="hi:Q", color=colour(), opacity=seen(0.7))
    points = (
        of("point")
        .mark_point(size=50)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), shape=shape(), opacity=seen(), tooltip=told)
    )
    return layered(border, lines, bars, points)
