"""The figures of a table: each a matplotlib figure with a text that says in words and numbers what is to be seen.

Colours are Okabe and Ito's; markers and line styles differ as well, so that nothing is lost in greyscale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bench.api import Metric, Score
from bench.compare.analysis import Row, Table
from bench.compare.trade_off import trace
from bench.errors import BenchError
from bench.metrics._forms import RetrainTest
from bench.score.scoring import find
from bench.stats import roc
from bench.store import files
from bench.store.record import CONTROLS, RETRAIN, Cell, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A500")
MARKERS = "osD^vPXp<>"
LINES = ("-", "--", "-.", ":")
CONTROL_SHADES = {"target": "0.65", RETRAIN: "black"}
FLOOR = -320.0  # log10 of what is printed as 0


class Drawn(NamedTuple):
    """A figure, or the reason why there is none."""

    title: str
    figure: Figure | None
    text: str


def figures(results: Path, records: Mapping[Cell, Record], table: Table) -> Iterator[Drawn]:
    """Every figure of a table."""
    yield trade_off(table)
    yield on_the_way(records, table)
    cells = _first_cells(table)
    items: dict[str, pd.DataFrame] = {}
    for method, cell in cells.items():
        try:
            items[method] = files.items(results, cell)
        except BenchError:
            continue
    yield distributions(table, items)
    yield roc_curves(table, items)
    yield seeds(table)


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points that no other is at least as good as in both numbers and better in one, by the first."""
    best = [
        name
        for name, (x, y) in points.items()
        if not any((u >= x and v >= y) and (u > x or v > y) for u, v in points.values())
    ]
    return sorted(best, key=lambda name: points[name])


def log10(score: Score) -> tuple[float, float, float]:
    """Value and bounds of a p-value as powers of ten; a p that underflowed to 0 is `FLOOR`."""
    value = score.value or 0.0
    numbers = (value, value if score.lo is None else score.lo, value if score.hi is None else score.hi)
    middle, low, high = (math.log10(p) if p > 0 else FLOOR for p in numbers)
    return middle, low, high


def trade_off(table: Table) -> Drawn:
    """Forget quality against model utility, with the front of those that nothing beats in both."""
    title = "Forgetting against keeping"
    across, up = table.headlines.get("forget quality"), table.headlines.get("model utility")
    if across is None or up is None:
        return Drawn(title, None, "The task has no forget quality or no model utility to draw.")
    metric = find(across)
    powers = isinstance(metric, RetrainTest)
    places: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {}
    for row in table.rows:
        scores = row.scores.get(across, Score(None)), row.scores.get(up, Score(None))
        if scores[0].value is not None and scores[1].value is not None:
            places[row.method] = (log10(scores[0]) if powers else _bounds(scores[0]), _bounds(scores[1]))
    if not places:
        return Drawn(title, None, "No method has both numbers.")
    figure, axes = _axes()
    looks = _looks(table)
    for name, (x, y) in places.items():
        i, control = looks[name], name in CONTROLS
        axes.errorbar(
            x[0], y[0], xerr=[[max(0.0, x[0] - x[1])], [max(0.0, x[2] - x[0])]],
            yerr=[[max(0.0, y[0] - y[1])], [max(0.0, y[2] - y[0])]],
            fmt="*" if control else MARKERS[i % len(MARKERS)], markersize=13 if control else 7,
            color=CONTROL_SHADES.get(name, COLOURS[i % len(COLOURS)]), markeredgecolor="black", capsize=2, linewidth=1,
            label=plain(name),
        )  # fmt: skip
    front = pareto({n: (x[0], y[0]) for n, (x, y) in places.items() if n not in CONTROLS})
    axes.plot(
        [places[n][0][0] for n in front], [places[n][1][0] for n in front], color="black", linestyle=":", zorder=0
    )
    axes.set(xlabel="forget quality (log10 p)" if powers else "forget quality", ylabel="model utility")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    said = "; ".join(f"{n}: forget quality {x[0]:.1f}, utility {y[0]:.2f}" for n, (x, y) in places.items())
    return Drawn(
        title, figure, f"Crosses are 95% intervals. On the Pareto front: {', '.join(front) or 'none'}. {said}."
    )


def on_the_way(records: Mapping[Cell, Record], table: Table) -> Drawn:
    """Retain against forget probability along each run."""
    title = "On the way: what is kept where as much is forgotten"
    figure, axes = _axes()
    said = []
    looks = _looks(table)
    for row in (r for r in table.rows if r.method not in CONTROLS):
        i, ends = looks[row.method], []
        for number, seed in enumerate(row.seeds):
            forget, retain = trace(records[Cell(table.task, row.method, table.model, table.data, seed)])
            if len(forget) > 1:
                label = plain(row.method) if number == 0 else None
                axes.plot(forget, retain, color=COLOURS[i % len(COLOURS)], linestyle=LINES[i % len(LINES)],
                          marker=MARKERS[i % len(MARKERS)], markersize=3, linewidth=1.2, label=label)  # fmt: skip
                ends.append((forget[-1], retain[-1]))
        if ends:
            said.append(f"{row.method} ends at {np.mean(ends, axis=0)[0]:.2f} and {np.mean(ends, axis=0)[1]:.2f}")
    if not said:
        return Drawn(title, None, "No run has left a trace.")
    axes.invert_xaxis()
    axes.set(xlabel="mean probability of forget answers", ylabel="mean probability of retain answers")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return Drawn(title, figure, f"Mean probability of forget and of retain answers, over seeds: {'; '.join(said)}.")


def _looks(table: Table) -> dict[str, int]:
    """Which colour, marker and line a method has in every figure of its table."""
    methods = sorted(row.method for row in table.rows if row.method not in CONTROLS)
    return dict.fromkeys(CONTROLS, 0) | {method: i for i, method in enumerate(methods)}


def distributions(table: Table, items: Mapping[str, pd.DataFrame]) -> Drawn:
    """The empirical distribution functions that forget quality compares."""
    title = "What forget quality compares"
    metric = find(table.headlines.get("forget quality", ""))
    if not isinstance(metric, RetrainTest):
        return Drawn(title, None, "Forget quality of this task compares no distributions.")
    ((set_, column),) = metric.needs
    values = {name: v for name, table_ in items.items() if len(v := _column(table_, set_, column))}
    if RETRAIN not in values:
        return Drawn(title, None, "The retrain model's items are not there.")
    figure, axes = _axes()
    order = [*(n for n in values if n not in CONTROLS), *(n for n in CONTROLS if n in values)]
    said = []
    looks = _looks(table)
    for name in order:
        i, x = looks[name], np.sort(values[name])
        heavy = name in CONTROLS
        axes.step(
            x, np.arange(1, len(x) + 1) / len(x), where="post", label=plain(name), linewidth=2.6 if heavy else 1.2,
            color=CONTROL_SHADES.get(name, COLOURS[i % len(COLOURS)]),
            linestyle="-" if heavy else LINES[i % len(LINES)],
        )  # fmt: skip
        said.append(f"{name}: median {np.median(x):.2f}")
    axes.set(xlabel=f"{column.replace('_', ' ')} of the forget items", ylabel="share of items at or below")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return Drawn(title, figure, f"Empirical distribution functions, first seed of each; {'; '.join(said)}.")


def roc_curves(table: Table, items: Mapping[str, pd.DataFrame]) -> Drawn:
    """ROC curves of the membership attack on logarithmic axes."""
    title = "Membership inference"
    metric: Metric | None = find(table.headlines.get("membership", ""))
    if metric is None or len(metric.needs) != 2:
        return Drawn(title, None, "The task names no membership attack.")
    figure, axes = _axes()
    said = []
    looks = _looks(table)
    for name, table_ in items.items():
        i = looks[name]
        member, other = (_column(table_, *need) for need in metric.needs)
        if len(member) and len(other):
            fpr, tpr = roc.roc(member, other)
            shown = (fpr > 0) & (tpr > 0)
            shade = CONTROL_SHADES.get(name, COLOURS[i % len(COLOURS)])
            axes.plot(fpr[shown], tpr[shown], label=plain(name), color=shade,
                      linestyle=LINES[i % len(LINES)], linewidth=2.4 if name in CONTROLS else 1.2)  # fmt: skip
            said.append(f"{name}: AUC {float(roc.auc(member, other)):.2f}")
    if not said:
        return Drawn(title, None, "The data has no items that no model has seen, so there is nothing to tell apart.")
    axes.plot([1e-3, 1], [1e-3, 1], color="0.7", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="false positive rate", ylabel="true positive rate", xlim=(5e-3, 1),
             ylim=(5e-3, 1.05))  # fmt: skip
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return Drawn(title, figure, f"ROC curves on logarithmic axes, first seed of each; {'; '.join(said)}.")


def seeds(table: Table) -> Drawn:
    """The headline scores of each seed."""
    title = "Seed by seed"
    if max((len(row.seeds) for row in table.rows), default=0) < 2:
        return Drawn(title, None, "One seed: its spread is unknown.")
    from matplotlib.figure import Figure

    shown = {role: name for role, name in table.headlines.items() if not isinstance(find(name), RetrainTest)}
    figure = Figure(figsize=(2.6 * len(shown) + 1.6, 0.28 * len(table.rows) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    said = []
    for axes, (role, name) in zip(panels, shown.items(), strict=True):
        for y, row in enumerate(table.rows):
            known = [v for v in row.by_seed.get(name, ()) if v is not None]
            axes.plot(known, [y] * len(known), "o", color=COLOURS[0], markersize=5, alpha=0.8, markeredgecolor="black")
            if len(known) > 1:
                said.append(f"{row.method} {role} {min(known):.3f} to {max(known):.3f}")
        axes.set(title=role)
        axes.set_yticks(range(len(table.rows)), [plain(row.method) for row in table.rows])
        axes.grid(axis="y", color="0.9")
    panels[0].invert_yaxis()
    return Drawn(title, figure, f"One dot a seed; {'; '.join(said)}.")


def plain(name: str) -> str:
    """A label that matplotlib takes literally: no mathematics, and no legend entry hidden by an underscore."""
    return name.replace("$", r"\$").lstrip("_")


def _axes() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    return figure, figure.add_subplot()


def _bounds(score: Score) -> tuple[float, float, float]:
    value = score.value if score.value is not None else math.nan
    return value, value if score.lo is None else score.lo, value if score.hi is None else score.hi


def _first_cells(table: Table) -> dict[str, Cell]:
    """The cell of each method's first seed."""
    rows: Sequence[Row] = [row for row in table.rows if row.seeds]
    return {r.method: Cell(table.task, r.method, table.model, table.data, r.seeds[0]) for r in rows}


def _column(items: pd.DataFrame, set_: str, column: str) -> np.ndarray[Any, Any]:
    """What is scored of a column of one set."""
    if column not in items:
        return np.array([])
    values = items.loc[items["set"] == set_, column].to_numpy(dtype=float)
    return values[~np.isnan(values)]
