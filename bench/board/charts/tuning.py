"""A tuning: the trade-off of all that was tried, how good after how many trials, the answer to the learning rate.

All of it on validation data, and each figure says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import altair as alt

from bench.board.charts.forests import EXTENT
from bench.board.charts.theme import (
    FADED,
    PICKED,
    SOFT,
    Chart,
    colour,
    dash,
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
from bench.board.tuning import FEW, choice, honest, said
from bench.compare.selection import KEPT_AT_LEAST, OBJECTIVES
from bench.compare.tuning import COLLAPSED, Spot, Tuned, Tuning

CLOUD, EXPECTED, RESPONSE = "cloud", "expected", "rate"
ERASED, UTILITY = [-0.03, 1.04], [0.48, 1.03]
"""What is drawn of the trade-off: what keeps less than half is ruin, and counts nowhere."""


def of_tuning(tuning: Tuning, names: Iterable[str] = ()) -> list[Chart]:
    """Every figure of a tuning's page, all methods in each.

    Args:
        names: methods that looks are chosen among beside the tuning's own.
    """
    names = [*names, *(tuned.method for tuned in tuning.methods)]
    return [_cloud(tuning, tuning.methods, names), _expected(tuning, names), _response(tuning, tuning.methods, names)]


def of_tuned(tuning: Tuning, method: str, names: Iterable[str] = ()) -> list[Chart]:
    """A tuned method's own figures: its runs one by one, and its expected best among the others'."""
    names = [*names, *(tuned.method for tuned in tuning.methods)]
    own = [tuned for tuned in tuning.methods if tuned.method == method]
    return [_cloud(tuning, own, names, alone=True), _expected(tuning, names, method), _response(tuning, own, names)]


def _cloud(tuning: Tuning, methods: Sequence[Tuned], names: Iterable[str], alone: bool = False) -> Chart:
    title = "All that was tried: erased against utility"
    rows = [row for tuned in methods for row in _spots(tuned, alone)]
    if not rows:
        return undrawn(CLOUD, title, "No trial has left a point with both numbers.")
    anchors = [{"kind": "anchor", "method": name, **_at(spot)} for name, spot in tuning.anchors.items()]
    rows += [*anchors, {"kind": "bound", "utility": KEPT_AT_LEAST}]
    runs = " Thin lines are runs, larger points further on." if alone else " Larger points are further on in a run."
    chosen = "; ".join(
        f"{tuned.method} deployable {choice(tuned, 'deployable')}, oracle {choice(tuned, 'oracle')}, "
        f"{sum(spot.front for spot in tuned.cloud)} of {len(tuned.cloud)} points on the front, hypervolume "
        f"{said(tuned.hypervolume)}"
        for tuned in methods
    )
    ruined = sum(spot.utility < COLLAPSED for tuned in methods for spot in tuned.cloud)
    count = sum(len(tuned.cloud) for tuned in methods)
    text = (
        f"Up and right is better; erased is 1 where retrain is, utility a share of the target's.{runs} Lines are "
        f"Pareto fronts. Below the dotted line a point keeps less than {KEPT_AT_LEAST:.0%} and is not deployable; "
        f"{ruined} of {count} points keep less than half and are not drawn. Large and full: the deployable choice; "
        f"large and hollow: the oracle's. {chosen}. {honest(tuning)}"
    )
    return drawn(CLOUD, title, text, _clouds, rows, looks(names), 360)


def _spots(tuned: Tuned, alone: bool) -> Iterator[dict[str, Any]]:
    own = {"method": tuned.method}
    for spot in tuned.cloud:
        told = {"trial": spot.number, "share": spot.share, **_at(spot), "headline": spot.headline}
        yield {"kind": "point", **own, **told}
        if alone:
            yield {"kind": "way", **own, **told}
        if spot.front:
            yield {"kind": "front", **own, **_at(spot)}
    by_place = {(spot.number, spot.share): spot for spot in tuned.cloud}
    # The oracle's, which is hollow, goes on top where both choose the same.
    for objective in OBJECTIVES:
        made = tuned.choices[objective]
        chosen = by_place.get((made.candidate.number, made.candidate.share)) if made is not None else None
        if chosen is not None:
            yield {"kind": "chosen", **own, "objective": objective, "trial": chosen.number, "share": chosen.share,
                   **_at(chosen), "headline": chosen.headline, "apart": objective == "oracle"}  # fmt: skip


def _at(spot: Spot) -> dict[str, float]:
    return {"erased": spot.erased, "utility": spot.utility}


def _expected(tuning: Tuning, names: Iterable[str], alone: str = "") -> Chart:
    title = "Expected best of n trials"
    rows: list[dict[str, Any]] = [
        {"kind": "other" if alone and tuned.method != alone else "step", "method": tuned.method, "trials": n,
         "headline": value}
        for tuned in tuning.methods for n, value in enumerate(tuned.expected, 1)
    ]  # fmt: skip
    most = max((len(tuned.expected) for tuned in tuning.methods), default=0)
    own = [tuned for tuned in tuning.methods if tuned.expected and alone in ("", tuned.method)]
    told = "; ".join(
        f"{tuned.method} " + ", ".join(f"{said(tuned.expected[n - 1])} of {n}" for n in _some(len(tuned.expected)))
        for tuned in own
    )
    text = (
        f"The best headline to be expected of n trials drawn from all, without replacement: n = 1 is the mean, the "
        f"last the best. {told}.{' Pale: the other methods.' if alone else ''} {honest(tuning)}"
    )
    return drawn(EXPECTED, title, text, _steps, rows, looks(names), ticks=list(range(1, most + 1)), count=most)


def _some(count: int) -> list[int]:
    return [n for n in dict.fromkeys((1, FEW, count)) if n <= count]


def _response(tuning: Tuning, methods: Sequence[Tuned], names: Iterable[str]) -> Chart:
    title = "Headline against the learning rate"
    rows: list[dict[str, Any]] = [
        {"kind": "default" if setting.number == 1 else "trial", "method": tuned.method, "trial": setting.number,
         "ended": setting.state, "rate": setting.rate, "headline": setting.headline, "apart": setting.state != "ok"}
        for tuned in methods for setting in tuned.settings if setting.rate is not None
    ]  # fmt: skip
    if not rows:
        return undrawn(RESPONSE, title, "No method has a learning rate.")
    bests = {m: max((r for r in rows if r["method"] == m), key=lambda r: r["headline"]) for m in _methods(rows)}
    told = "; ".join(f"{m} {said(row['headline'])} at {row['rate']:.3g}" for m, row in bests.items())
    text = (
        f"The best headline along the run of each trial by its learning rate; other parameters differ too. Large: the "
        f"source's default, trial 1. Hollow: failed, diverged, or ended with less than half of the target's utility. "
        f"Best: {told}. {honest(tuning)}"
    )
    return drawn(RESPONSE, title, text, _rates, rows, looks(names))


def _methods(rows: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _clouds() -> alt.LayerChart:
    x = alt.X("erased:Q", scale=alt.Scale(domain=ERASED, nice=False),
              axis=alt.Axis(title="erased of the forget set, right is better", labelFlush=False))  # fmt: skip
    y = alt.Y("utility:Q", scale=alt.Scale(domain=UTILITY, nice=False),
              axis=alt.Axis(title="utility, share of the target's, up is better", labelFlush=False))  # fmt: skip
    told = tip("trial:O", "share:Q", "erased:Q", "utility:Q", "headline:Q")
    bound = of("bound").mark_rule(color=SOFT, strokeDash=[2, 3]).encode(y=y)
    ways = (
        of("way")
        .mark_line(strokeWidth=0.8, clip=True)
        .encode(x=x, y=y, color=colour(), detail="trial:O", order=alt.Order("share:Q"), opacity=seen(0.35))
    )
    fronts = (
        of("front")
        .mark_line(strokeWidth=1.6, interpolate="step-before", clip=True)
        .encode(x=x, y=y, color=colour(), strokeDash=dash(), order=alt.Order("erased:Q"), opacity=seen(0.9))
    )
    size = alt.Size("share:Q", scale=alt.Scale(domain=[0, 1], range=[12, 54]), legend=None)
    points = (
        of("point")
        .mark_point(filled=True, clip=True)
        .encode(x=x, y=y, color=colour(), shape=shape(), size=size, opacity=seen(0.55), tooltip=told)
    )
    chosen = (
        of("chosen")
        .mark_point(size=150, strokeWidth=1.8, clip=True)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), fillOpacity=filled(), shape=shape(), opacity=seen(),
                tooltip=[*told, alt.Tooltip("objective:N")])
    )  # fmt: skip
    anchors = (
        of("anchor")
        .mark_point(size=120, filled=True, clip=True)
        .encode(x=x, y=y, color=colour(), shape=shape(), opacity=seen(), tooltip=tip("erased:Q", "utility:Q"))
    )
    return layered(bound, ways, fronts, points, anchors, chosen)


def _steps() -> alt.LayerChart:
    count: Any = "$count"  # of ticks: without it all but a few of the values are dropped
    axis = alt.Axis(title="trials", values=["$ticks"], tickCount=count, format="d", labelOverlap="greedy")
    x = alt.X("trials:Q", axis=axis, scale=alt.Scale(nice=False, zero=False, padding=10))
    y = alt.Y("headline:Q", axis=alt.Axis(title="expected best headline, up is better"),
              scale=alt.Scale(domain=EXTENT, nice=False))  # fmt: skip
    pale = alt.when(PICKED).then(alt.value(0.45)).otherwise(alt.value(FADED))
    others = of("other").mark_line(strokeWidth=1).encode(x=x, y=y, color=colour(), strokeDash=dash(), opacity=pale)
    lines = of("step").mark_line(strokeWidth=2).encode(x=x, y=y, color=colour(), strokeDash=dash(), opacity=seen())
    points = (
        of("step")
        .mark_point(size=30, filled=True)
        .encode(x=x, y=y, color=colour(), shape=shape(), opacity=seen(), tooltip=tip("trials:O", "headline:Q"))
    )
    return layered(others, lines, points)


def _rates() -> alt.LayerChart:
    x = alt.X("rate:Q", axis=logarithmic("learning rate (log)", "~e"),
              scale=alt.Scale(type="log", nice=False, padding=20))  # fmt: skip
    y = alt.Y("headline:Q", axis=alt.Axis(title="best headline along the run, up is better"),
              scale=alt.Scale(domain=EXTENT, nice=False))  # fmt: skip
    told = tip("trial:O", "ended:N", "rate:Q", "headline:Q")
    marks = [
        of(kind)
        .mark_point(size=size, strokeWidth=1)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), fillOpacity=filled(), shape=shape(), opacity=seen(0.85),
                tooltip=told)
        for kind, size in (("trial", 60), ("default", 200))
    ]  # fmt: skip
    return layered(*marks)
