"""Two numbers against each other: forgetting and keeping, in the field's numbers and in the headline's; cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import altair as alt

from bench.board.charts.measures import Measure, Span, leading, measure, spans
from bench.board.charts.theme import (
    INK,
    SOFT,
    Chart,
    colour,
    drawn,
    fill,
    filled,
    layered,
    logarithmic,
    looks,
    of,
    seen,
    shape,
    stroke,
    tip,
    undrawn,
)  # fmt: skip
from bench.board.numbers import log10
from bench.compare.analysis import FORGET_QUALITY, HEADLINE, Table
from bench.compare.headline import ERASED, KEPT
from bench.compare.numbers import UTILITY
from bench.stats.pareto import front
from bench.store.record import CONTROLS

LEVELS = (0.25, 0.5, 0.75)
"""Harmonic means whose curves are drawn."""
SHARES = [-0.03, 1.04]
LOWEST = log10(0.0)
ENDS = "", "_lo", "_hi"
"""Of the columns of a number with its interval."""


def trade_off(table: Table, names: Iterable[str] = ()) -> Chart:
    """Forget quality against model utility, with the front of the methods that nothing beats in both.

    Methods set apart are drawn, hollow, but neither stand on the front nor beat what does.
    """
    name, title = "trade-off", "Forget quality against model utility"
    if FORGET_QUALITY not in table.headlines or UTILITY not in table.headlines:
        return undrawn(name, title, "The task has no forget quality or no model utility to draw.")
    x, y = (measure(table.headlines[role], role) for role in (FORGET_QUALITY, UTILITY))
    rows = list(_points(table, x, y, "forget_quality", "model_utility"))
    if not any(row["kind"] == "method" for row in rows):
        return undrawn(name, title, "No method has both numbers.")
    points = [row for row in rows if row["kind"] == "method"]
    stand = {r["method"]: (r["forget_quality"], r["model_utility"]) for r in points}
    apart = [row["method"] for row in points if row["apart"]]
    best = front({method: at for method, at in stand.items() if method not in (*CONTROLS, *apart)})
    rows += [
        {"kind": "front", "on_front": m, "forget_quality": stand[m][0], "model_utility": stand[m][1]} for m in best
    ]
    hollow = f" Hollow, set apart and not on it: {', '.join(apart)}." if apart else ""
    zero = " A p of 0 stands at -320, where numbers end." if any(at[0] == LOWEST for at in stand.values()) else ""
    text = (
        f"Up and right is better; crosses are 95% intervals, small points seeds. On the Pareto front, dotted: "
        f"{', '.join(best) or 'none'}.{hollow} {x.title[:1].upper()}{x.title[1:]}: {x.said(table.rows)}. "
        f"Model utility: {y.said(table.rows)}.{zero}"
    )
    return drawn(
        name, title, text, _trade_off, rows, looks([*names, *(row.method for row in table.rows)]),
        x=f"{x.title}, right is better", y=f"{y.title}, up is better",
    )  # fmt: skip


def erased_kept(table: Table, names: Iterable[str] = ()) -> Chart:
    """How much is erased against how much is kept, with curves of equal harmonic mean."""
    name, title = "erased-kept", "Erased against kept"
    x, y = Measure(ERASED, ERASED), Measure(KEPT, KEPT)
    rows = list(_points(table, x, y, ERASED, KEPT))
    if not any(row["kind"] == "method" for row in rows):
        return undrawn(name, title, "No method has both: the headline needs target, retrain and model utility.")
    text = (
        f"Up and right is better; crosses are 95% intervals, small points seeds, curves join equal harmonic means. "
        f"Erased: {x.said(table.rows)}. Kept: {y.said(table.rows)}."
    )
    if apart := [row.method for row in table.rows if row.apart]:
        text += f" Hollow, set apart: {', '.join(apart)}."
    return drawn(name, title, text, _erased_kept, [*_levels(), *rows], looks(
        [*names, *(row.method for row in table.rows)]), 320)  # fmt: skip


def cost(table: Table, names: Iterable[str] = ()) -> Chart:
    """Seconds of unlearning against the headline, with what nothing beats in both."""
    name, title, one = "cost", "Cost against headline", leading(table)
    known = {} if one is None else spans(table, one)
    seconds = {row.method: row.cost.get("unlearn_seconds") for row in table.rows if row.method not in CONTROLS}
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        taken, span = seconds.get(row.method), known.get(row.method)
        if taken and span:
            rows.append({"kind": "method", "method": row.method, "seconds": taken, **_ends(HEADLINE, span),
                         "apart": bool(row.apart)})  # fmt: skip
    if one is None or not rows:
        return undrawn(name, title, "No method has both its seconds and a number to set against them.")
    stand = {row["method"]: (row["seconds"], row[HEADLINE]) for row in rows}
    able = {row["method"] for row in rows if not row["apart"]}
    best = front({method: (-at[0], at[1]) for method, at in stand.items() if method in able})[::-1]
    said = "; ".join(f"{method} {at[0]:.3g} s" for method, at in stand.items())
    text = (
        f"Up and left is better. Mean seconds of unlearning on the machine that ran it, without evaluation: {said}. "
        f"No other is both as cheap and as good as {', '.join(best) or 'none'} (dotted; without those set apart)."
    )
    rows += [{"kind": "front", "on_front": m, "seconds": stand[m][0], HEADLINE: stand[m][1]} for m in best]
    return drawn(name, title, text, _cost, rows, looks([*names, *(row.method for row in table.rows)]),
                 y=f"{one.title}, up is better" if one.name == HEADLINE else one.title)  # fmt: skip


def _points(table: Table, x: Measure, y: Measure, x_name: str, y_name: str) -> Iterator[dict[str, Any]]:
    """Rows of what has both numbers: where it stands with both intervals, then its seeds."""
    across, up = spans(table, x), spans(table, y)
    for row in table.rows:
        if row.method not in across or row.method not in up:
            continue
        ends = _ends(x_name, across[row.method]) | _ends(y_name, up[row.method])
        yield {"kind": "method", "method": row.method, **ends, "apart": bool(row.apart)}
        both = dict(x.seeds(row)), dict(y.seeds(row))
        for seed in row.seeds:
            if len(row.seeds) > 1 and seed in both[0] and seed in both[1]:
                yield {"kind": "seed", "method": row.method, "seed": seed, x_name: both[0][seed], y_name: both[1][seed]}


def _ends(axis: str, span: Span) -> dict[str, float]:
    return {axis: span.value, f"{axis}_lo": span.lo, f"{axis}_hi": span.hi}


def _levels() -> Iterator[dict[str, Any]]:
    """Points at which the harmonic mean of erased and kept is a level."""
    for level in LEVELS:
        low = level / (2 - level)
        for i in range(41):
            erased = 1 / (1 + (1 / low - 1) * i / 40)
            yield {"kind": "level", "level": level, ERASED: erased, KEPT: 1 / (2 / level - 1 / erased)}


def _crosses(x: alt.X, y: alt.Y, x_name: str, y_name: str) -> list[alt.Chart]:
    """Intervals and seeds of both numbers, then the points."""
    along = _bars(y).encode(x=alt.X(f"{x_name}_lo:Q"), x2=f"{x_name}_hi:Q")
    seeds = (
        of("seed")
        .mark_point(size=16, filled=True)
        .encode(x=x, y=y, color=colour(), opacity=seen(0.5), tooltip=tip("seed:O", f"{x_name}:Q", f"{y_name}:Q"))
    )
    return [_uprights(x, y_name), along, seeds, _dots(x, y, *(f"{n}{end}:Q" for n in (x_name, y_name) for end in ENDS))]


def _uprights(x: alt.X, y_name: str) -> alt.Chart:
    return _bars(x).encode(y=alt.Y(f"{y_name}_lo:Q"), y2=f"{y_name}_hi:Q")


def _bars(at: alt.X | alt.Y) -> alt.Chart:
    return of("method").mark_rule().encode(at, color=colour(), opacity=seen(0.8))


def _dots(x: alt.X, y: alt.Y, *told: str) -> alt.Chart:
    return (
        of("method")
        .mark_point(size=120, strokeWidth=1.5)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), fillOpacity=filled(), shape=shape(), opacity=seen(),
                tooltip=tip(*told))
    )  # fmt: skip


def _stairs(x: alt.X, y: alt.Y, x_name: str, interpolate: Any) -> alt.Chart:
    return (
        of("front")
        .mark_line(color=INK, strokeDash=[2, 3], strokeWidth=1.2, interpolate=interpolate)
        .encode(x=x, y=y, order=alt.Order(f"{x_name}:Q"))
    )


def _trade_off() -> alt.LayerChart:
    names = "forget_quality", "model_utility"
    x = alt.X(f"{names[0]}:Q", axis=alt.Axis(title="$x"), scale=alt.Scale(zero=False, padding=14))
    y = alt.Y(f"{names[1]}:Q", axis=alt.Axis(title="$y"), scale=alt.Scale(zero=False, padding=14))
    return layered(_stairs(x, y, names[0], "step-before"), *_crosses(x, y, *names))


def _erased_kept() -> alt.LayerChart:
    scale = alt.Scale(domain=SHARES, nice=False)
    x = alt.X("erased:Q", axis=alt.Axis(title="erased of the forget set, right is better", labelFlush=False),
              scale=scale)  # fmt: skip
    y = alt.Y("kept:Q", axis=alt.Axis(title="kept of the rest, up is better", labelFlush=False), scale=scale)
    curves = (
        of("level")
        .mark_line(color=SOFT, strokeWidth=1, opacity=0.6)
        .encode(x=x, y=y, detail="level:N", order=alt.Order("erased:Q"))
    )
    names = (
        of("level")
        .transform_filter("datum.erased === 1")
        .mark_text(dy=8, fontSize=9, color=SOFT)
        .encode(x=x, y=y, text="level:N")
    )
    return layered(curves, names, *_crosses(x, y, ERASED, KEPT))


def _cost() -> alt.LayerChart:
    x = alt.X("seconds:Q", axis=logarithmic("seconds of unlearning (log), left is better", "~s"),
              scale=alt.Scale(type="log", nice=False, padding=20))  # fmt: skip
    y = alt.Y("headline:Q", axis=alt.Axis(title="$y"), scale=alt.Scale(zero=False, padding=14))
    told = "seconds:Q", *(f"headline{end}:Q" for end in ENDS)
    return layered(_stairs(x, y, "seconds", "step-after"), _uprights(x, HEADLINE), _dots(x, y, *told))
