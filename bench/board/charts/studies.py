"""A study: lines over the steps of a series, and what is known of each part after each request, a matrix a method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

from bench.board.charts.heat_maps import cells, shaded
from bench.board.charts.theme import Chart, colour, dash, drawn, fill, layered, looks, of, seen, shape, tip, undrawn
from bench.compare.studies.study import Curves, Grid, Study


def of_study(study: Study, names: Iterable[str] = ()) -> list[Chart]:
    """Every figure of a study's page: its lines, then a matrix a method.

    Args:
        names: methods that looks are chosen among beside the study's own.
    """
    names = [*names, *study.rows]
    lines = [_curves(study, curves, n, names) for n, curves in enumerate(study.curves, 1)]
    matrices = [(grid, method) for grid in study.grids for method in grid.values]
    return [*lines, *(_grid(grid, method, n, names) for n, (grid, method) in enumerate(matrices, 1))]


def _curves(study: Study, curves: Curves, number: int, names: Iterable[str]) -> Chart:
    rows: list[dict[str, Any]] = [
        {"kind": "point", "method": method, "step": at, "value": figure.value, "lo": figure.lo, "hi": figure.hi}
        for method, line in curves.lines.items()
        for at, figure in line
        if figure.value is not None
    ]
    said = "; ".join(
        f"{method} {', '.join(dict.fromkeys('{value:.2f} at {step:g}'.format(**at) for at in (own[0], own[-1])))}"
        for method in curves.lines
        if (own := [row for row in rows if row["method"] == method])
    )
    steps = sorted({row["step"] for row in rows})
    text = f"{curves.y[:1].upper()}{curves.y[1:]} by {study.axis}, with 95% intervals. {said}."
    make = _ratios if curves.log else _lines
    return drawn(f"study-{number}", curves.title, text, make, rows, looks(names), 280, x=study.axis, y=curves.y,
                 ticks=steps, count=len(steps))  # fmt: skip


def _grid(grid: Grid, method: str, number: int, names: Iterable[str]) -> Chart:
    values = grid.values[method]
    across = [f"{grid.across} {n}" for n in range(1, 1 + max(map(len, values), default=0))]
    down = [f"{grid.down} {n}" for n in range(1, 1 + len(values))]
    rows: list[dict[str, Any]] = [
        {"kind": "cell", "method": method, "down": down[k], "across": across[j], "value": value, "shade": value,
         "text": f"{value:.2f}"}
        for k, line in enumerate(values) for j, value in enumerate(line) if value is not None
    ]  # fmt: skip
    if not rows:
        return undrawn(f"matrix-{number}", f"{grid.title}: {method}", "No place has a number.")
    ends = {said: end(rows, key=lambda row: row["value"]) for said, end in (("most", max), ("least", min))}
    said = "; ".join(f"{how} {of['text']}, {of['across']} after {of['down']}" for how, of in ends.items())
    text = f"Beyond the retrain model of each request, which saw nothing of it or of those before: {said}."
    return drawn(f"matrix-{number}", f"{grid.title}: {method}", text, _matrix, rows, looks(names), 30 * len(down),
                 order=down, columns=across, named=True)  # fmt: skip


def _ratios() -> alt.LayerChart:
    return _lines("log")


def _lines(scale: Any = "linear") -> alt.LayerChart:
    count: Any = "$count"
    axis = alt.Axis(title="$x", values=["$ticks"], tickCount=count, labelOverlap="greedy", format="~f")
    x = alt.X("step:Q", axis=axis, scale=alt.Scale(type=scale, nice=False, zero=False, padding=14))
    y = alt.Y("value:Q", axis=alt.Axis(title="$y"), scale=alt.Scale(nice=False, zero=False))
    told = tip("step:Q", "value:Q", "lo:Q", "hi:Q")
    points = of("point")
    return layered(
        points.mark_rule(strokeWidth=1).encode(x=x, y="lo:Q", y2="hi:Q", color=colour(), opacity=seen(0.45)),
        points.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour(), strokeDash=dash(), opacity=seen()),
        points.mark_point(size=34, strokeWidth=0).encode(
            x=x, y=y, fill=fill(), shape=shape(), opacity=seen(), fillOpacity=alt.value(1), tooltip=told
        ),
    )


def _matrix() -> alt.LayerChart:
    return cells("down", shaded("shade", "known beyond retrain", low=-1), "datum.shade > 0.36", "across:N", "value:Q",
                 across="across")  # fmt: skip
