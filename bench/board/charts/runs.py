"""What runs did on their way: the trade-off that each went along, and its training curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import numpy as np

from bench.board.charts.theme import (
    INK,
    Chart,
    colour,
    dash,
    drawn,
    fill,
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
from bench.compare.analysis import Table
from bench.compare.trade_off import LEVEL, trace
from bench.store.record import CONTROLS, RETRAIN, Cell, Record

FORGET, RETAIN = "trace forget probability", "trace retain probability"
STEPS = dict.fromkeys((FORGET, RETAIN), "trace step")
"""Where the steps of a column stand, if not under "step"."""
KEPT_LEVEL = "retain_probability"
"""The score that says how likely the retain answers are."""
MOST = 24
"""Points of a training curve; longer ones are means of that many blocks of steps."""


def _linear() -> alt.LayerChart:
    return _training_marks()


def _symlog() -> alt.LayerChart:
    return _training_marks("symlog")


def _log() -> alt.LayerChart:
    return _training_marks("log")


class Panel(NamedTuple):
    """A column of a training curve and how it is drawn."""

    column: str
    title: str
    axis: str
    marks: Callable[[], alt.LayerChart] = _linear
    level: str = ""  # the score of which target and retrain are drawn as lines


PANELS = (
    Panel("forget", "Forget loss", "the method's own forget loss", _symlog),
    Panel("retain", "Retain loss", "the method's own retain loss", _symlog),
    Panel("loss", "Training loss", "loss, nats a token", _symlog),
    Panel("gradient_norm", "Gradient norm", "norm before clipping (log)", _log),
    Panel(FORGET, "Forget probability", "mean probability of forget answers", level=LEVEL),
    Panel(RETAIN, "Retain probability", "mean probability of retain answers", level=KEPT_LEVEL),
)
"""In the order of the row."""


Array = np.ndarray


def paths(table: Table, records: Mapping[Cell, Record], names: Iterable[str] = ()) -> Chart:
    """Forget against retain probability along every run of every method."""
    runs, controls = _of_table(table, records)
    return _paths(runs, controls, [*names, *(row.method for row in table.rows)])


def training(table: Table, records: Mapping[Cell, Record], names: Iterable[str] = ()) -> list[Chart]:
    """A chart for each panel that some run has: all methods overlaid, every seed a thin line."""
    runs, controls = _of_table(table, records)
    return _training(runs, controls, [*names, *(row.method for row in table.rows)])


def of_cell(record: Record, others: Iterable[Record], names: Iterable[str] = ()) -> list[Chart]:
    """The training curves of one run and its path, before the levels of the controls of its seed.

    Args:
        others: records of the same task, model and data; only target and retrain of the same seed are drawn.
        names: the methods that looks are chosen among, so that one looks as on the page of its task.
    """
    at_seed = [r for r in others if r.cell != record.cell and r.cell.seed == record.cell.seed]
    controls = [r for r in at_seed if r.cell.method in CONTROLS]
    names = [*names, record.cell.method]
    return [*_training([record], controls, names), _paths([record], controls, names)]


def _of_table(table: Table, records: Mapping[Cell, Record]) -> tuple[list[Record], list[Record]]:
    """The runs of a table's methods, and those of its controls."""
    found = [
        records[cell]
        for row in table.rows
        for seed in row.seeds
        if (cell := Cell(table.task, row.method, table.model, table.data, seed)) in records
    ]
    return [r for r in found if r.cell.method not in CONTROLS], [r for r in found if r.cell.method in CONTROLS]


# -- paths -----------------------------------------------------------------------------------------------------------


def _paths(runs: Sequence[Record], controls: Sequence[Record], names: Iterable[str]) -> Chart:
    name, title = "paths", "On the way: what is kept where as much is forgotten"
    rows: list[dict[str, Any]] = []
    ends: dict[str, list[tuple[float, float]]] = {}
    for record in runs:
        forget, retain = trace(record)
        if len(forget) < 2:
            continue
        steps = record.curve.get("trace step", range(len(forget)))
        own = _run(record)
        points = [{"step": s, "forget_probability": f, "retain_probability": r}
                  for s, f, r in zip(steps, forget, retain, strict=False)]  # fmt: skip
        rows += [{"kind": "way", **own, **point} for point in points]
        rows.append({"kind": "end", **own, **points[-1]})
        ends.setdefault(record.cell.method, []).append((forget[-1], retain[-1]))
    if not ends:
        return undrawn(name, title, "No run has left a trace of its way.")
    said = "; ".join(f"{method} at {_mean(f for f, _ in of):.2f} and {_mean(r for _, r in of):.2f}"
                     for method, of in ends.items())  # fmt: skip
    text = (
        "Each line is a run, from its start to the mark at its end; up and right is better, the forget axis falls to "
        f"the right. Mean probability of forget and of retain answers at the end: {said}."
    )
    for kind, score, column in (("across", LEVEL, "forget_probability"), ("up", KEPT_LEVEL, "retain_probability")):
        if (level := _level(controls, RETRAIN, score)) is not None:
            rows.append({"kind": kind, "method": RETRAIN, column: level})
            text += f" Retrain's {column.replace('_', ' ')}, a line: {level:.2f}."
    return drawn(name, title, text, _path_marks, rows, looks(names), 320)


def _path_marks() -> alt.LayerChart:
    scale = alt.Scale(domain=[-0.03, 1.03], nice=False)
    x = alt.X("forget_probability:Q", scale=alt.Scale(domain=[-0.03, 1.03], nice=False, reverse=True),
              axis=alt.Axis(title="probability of forget answers, right is better", labelFlush=False))  # fmt: skip
    y = alt.Y("retain_probability:Q", scale=scale,
              axis=alt.Axis(title="probability of retain answers, up is better", labelFlush=False))  # fmt: skip
    told = tip("seed:O", "step:Q", "forget_probability:Q", "retain_probability:Q")
    levels = [
        of("across").mark_rule(color=INK, strokeWidth=1.2).encode(x=x, opacity=seen(0.7)),
        of("up").mark_rule(color=INK, strokeWidth=1.2).encode(y=y, opacity=seen(0.7)),
    ]
    ways = (
        of("way")
        .mark_line(strokeWidth=1.3)
        .encode(x=x, y=y, color=colour(), strokeDash=dash(), detail="seed:N", order=alt.Order("step:Q"),
                opacity=seen(0.75), tooltip=told)
    )  # fmt: skip
    ends = (
        of("end")
        .mark_point(size=70, strokeWidth=1)
        .encode(x=x, y=y, stroke=stroke(), fill=fill(), shape=shape(), opacity=seen(0.9), tooltip=told)
    )
    return layered(*levels, ways, ends)


# -- training curves -------------------------------------------------------------------------------------------------


def _training(runs: Sequence[Record], controls: Sequence[Record], names: Sequence[str]) -> list[Chart]:
    found = []
    for panel in PANELS:
        lines = [(run, thinned(run, panel.column)) for run in runs]
        rows = [
            {"kind": "line", **_run(run), "share": share, "value": value}
            for run, points in lines if len(points) > 1 for share, value in points
            if panel.marks is not _log or value > 0
        ]  # fmt: skip
        if not rows:
            continue
        levels = {name: level for name in CONTROLS
                  if panel.level and (level := _level(controls, name, panel.level)) is not None}  # fmt: skip
        rows += [{"kind": "level", "method": name, "value": level} for name, level in levels.items()]
        found.append(
            drawn(f"training-{panel.column.replace(' ', '-').replace('_', '-')}", panel.title,
                  _said(panel, [(r, p) for r, p in lines if len(p) > 1], levels), panel.marks, rows,
                  looks(names), 200, y=panel.axis)
        )  # fmt: skip
    return found


def _said(
    panel: Panel, lines: Sequence[tuple[Record, Sequence[tuple[float, float]]]], levels: Mapping[str, float]
) -> str:
    ends: dict[str, list[tuple[float, float]]] = {}
    for run, points in lines:
        ends.setdefault(run.cell.method, []).append((points[0][1], points[-1][1]))
    said = "; ".join(f"{method} from {_mean(a for a, _ in of):.3g} to {_mean(b for _, b in of):.3g}"
                     for method, of in ends.items())  # fmt: skip
    blocks = "" if panel.level else f", means of {MOST} blocks of steps"
    lined = "".join(f" {name.capitalize()}, a line: {level:.3g}." for name, level in levels.items())
    return f"{panel.title} over the run, a line a seed{blocks}; first and last, mean over seeds: {said}.{lined}"


def thinned(record: Record, column: str) -> list[tuple[float, float]]:
    """Share of the run done and a column's value, at most `MOST` points, each the mean of a block; of traces all."""
    steps, values = (_numbers(record.curve.get(name, [])) for name in (STEPS.get(column, "step"), column))
    last = float(np.nanmax(steps, initial=0.0))
    if len(steps) != len(values) or last <= 0:
        return []
    known = np.isfinite(steps) & np.isfinite(values)
    steps, values = steps[known], values[known]
    if column in STEPS or len(values) <= MOST:
        return list(zip((steps / last).tolist(), values.tolist(), strict=True))
    starts = np.arange(MOST) * len(values) // MOST
    sizes = np.diff(np.append(starts, len(values)))
    shares, means = (np.add.reduceat(of, starts) / sizes for of in (steps / last, values))
    return list(zip(shares.tolist(), means.tolist(), strict=True))


def _numbers(values: Sequence[Any]) -> Array:
    """As numbers; NaN for all of it where something is none."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return np.full(len(values), np.nan)


def _training_marks(scale: Literal["linear", "symlog", "log"] = "linear") -> alt.LayerChart:
    x = alt.X("share:Q", axis=alt.Axis(title="share of the run done", format="%"), scale=alt.Scale(domain=[0, 1]))
    axis = logarithmic("$y") if scale == "log" else alt.Axis(title="$y")
    zoomed = alt.Scale(type=scale) if scale == "log" else alt.Scale(type=scale, zero=False)  # a log scale has no zero
    y = alt.Y("value:Q", axis=axis, scale=zoomed)
    told = tip("seed:O", "share:Q", "value:Q")
    levels = of("level").mark_rule(strokeWidth=1.5).encode(y=y, color=colour(), opacity=seen(0.7))
    lines = (
        of("line")
        .mark_line(strokeWidth=1.1)
        .encode(x=x, y=y, color=colour(), strokeDash=dash(), detail="seed:N", opacity=seen(0.75), tooltip=told)
    )
    return layered(levels, lines)


def _run(record: Record) -> dict[str, Any]:
    return {"method": record.cell.method, "seed": record.cell.seed}


def _level(records: Iterable[Record], method: str, score: str) -> float | None:
    """The mean over the records of a method of one of their scores."""
    of = [r.scores[score].value for r in records if r.cell.method == method and score in r.scores]
    known = [value for value in of if value is not None]
    return _mean(known) if known else None


def _mean(values: Iterable[float] | Iterator[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known)
