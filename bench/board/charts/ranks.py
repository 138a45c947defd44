"""Methods over several tasks: average ranks and the critical difference (Demsar 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from bench.board.about import kind
from bench.board.charts import heat_maps
from bench.board.charts.theme import INK, Chart, colour, drawn, layered, looks, of, seen, shape, tip, undrawn
from bench.compare.analysis import Table
from bench.stats.critical_difference import Ranking

STEP = 0.22
"""Between two bars of methods that do not differ, in ranks."""


def across(tables: Sequence[Table], rankings: Mapping[tuple[str, str], Ranking]) -> list[Chart]:
    """The headline by task and method, and the average ranks for each data and model."""
    found = [heat_maps.tasks(tables)]
    for n, ((data, model), ranking) in enumerate(rankings.items(), 1):
        kinds = dict.fromkeys(kind(table) for table in tables if (table.data, table.model) == (data, model))
        found.append(ranks(f"ranks-{n}", f"Average ranks: {' and '.join(kinds)}, model {model}", ranking))
    return found


def ranks(name: str, title: str, ranking: Ranking) -> Chart:
    """Average ranks, best first, with the critical difference, and bars that join methods which do not differ."""
    if ranking.difference is None:
        return undrawn(name, title, f"No critical difference: {ranking.note}.")
    count, difference = len(ranking.methods), ranking.difference
    rows: list[dict[str, Any]] = [
        {"kind": "method", "method": m, "rank": r} for m, r in zip(ranking.methods, ranking.ranks, strict=True)
    ]
    edge = max(ranking.ranks) + 2 * STEP
    for n, group in enumerate(ranking.groups):
        rows.append({"kind": "group", "first": group[0], "last": group[-1], "rank": edge + n * STEP})
    rows.append({"kind": "difference", "rank": 1.0, "end": 1.0 + difference, "text": f"critical difference "
                 f"{difference:.2f}"})  # fmt: skip
    said = "; ".join(f"{m} {r:.2f}" for m, r in zip(ranking.methods, ranking.ranks, strict=True))
    text = (
        f"Average ranks over {len(ranking.tasks)} tasks, 1 is best: {said}. Friedman p = {ranking.p:.3g}; methods "
        f"joined by one bar lie within the critical difference {difference:.2f} (Nemenyi)."
    )
    right = max(edge + len(ranking.groups) * STEP, 1.0 + difference + STEP)
    return drawn(name, title, text, _marks, rows, looks(ranking.methods), 24 * count + 30,
                 order=list(ranking.methods), extent=[0.8, right], named=True)  # fmt: skip


def _marks() -> alt.LayerChart:
    y = alt.Y("method:N", scale=alt.Scale(domain=["$order"], paddingOuter=0.6),
              axis=alt.Axis(title=None, grid=True, ticks=False, domain=False, labelPadding=8))  # fmt: skip
    x = alt.X("rank:Q", scale=alt.Scale(domain=["$extent"], nice=False, zero=False),
              axis=alt.Axis(title="average rank, left is better", tickMinStep=1))  # fmt: skip
    bar = of("difference").mark_rule(color=INK, strokeWidth=3).encode(x=x, x2="end:Q", y=alt.value(-4))
    said = of("difference").mark_text(align="left", baseline="bottom", dy=-4).encode(
        x=x, y=alt.value(-4), text="text:N"
    )  # fmt: skip
    groups = of("group").mark_rule(color=INK, strokeWidth=4).encode(x=x, y=alt.Y("first:N"), y2="last:N")
    points = (
        of("method")
        .mark_point(size=110, filled=True)
        .encode(x=x, y=y, color=colour(), shape=shape(), opacity=seen(), tooltip=tip("rank:Q"))
    )
    return layered(bar, said, groups, points)
