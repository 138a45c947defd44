"""How items are spread: what forget quality compares, the loss of forget answers, the membership attack's ROC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from bench.board.charts.theme import (
    SOFT,
    Chart,
    colour,
    dash,
    drawn,
    layered,
    logarithmic,
    looks,
    of,
    seen,
    tip,
    undrawn,
)
from bench.compare.analysis import FORGET_QUALITY, Table
from bench.compare.crossed import Crossed, Run
from bench.compare.numbers import MEMBERSHIP
from bench.metrics._forms import RetrainTest
from bench.score.scoring import find
from bench.stats import roc
from bench.store.record import CONTROLS, RETRAIN

MOST = 100
"""Points of a curve."""
LOSS = ("forget", "loss")
"""Where the loss of forget answers is kept: nats a token."""
Array = np.ndarray


def distributions(table: Table, crossed: Crossed, names: Iterable[str] = ()) -> list[Chart]:
    """Empirical distribution functions: of what forget quality compares, and of the loss of forget answers."""
    metric = find(table.headlines.get(FORGET_QUALITY, ""))
    one = isinstance(metric, RetrainTest) and metric.needs == (LOSS,)  # both would be the same
    return [losses(table, crossed, names)] if one else [compared(table, crossed, names), losses(table, crossed, names)]


def compared(table: Table, crossed: Crossed, names: Iterable[str] = ()) -> Chart:
    """Of what forget quality compares, of every method with target and retrain."""
    name, title = "compared", "What forget quality compares"
    metric = find(table.headlines.get(FORGET_QUALITY, ""))
    if not isinstance(metric, RetrainTest):
        return undrawn(name, title, "Forget quality of this task compares no distributions.")
    (need,) = metric.needs
    values = _pooled(table, crossed, need)
    if RETRAIN not in values:
        return undrawn(name, title, "The retrain model's items are not there.")
    return _ecdf(name, title, f"{need[1].replace('_', ' ')} of the {need[0]} items", values, table, names)


def losses(table: Table, crossed: Crossed, names: Iterable[str] = ()) -> Chart:
    """Of the loss of forget answers."""
    name, title = "losses", "Loss of forget answers"
    values = _pooled(table, crossed, LOSS)
    if not values:
        return undrawn(name, title, "No loss of forget answers was measured.")
    return _ecdf(name, title, "loss of forget answers, nats a token (log)", values, table, names, log=True)


def membership(table: Table, crossed: Crossed, names: Iterable[str] = ()) -> Chart:
    """ROC curves of the membership attack, mean over seeds, on logarithmic axes (Carlini et al. 2022)."""
    name, title = "roc", "Membership inference"
    metric = find(table.headlines.get(MEMBERSHIP, ""))
    if metric is None or len(metric.needs) != 2:
        return undrawn(name, title, "The task names no membership attack.")
    rows: list[dict[str, Any]] = []
    said, smallest = [], 1.0
    for row in table.rows:
        sides = [[_scored(crossed, Run(row.method, seed), need) for need in metric.needs] for seed in row.seeds]
        if not sides or not all(len(member) and len(other) for member, other in sides):
            continue
        fpr, tpr = mean_roc(sides)
        smallest = min(smallest, float(fpr[0]))
        area = float(np.mean([roc.auc(member, other) for member, other in sides]))
        said.append(f"{row.method} {area:.2f}")
        rows += [_line(row.method, {"fpr": float(x), "tpr": float(y)}) for x, y in zip(fpr, tpr, strict=True) if y > 0]
    if not rows:
        return undrawn(name, title, "The data has no items that no model has seen, so there is nothing to tell apart.")
    rows += [{"kind": "chance", "fpr": x, "tpr": x} for x in (smallest, 1.0)]
    text = (
        f"Rates on logarithmic axes, mean over seeds; grey is chance; the nearer to retrain's curve the better. "
        f"Area under the curve, 0.5 tells nothing: {'; '.join(said)}."
    )
    return drawn(name, title, text, _roc_marks, rows, _looks(table, names), 320, extent=[smallest, 1])


def mean_roc(seeds: Sequence[Sequence[Array]]) -> tuple[Array, Array]:
    """False-positive rates above 0 and the mean over seeds of the largest true-positive rate at each.

    Args:
        seeds: of each run the scores of members and of others, 1-D, low for members.
    """
    curves = [roc.roc(member, other) for member, other in seeds]
    rates = np.unique(np.concatenate([fpr for fpr, _ in curves]))
    rates = rates[rates > 0]
    if len(rates) > MOST:  # evenly in logarithms, as they are drawn
        wanted = np.geomspace(rates[0], 1.0, MOST)
        rates = np.unique(rates[np.minimum(np.searchsorted(rates, wanted * (1 - 1e-9)), len(rates) - 1)])
    reached = [tpr[np.searchsorted(fpr, rates, "right") - 1] for fpr, tpr in curves]
    return rates, np.mean(reached, axis=0)


def ecdf(values: Array) -> tuple[Array, Array]:
    """Points of the empirical distribution function, from share 0 to 1: at most `MOST` + 1, evenly in shares."""
    x = np.sort(values)
    at = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST)).round().astype(int))
    return np.concatenate([x[:1], x[at]]), np.concatenate([[0.0], (at + 1) / len(x)])


def _ecdf(
    name: str, title: str, axis: str, values: Mapping[str, Array], table: Table, names: Iterable[str], log: bool = False
) -> Chart:
    if log:
        values = {method: np.maximum(of, 1e-6) for method, of in values.items()}
    rows = [_line(method, {"value": float(v), "share": float(s)})
            for method, of in values.items() for v, s in zip(*ecdf(of), strict=True)]  # fmt: skip
    apart = {row.method for row in table.rows if row.apart}
    middle = np.concatenate([of for method, of in values.items() if method not in apart])
    low, high = np.quantile(middle, [0.005, 0.995])
    medians = "; ".join(f"{method} {np.median(of):.2f}" for method, of in values.items())
    text = (
        f"Empirical distribution functions of the {axis.partition(' (')[0]}, all seeds pooled; target and retrain "
        f"heavier; the nearer to retrain's the better. The axis ends where 99% of it lies. Medians: {medians}."
    )
    return drawn(name, title, text, _log_ecdf_marks if log else _ecdf_marks, rows, _looks(table, names), x=axis,
                 extent=[float(low), float(high)] if high > low else None)  # fmt: skip


def _ecdf_marks(log: bool = False) -> alt.LayerChart:
    scale = alt.Scale(
        domain=["$extent"], nice=False, zero=alt.Undefined if log else False, type="log" if log else "linear"
    )
    x = alt.X("value:Q", axis=logarithmic("$x") if log else alt.Axis(title="$x"), scale=scale)
    y = alt.Y("share:Q", axis=alt.Axis(title="share of items at or below", format="%"), scale=alt.Scale(domain=[0, 1]))
    return layered(*_lines(x, y, tip("value:Q", "share:Q"), alt.Order("share:Q"), interpolate="step-after"))


def _log_ecdf_marks() -> alt.LayerChart:
    return _ecdf_marks(log=True)


def _roc_marks() -> alt.LayerChart:
    scale = alt.Scale(type="log", domain=["$extent"], nice=False, clamp=True)
    x = alt.X("fpr:Q", axis=logarithmic("false positive rate (log)"), scale=scale)
    y = alt.Y("tpr:Q", axis=logarithmic("true positive rate (log)"), scale=scale)
    chance = of("chance").mark_line(color=SOFT, strokeWidth=1).encode(x=x, y=y)
    return layered(chance, *_lines(x, y, tip("fpr:Q", "tpr:Q"), alt.Order("fpr:Q")))


def _lines(x: alt.X, y: alt.Y, told: Any, order: alt.Order, **mark: Any) -> Iterator[alt.Chart]:
    """A line a method, above them the heavier lines of the controls."""
    control = " || ".join(f"datum.method === '{name}'" for name in CONTROLS)
    for test, width in ((f"!({control})", 1.4), (control, 3)):
        yield (
            of("line")
            .transform_filter(test)
            .mark_line(strokeWidth=width, clip=True, **mark)
            .encode(x=x, y=y, color=colour(), strokeDash=dash(), order=order, opacity=seen(), tooltip=told)
        )


def _line(method: str, point: Mapping[str, float]) -> dict[str, Any]:
    return {"kind": "line", "method": method, **point}


def _looks(table: Table, names: Iterable[str]) -> Any:
    return looks([*names, *(row.method for row in table.rows)])


def _pooled(table: Table, crossed: Crossed, need: tuple[str, str]) -> dict[str, Array]:
    """What is scored of a column in all seeds of each method, those without left out."""
    found = {
        row.method: np.concatenate([np.array([]), *(_scored(crossed, Run(row.method, s), need) for s in row.seeds)])
        for row in table.rows
    }
    return {method: values for method, values in found.items() if len(values)}


def _scored(crossed: Crossed, run: Run, need: tuple[str, str]) -> Array:
    values = crossed.values.get(run, {}).get(need, np.array([]))
    return values[np.isfinite(values)]
