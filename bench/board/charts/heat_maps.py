"""Heat maps: metrics by method, what is remembered by method and by author, the headline of every task by method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import altair as alt

from bench.api import Score
from bench.board.charts.forests import titles
from bench.board.charts.measures import SHARES, Measure, measure, spans
from bench.board.charts.theme import FADED, INK, PICKED, Chart, drawn, layered, looks, of, seen, tip, undrawn
from bench.board.numbers import short
from bench.board.remembered import QUANTILE, Shares
from bench.compare.analysis import HEADLINE, Row, Table
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP
from bench.store.record import CONTROLS, RETRAIN, TARGET

LIGHT, MIDDLE, DARK = "#f7d046", "#a3a39d", "#0b2d5e"
"""From light to dark also in grey, so that both directions from the middle can be told without colours."""
ITSELF = "itself"
"""What stands for a p-value of retrain against retrain."""
NARROWEST = 26
"""Pixels of a column below which numbers are left to the tooltip."""
KNOWN = "isValid(datum.shade)"
ALIKE = 0.1
"""Of the larger: nearer than this target and retrain say nothing of how far a method has come."""


def heat(table: Table, names: Iterable[str] = ()) -> Chart:
    """Every metric that has values, a row, by method in the order of the table, a column."""
    name, title = "heat", "Every metric"
    rows: list[dict[str, Any]] = []
    metrics: list[str] = []
    for one in map(measure, _metrics(table)):
        levels = _levels(table, one)
        of_metric = [
            {"kind": "cell", "metric": one.title, "method": row.method, "value": span.value,
             "shade": shade(span.value, *levels), "text": _text(row, one)}
            for row in table.rows if (span := one.span(row)) is not None
        ]  # fmt: skip
        if of_metric and one.title not in metrics:
            rows += of_metric
            metrics.append(one.title)
    if not rows:
        return undrawn(name, title, "No score has a value yet.")
    extremes = [f"{metric} {_extremes([r for r in rows if r['metric'] == metric])}" for metric in metrics[:3]]
    text = (
        f"{len(metrics)} metrics by {len(table.rows)} methods. A cell is dark where it is as the untouched target's, "
        f"grey where it is as retrain's, light where it is beyond retrain's or below what should be kept; of metrics "
        f"in which both are alike, by the distance to retrain's as a share of it. {'; '.join(extremes)}."
    )
    return drawn(name, title, text, _heat, rows, looks([*names, *(r.method for r in table.rows)]), 18 * len(metrics),
                 order=metrics, columns=[row.method for row in table.rows], named=True)  # fmt: skip


def tasks(tables: Sequence[Table]) -> Chart:
    """The headline of every task, a row, by method, a column; the best on average to the left."""
    name, title, one = "tasks", "Headline by task and method", measure(HEADLINE)
    known = [t for t in tables if any(one.span(r) is not None for r in t.rows if r.method not in CONTROLS)]
    rows: list[dict[str, Any]] = [
        {"kind": "cell", "task": place, "method": row.method, "headline": span.value, "shade": span.value,
         "lo": span.lo, "hi": span.hi, "apart": bool(row.apart),
         "text": f"({span.value:.2f})" if row.apart else f"{span.value:.2f}"}
        for place, table in zip(titles(known), known, strict=True) for row in table.rows
        if row.method not in CONTROLS and (span := one.span(row)) is not None
    ]  # fmt: skip
    if not rows:
        return undrawn(name, title, "No task has a headline.")
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["method"], []).append(row["headline"])
    best = sorted(values, key=lambda method: (-fmean(values[method]), method))
    said = "; ".join(f"{method} {fmean(values[method]):.2f} over {len(values[method])}" for method in best)
    text = f"Dark is better; in brackets what is set apart. Mean headline over the tasks of each: {said}."
    places = list(dict.fromkeys(row["task"] for row in rows))
    return drawn(name, title, text, _tasks, rows, looks(best), max(60, 24 * len(places)), order=places, columns=best,
                 named=True)  # fmt: skip


def shade(value: float, target: float | None, retrain: float | None) -> float | None:
    """Where a value stands: 1 as the target, 0 as retrain, -1 as far from retrain on the other side or further.

    Where target and retrain are nearer than `ALIKE` of the larger (at least of 1), the metric is of what should
    be kept: the relative distance to retrain's value, 0.1 for a tenth above it, and -1 where nothing is left.
    """
    if retrain is None:
        return None
    gap = None if target is None else target - retrain
    if gap is None or abs(gap) < ALIKE * max(1.0, abs(target or 0.0), abs(retrain)):
        gap = abs(retrain) or 1.0
    return max(-1.0, min(1.0, (value - retrain) / gap))


def _metrics(table: Table) -> list[str]:
    """Every number of a table: the verdict's, the headlines, the details."""
    details = [name for of_title in table.details.values() for name in of_title]
    return list(dict.fromkeys([*SHARES, KS_DISTANCE, MEMBERSHIP_GAP, *table.headlines.values(), *details]))


def _levels(table: Table, one: Measure) -> tuple[float | None, float | None]:
    """What target and retrain have; of what measures the way to retrain itself, retrain has 0."""
    known = spans(table, one)
    target, retrain = (known[name].value if name in known else None for name in (TARGET, RETRAIN))
    if one.name in (KS_DISTANCE, MEMBERSHIP_GAP) and retrain is None:
        retrain = 0.0
    return target, retrain


def _extremes(rows: Sequence[dict[str, Any]]) -> str:
    others = [row for row in rows if row["text"] != ITSELF] or rows
    low, high = (pick(others, key=lambda r: r["value"]) for pick in (min, max))
    return f"from {low['text']} ({low['method']}) to {high['text']} ({high['method']})"


def _text(row: Row, one: Measure) -> str:
    """A value as the board has it, without its interval."""
    return ITSELF if one.powers and row.method == RETRAIN else short(one.name, Score(row.scores[one.name].value))


def shaded(field: str, title: str, low: float = 0.0) -> alt.Color:
    """From light at `low` to dark at 1, with what that means below the cells."""
    ticks = [low, (low + 1) / 2, 1]
    colours = alt.Scale(domain=ticks, range=[LIGHT, MIDDLE, DARK], interpolate="rgb")
    key = alt.Legend(orient="bottom", title=title, titleLimit=0, gradientLength=120, gradientOpacity=1, values=ticks)
    return alt.Color(f"{field}:Q", scale=colours, legend=key)


def _heat() -> alt.LayerChart:
    shade = shaded("shade", "as retrain 0, as target 1, beyond or lost -1", low=-1)
    return cells("metric", shade, "datum.shade > 0.36", "value:Q", "shade:Q")


def _tasks() -> alt.LayerChart:
    told = "headline:Q", "lo:Q", "hi:Q", "apart:N"
    return cells("task", shaded("headline", "headline"), "datum.headline > 0.68", *told)


def remembered(table: Table, shares: Mapping[str, Shares], names: Iterable[str] = ()) -> Chart:
    """The share of forget items that each memorisation metric calls remembered, by method in the order of the table."""
    name, title = "remembered", "Items still remembered"
    rows = [_share(line) for row in table.rows if row.method in shares for line in shares[row.method].rows
            if not line["author"] and line["share"] is not None]  # fmt: skip
    silent = {metric: why for of in shares.values() for metric, why in of.silent.items()}
    said = "".join(f" {metric.replace('_', ' ')} says nothing: {why}." for metric, why in silent.items())
    if not rows:
        return undrawn(name, title, f"No metric tells which items are remembered.{said}")
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    first = "; ".join(f"{row['method']} {row['text']}" for row in rows if row["metric"] == metrics[0])
    text = (
        f"Share of forget items whose value exceeds what {QUANTILE:.0%} of the retrain model's stay below, by metric "
        f"and method; {1 - QUANTILE:.0%} or less would be so by chance. {metrics[0]}: {first}.{said}"
    )
    columns = list(dict.fromkeys(row["method"] for row in rows))
    return drawn(name, title, text, _remembered, rows, looks([*names, *columns]), 24 * len(metrics), order=metrics,
                 columns=columns, named=True)  # fmt: skip


def remembered_by_author(method: str, shares: Shares) -> Chart:
    """The same of one method, by author: those with the most remembered items first."""
    name, title = "remembered-authors", "Items still remembered, by author"
    rows = [_share(line) for line in shares.rows if line["author"] and line["share"] is not None]
    if not rows:
        return undrawn(name, title, "No metric tells which items are remembered, so none of an author's is counted.")
    by_author: dict[str, list[float]] = {}
    for row in rows:
        by_author.setdefault(row["author"], []).append(row["share"])
    most = sorted(by_author, key=lambda author: (-fmean(by_author[author]), author))
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    over = f", means over {rows[0]['seeds']} seeds" if rows[0]["seeds"] > 1 else ""
    text = (
        f"Share of each author's forget items that each metric calls remembered by {method}{over}: values that exceed "
        f"what {QUANTILE:.0%} of the retrain model's stay below. Most: "
        f"{', '.join(f'{author} {fmean(by_author[author]):.0%}' for author in most[:3])}; "
        f"least: {most[-1]} {fmean(by_author[most[-1]]):.0%} on average over {len(metrics)} metrics."
    )
    return drawn(name, title, text, _by_author, rows, looks([method]), 16 * len(most) + 8, order=most, columns=metrics,
                 named=True)  # fmt: skip


def _share(line: Mapping[str, Any]) -> dict[str, Any]:
    spaced = {**line, "metric": line["metric"].replace("_", " ")}
    return {"kind": "cell", **spaced, "shade": line["share"], "text": f"{line['share']:.0%}"}


def _remembered() -> alt.LayerChart:
    return cells("metric", shaded("share", "share remembered"), "datum.share > 0.68", "share:Q", "seeds:Q")


def _by_author() -> alt.LayerChart:
    told = "metric:N", "share:Q", "items:Q"
    return cells("author", shaded("share", "share remembered"), "datum.share > 0.68", *told, across="metric")


def cells(field: str, shade: alt.Color, dark: str, *told: str, across: str = "method") -> alt.LayerChart:
    """A coloured cell with its number, which is white where the test `dark` holds."""
    slanted = alt.Axis(title=None, orient="top", labelAngle=-50, labelAlign="left", labelBaseline="middle",
                       ticks=False, domain=False, labelPadding=4, labelOverlap=False)  # fmt: skip
    x = alt.X(f"{across}:N", scale=alt.Scale(domain=["$columns"]), axis=slanted)
    y = alt.Y(f"{field}:N", scale=alt.Scale(domain=["$order"]),
              axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=170, labelOverlap=False))  # fmt: skip
    areas = (
        of("cell")
        .transform_filter(KNOWN)
        .mark_rect()
        .encode(x=x, y=y, color=shade, opacity=seen(), tooltip=tip(f"{field}:N", *told))
    )
    wide = (
        alt.when(f"({PICKED}) && bandwidth('x') >= {NARROWEST}").then(alt.value(1))
        .when(f"bandwidth('x') >= {NARROWEST}").then(alt.value(FADED * 2)).otherwise(alt.value(0))
    )  # fmt: skip
    numbers = (
        of("cell").mark_text(fontSize=9)
        .encode(x=x, y=y, text="text:N", opacity=wide,
                color=alt.when(f"!({KNOWN})").then(alt.value(INK)).when(dark).then(alt.value("#ffffff")).otherwise(alt.value("#000000")))
    )  # fmt: skip
    return layered(areas, numbers).properties(padding={"left": 5, "top": 5, "right": 30, "bottom": 5})
