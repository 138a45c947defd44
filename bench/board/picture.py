"""The picture of a board: how much each method erased against how much it kept, a panel a table, as SVG.

The same tables give the same bytes: no date, no random names, coordinates to a hundredth, text as text. Names stand
beside their points, and nothing is told by colour alone.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.api import Score
from bench.board.about import kind
from bench.compare.analysis import HEADLINE, Row, Table
from bench.compare.headline import ERASED, KEPT
from bench.store.record import CONTROLS, RETRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (330.0, 330.0)
"""Width and height of the inside of a panel, in points; square, as both axes are shares."""
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 34.0, 60.0
"""What stands around the inside of a panel, in points."""
LETTER, LINE = 5.1, 10.0
"""Width of a letter and height of a line of a label, in points: measured fonts differ between machines."""
RANGE = (-0.04, 1.06)
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "unlearning-bench", "font.size": 9}
BLUE, GREY = "#0072B2", "#8a8a8a"


LEGEND = (
    "Up and to the right is better. Crosses: 95% intervals. Curves: harmonic mean. "
    "Hollow and grey: set apart, it lost too much."
)


class Span(NamedTuple):
    """A value and its interval, of no width where none is known."""

    value: float
    lo: float
    hi: float


def place(table: Table, row: Row) -> tuple[Span, Span] | None:
    """How much a row has erased and how much it has kept; None where one of them is unknown.

    Retrain stands where the ceiling is, or with one seed, which has none, at 1 of both by definition.
    """
    spans = _span(row.scores.get(ERASED, Score(None))), _span(row.scores.get(KEPT, Score(None)))
    if row.method == RETRAIN and any(HEADLINE in other.scores for other in table.rows):
        spans = spans[0] or Span(1.0, 1.0, 1.0), spans[1] or Span(1.0, 1.0, 1.0)
    return None if spans[0] is None or spans[1] is None else (spans[0], spans[1])


def shown(tables: Sequence[Table]) -> list[Table]:
    """The tables of real data, or all where there are none; those that have a point to draw."""
    real = [table for table in tables if kind(table) == "real data"]
    return [table for table in real or tables if any(place(table, row) for row in table.rows)]


def svg(tables: Sequence[Table]) -> str:
    """The picture of these tables."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        paper = io.StringIO()
        draw(tables).savefig(paper, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", paper.getvalue())


def draw(tables: Sequence[Table]) -> Figure:
    """A panel a table, two beside each other."""
    from matplotlib.figure import Figure

    across, down = min(2, max(1, len(tables))), max(1, math.ceil(len(tables) / 2))
    wide, high = PANEL[0] + LEFT + RIGHT, PANEL[1] + TOP + BOTTOM
    figure = Figure(figsize=(across * wide / 72, down * high / 72), facecolor="white")
    for i, table in enumerate(tables):
        x, y = i % across, down - 1 - i // across
        corner = (x * wide + LEFT) / (across * wide), (y * high + BOTTOM) / (down * high)
        axes = figure.add_axes((*corner, PANEL[0] / (across * wide), PANEL[1] / (down * high)))
        _panel(axes, table)
    figure.text(LEFT / (across * wide), 10 / (down * high), LEGEND, fontsize=8, color="0.35")
    return figure


def _panel(axes: Axes, table: Table) -> None:
    axes.set(xlim=RANGE, ylim=RANGE, xlabel="erased of the forget set", ylabel="kept of the rest")
    axes.set_title(f"{table.task}, {kind(table)}, {_seeds(table.rows)}", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    for level in (0.25, 0.5, 0.75):
        _harmonic(axes, level)
    found = {row.method: (row, spot) for row in table.rows if (spot := place(table, row)) is not None}
    for row, (x, y) in found.values():
        anchor = row.method in CONTROLS
        shade = "black" if anchor else GREY if row.apart else BLUE
        axes.plot([x.lo, x.hi], [y.value, y.value], color=shade, linewidth=0.9, zorder=2)
        axes.plot([x.value, x.value], [y.lo, y.hi], color=shade, linewidth=0.9, zorder=2)
        axes.plot(
            [x.value], [y.value], color=shade, markersize=9 if row.method == RETRAIN else 6, zorder=3,
            marker="*" if row.method == RETRAIN else "s" if anchor else "o",
            markerfacecolor="white" if row.apart or row.method == "target" else shade,
        )  # fmt: skip
    named = {name: (_point(x.value), _point(y.value)) for name, (_, (x, y)) in found.items()}
    arms = [spot for _, (x, y) in found.values() for spot in _arms(x, y)]
    for name, (left, up) in labels(named, arms).items():
        row = found[name][0]
        (px, py), style = named[name], "italic" if name in CONTROLS else "normal"
        half = len(name) * LETTER / 2
        own = _gap(left, up, half, px, py)
        other = min((_gap(left, up, half, *spot) for n, spot in named.items() if n != name), default=math.inf)
        if own > 9 or own > 0.7 * other:
            axes.plot(
                [_data(px), _data(min(max(px, left - half), left + half))],
                [_data(py), _data(min(max(py, up - LINE / 2), up + LINE / 2))],
                color="0.55", linewidth=0.6, zorder=1,
            )  # fmt: skip
        axes.text(
            _data(left), _data(up), name.replace("$", r"\$"), ha="center", va="center_baseline", fontsize=8.5,
            style=style, color="#5a5a5a" if row.apart else "black", zorder=4,
        )  # fmt: skip


def labels(
    points: Mapping[str, tuple[float, float]], arms: Sequence[tuple[float, float]] = ()
) -> dict[str, tuple[float, float]]:
    """Where each name stands, in points: near its own, off all points, names and intervals as far as there is room."""
    placed: dict[str, tuple[float, float]] = {}
    for name, (px, py) in sorted(points.items(), key=lambda item: (-item[1][1], item[1][0], item[0])):
        wide = len(name) * LETTER
        tried: list[tuple[float, int, tuple[float, float]]] = []
        for far in (0, 8, 16, 26, 38, 52, 70):
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
                x, y = px + dx * (wide / 2 + 7 + far * 0.7), py + dy * (LINE / 2 + 5 + far)
                bad = sum(_overlap(x - qx, y - qy, wide + 8, LINE + 8) for qx, qy in points.values())
                bad += sum(_overlap(x - qx, y - qy, wide + 4, LINE + 2) for qx, qy in arms) / 2
                bad += sum(
                    2 * _overlap(x - qx, y - qy, wide + len(other) * LETTER, 2 * LINE)
                    for other, (qx, qy) in placed.items()
                )
                own = _gap(x, y, wide / 2, px, py)
                bad += sum(_gap(x, y, wide / 2, *spot) < own for n, spot in points.items() if n != name)
                out = max(0.0, wide / 2 - x, x + wide / 2 - PANEL[0] - RIGHT) + max(0.0, LINE - y, y - PANEL[1])
                tried.append((bad * 10 + out * 100 + far, len(tried), (x, y)))
        placed[name] = min(tried)[2]
    return placed


def _arms(x: Span, y: Span) -> list[tuple[float, float]]:
    """Spots along the intervals of a point, off its middle; in points."""
    steps = (0.25, 0.5, 0.75, 1.0)
    ends = [(end, y.value) for end in (x.lo, x.hi)] + [(x.value, end) for end in (y.lo, y.hi)]
    return [
        (_point(x.value + (u - x.value) * share), _point(y.value + (v - y.value) * share))
        for u, v in ends
        for share in steps
    ]


def _gap(x: float, y: float, half: float, px: float, py: float) -> float:
    """From a point to the box of a label that is twice `half` wide."""
    return math.hypot(max(0.0, abs(px - x) - half), max(0.0, abs(py - y) - LINE / 2))


def _overlap(dx: float, dy: float, wide: float, high: float) -> float:
    """How deep two boxes, of these widths and heights together, lie in each other; in points."""
    return max(0.0, min(wide / 2 - abs(dx), high / 2 - abs(dy)))


def _harmonic(axes: Axes, level: float) -> None:
    """Where the harmonic mean of both numbers is `level`."""
    low = level / (2 - level)
    inverse = [1 + (1 / low - 1) * i / 60 for i in range(61)]
    x, y = [1 / u for u in inverse], [1 / (2 / level - u) for u in inverse]
    axes.plot(x, y, color="0.82", linewidth=0.8, zorder=0)
    axes.text(1.0, low - 0.012, f"{level:g}", color="0.6", fontsize=7, ha="center", va="top", zorder=0)


def _point(value: float) -> float:
    return (value - RANGE[0]) / (RANGE[1] - RANGE[0]) * PANEL[1]


def _data(point: float) -> float:
    return point / PANEL[1] * (RANGE[1] - RANGE[0]) + RANGE[0]


def _seeds(rows: Iterable[Row]) -> str:
    count = len({seed for row in rows for seed in row.seeds})
    return f"{count} seeds" if count > 1 else "one seed"


def _span(score: Score) -> Span | None:
    if score.value is None:
        return None
    ends = score.value if score.lo is None else score.lo, score.value if score.hi is None else score.hi
    return Span(score.value, *(min(max(end, 0.0), 1.0) for end in sorted(ends)))
