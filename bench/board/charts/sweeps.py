"""What a parameter does: headline, erased and kept of a method's variants against the value that each was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

from bench.board.charts.forests import EXTENT
from bench.board.charts.measures import SHARES, Measure
from bench.board.charts.theme import (
    FADED,
    PICKED,
    Chart,
    colour,
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
from bench.board.numbers import short
from bench.board.sweeps import Swept, swept
from bench.compare.analysis import HEADLINE, Table


def responses(table: Table, names: Iterable[str] = (), method: str = "") -> list[Chart]:
    """A chart for each method and parameter that numeric variants differ in; with `method` only of that one."""
    names = [*names, *(row.method for row in table.rows)]
    found = [one for one in swept(table) if not method or one.method.partition("@")[0] == method]
    return [_drawn(f"response-{n}", one, names) for n, one in enumerate(found, 1)]


def _drawn(name: str, one: Swept, names: Iterable[str]) -> Chart:
    base = one.method.partition("@")[0]
    rows: list[dict[str, Any]] = []
    for measure in (Measure(share, share) for share in SHARES):
        ends = [(value, row, span) for value, row in one.points if (span := measure.span(row)) is not None]
        for value, row, span in ends:
            own = {"method": base, "variant": row.method, "setting": value, "measure": measure.name}
            kind = "plain" if row.method == one.method else "point"
            rows.append({"kind": kind, **own, "value": span.value, "lo": span.lo, "hi": span.hi})
            if measure.name == HEADLINE:
                rows += [{"kind": "seed", **own, "seed": seed, "value": v} for seed, v in measure.seeds(row)]
        if ends:
            value, _, span = ends[-1]
            rows.append({"kind": "name", "method": base, "setting": value, "measure": measure.name,
                         "value": span.value})  # fmt: skip
    values = [value for value, _ in one.points]
    told = "; ".join(f"{value:g}: {short('', row.scores[HEADLINE])}" for value, row in one.points
                     if HEADLINE in row.scores)  # fmt: skip
    plain = [f" The plain method has {value:g}, the larger mark." for value, row in one.points
             if row.method == one.method]  # fmt: skip
    seeds = sorted({len(row.seeds) for _, row in one.points})
    title = f"{one.method}: {one.parameter}"
    if not rows:
        return Chart(name, title, "Its variants have no headline.", None)
    text = (
        f"Headline against {one.parameter} of {one.method}: {told}.{''.join(plain)} Bars and bands are 95% "
        f"intervals over {' to '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}; a variant is neither ranked "
        "nor tested."
    )
    return drawn(name, title, text, _log if one.log else _linear, rows, looks([*names, base]), 240,
                 x=f"{one.parameter}{' (log)' if one.log else ''}", values=values, count=len(values))  # fmt: skip


def _linear() -> alt.LayerChart:
    return _marks(alt.Scale(zero=False, nice=False, padding=16))


def _log() -> alt.LayerChart:
    return _marks(alt.Scale(type="log", nice=False, padding=16))


def _marks(scale: alt.Scale) -> alt.LayerChart:
    count: Any = "$count"  # of ticks: without it all but a few of the values are dropped
    form = "format(datum.value, '~g')"
    axis = alt.Axis(title="$x", values=["$values"], tickCount=count, labelOverlap="greedy", labelExpr=form)
    x = alt.X("setting:Q", axis=axis, scale=scale)
    y = alt.Y("value:Q", axis=alt.Axis(title="share, up is better"), scale=alt.Scale(domain=EXTENT, nice=False))
    told = tip("variant:N", "measure:N", "setting:Q", "value:Q", "lo:Q", "hi:Q")
    dashes = alt.StrokeDash(
        "measure:N", legend=None, scale=alt.Scale(domain=list(SHARES), range=[[1, 0], [6, 3], [2, 2]])
    )
    headline = "datum.measure === 'headline'"
    opacity = (
        alt.when(f"({PICKED}) && {headline}").then(alt.value(1))
        .when(PICKED).then(alt.value(0.55)).otherwise(alt.value(FADED))
    )  # fmt: skip
    bands = (
        of("point", "plain")
        .mark_area()
        .encode(x=x, y=alt.Y("lo:Q"), y2="hi:Q", color=colour(), detail="measure:N", opacity=seen(0.1))
    )
    lines = (
        of("point", "plain")
        .mark_line(strokeWidth=1.4)
        .encode(x=x, y=y, color=colour(), strokeDash=dashes, detail="measure:N", opacity=opacity)
    )
    bars = (
        of("point", "plain")
        .transform_filter(headline)
        .mark_rule(strokeWidth=1.5)
        .encode(x=x, y=alt.Y("lo:Q"), y2="hi:Q", color=colour(), opacity=seen())
    )
    seeds = of("seed").mark_point(size=14, filled=True, xOffset=5).encode(x=x, y=y, color=colour(), opacity=seen(0.55))
    marks = [
        of(kind)
        .mark_point(size=size, filled=True)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), shape=shape(), opacity=opacity, tooltip=told)
        for kind, size in (("point", 45), ("plain", 150))
    ]
    names = of("name").mark_text(align="left", dx=8, fontSize=10).encode(x=x, y=y, text="measure:N", opacity=seen())
    return layered(bands, lines, bars, seeds, *marks, names)
