"""What attacks find on their way: relearning by step, the inside by layer, the leak by how often it is asked.

Each figure has the method's line beside those of retrain and target, which were attacked alike; a line that nobody was
attacked by is no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import altair as alt

from bench.board.charts.forests import EXTENT
from bench.board.charts.theme import (
    Chart,
    colour,
    dash,
    drawn,
    fill,
    filled,
    layered,
    looks,
    of,
    seen,
    shape,
    stroke,
    tip,
)
from bench.compare.analysis import Table
from bench.compare.readings import USABLE
from bench.compare.robustness import Curve, Recovery
from bench.store.attacked import BARE, DELIVERED
from bench.store.record import RETRAIN, TARGET

ALL, LORA = "all weights", "LoRA"
"""How a line says, behind a comma, which weights were taught."""
Group = Sequence[Recovery]
"""What is drawn in one figure."""


class Axis(NamedTuple):
    """How a figure over one axis looks."""

    title: str
    x: str
    y: str
    told: str
    make: Callable[[], alt.LayerChart]


def of_attacks(table: Table, names: Iterable[str] = ()) -> list[Chart]:
    """The curves of a table's attacks, a figure for each set that is taught and each line; none without attacks.

    Args:
        names: methods that looks are chosen among beside the table's own.
    """
    names = [*names, *(row.method for row in table.rows), *(row.method for row in table.attacks)]
    found = []
    for kind, axis in AXES.items():
        groups: dict[str, list[Recovery]] = {}
        for row in table.attacks:
            if row.line.axis == kind and any(len(curve) > 1 for curve in row.curves.values()):
                groups.setdefault(_title(row), []).append(row)
        found += [_drawn(f"attack-{kind}-{n}", title, rows, axis, names)
                  for n, (title, rows) in enumerate(groups.items(), 1)]  # fmt: skip
    return found


def _title(row: Recovery) -> str:
    """An attack and its line, without which weights it taught."""
    said = ": ".join(filter(None, (row.line.attack, _parted(row.line.name)[0])))
    return f"{said} (control)" if row.line.control else said


def _parted(line: str) -> tuple[str, str]:
    """A line's name without which weights were taught, and those."""
    rest, _, weights = line.rpartition(", ")
    return (rest, weights) if weights == ALL or weights.startswith(f"{LORA} ") else (line, "")


def _drawn(name: str, title: str, group: Group, axis: Axis, names: Iterable[str]) -> Chart:
    lines: dict[str, list[Recovery]] = {}
    for row in group:
        lines.setdefault(row.line.name, []).append(row)
    rows: list[dict[str, Any]] = []
    told, settings = [], []
    for line, of_line in lines.items():
        weights, setting = _parted(line)[1], _setting(of_line)
        rows += _lines(of_line, weights, setting)
        said = "; ".join(f"{label} {_said(curve, at)}" for label, curve, at in _curves(of_line, setting))
        told.append(f"{weights[:1].upper()}{weights[1:]}: {said}." if weights else f"{said}.")
        settings += [f"{weights}: {setting}" if weights else setting] if setting else []
    steps = sorted({row["step"] for row in rows})
    seeds = sorted({len(row.seeds) for row in group})
    chosen = f" Of each line the setting that serves attackers best ({', '.join(settings)})." if settings else ""
    text = (
        f"{axis.told} Retrain and target are attacked alike.{_marks(rows)}{chosen} Means over "
        f"{' to '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}. {' '.join(told)}"
    )
    return drawn(name, f"{axis.title}: {title}", text, axis.make, rows, looks(names), 260,
                 x=axis.x, y=axis.y, ticks=steps, count=len(steps))  # fmt: skip


def _marks(rows: Sequence[dict[str, Any]]) -> str:
    """What marks mean that are there."""
    return "".join(
        said
        for said, there in (
            (" Thin: LoRA.", any(row["kind"] == "part" for row in rows)),
            (f" Hollow: less than {USABLE:.0%} of what it kept is left.", any(row.get("apart") for row in rows)),
            (f" Lines that end in the words {BARE!r} are of the bare weights.", any(r["kind"] == "name" for r in rows)),
        )
        if there
    )


def _setting(of_line: Group) -> str:
    """The setting at which attackers come farthest beyond retrain, on average over methods: one for all lines of a
    figure, for retrain's and the target's are of one setting too."""

    def farthest(setting: str) -> float:
        usable = [
            [p[1] - p[2] for p in row.curves.get(setting, ()) if (setting, p[0]) in row.usable] for row in of_line
        ]
        return fmean(max(of, default=0.0) for of in usable)

    return max(dict.fromkeys(setting for row in of_line for setting in row.curves), key=farthest)


def _curves(of_line: Group, setting: str) -> Iterator[tuple[str, Curve, int]]:
    """Label, curve and its column in it: of retrain and target, seen by whom most seeds have, and of every method."""
    with_it = [row for row in of_line if setting in row.curves]
    most = max(with_it, key=lambda row: len(row.seeds))
    yield from ((name, most.curves[setting], at) for name, at in ((RETRAIN, 2), (TARGET, 3)))
    yield from ((row.label, row.curves[setting], 1) for row in with_it)


def _said(curve: Curve, at: int) -> str:
    best = max(curve, key=lambda point: point[at])
    return f"{curve[0][at]:.2f} at {curve[0][0]:g}, at most {best[at]:.2f} at {best[0]:g}"


def _lines(of_line: Group, weights: str, setting: str) -> Iterator[dict[str, Any]]:
    kind = "part" if weights.startswith(LORA) else "whole"
    by_label = {row.label: row for row in of_line}
    for label, curve, at in _curves(of_line, setting):
        row = by_label.get(label)
        own = {"method": row.method if row else label, "model": row.form if row else DELIVERED,
               "weights": weights, "setting": setting}  # fmt: skip
        for point in curve:
            spoilt = row is not None and (setting, point[0]) not in row.usable
            yield {"kind": kind, **own, "step": point[0], "known": point[at], "apart": spoilt}
        if row is not None and row.form != DELIVERED and kind == "whole":
            yield {"kind": "name", **own, "step": curve[-1][0], "known": curve[-1][at], "text": row.form}


# -- templates -------------------------------------------------------------------------------------------------------


def _by_step() -> alt.LayerChart:
    return _over(alt.Scale(type="symlog", constant=1, nice=False, padding=12))


def _by_layer() -> alt.LayerChart:
    return _over(alt.Scale(nice=False, zero=False, padding=12))


def _by_times() -> alt.LayerChart:
    return _over(alt.Scale(type="log", base=2, nice=False, padding=12))


def _over(scale: alt.Scale) -> alt.LayerChart:
    count: Any = "$count"  # of ticks: without it all but a few of the values are dropped
    form = "format(datum.value, '~g')"
    axis = alt.Axis(title="$x", values=["$ticks"], tickCount=count, labelOverlap="greedy", labelExpr=form)
    x = alt.X("step:Q", axis=axis, scale=scale)
    y = alt.Y("known:Q", axis=alt.Axis(title="$y"), scale=alt.Scale(domain=EXTENT, nice=False))
    told = tip("model:N", "weights:N", "setting:N", "step:Q", "known:Q")
    layers = []
    for kind, width, size, opacity in (("part", 0.9, 14, 0.75), ("whole", 2, 34, 1)):
        layers += [
            of(kind).mark_line(strokeWidth=width).encode(
                x=x, y=y, color=colour(), strokeDash=dash(), detail="model:N", opacity=seen(opacity)),
            of(kind).mark_point(size=size, strokeWidth=1).encode(
                x=x, y=y, stroke=stroke(), fill=fill(), fillOpacity=filled(), shape=shape(), opacity=seen(opacity),
                tooltip=told),
        ]  # fmt: skip
    names = of("name").mark_text(align="right", dy=-9, fontSize=10).encode(x=x, y=y, text="text:N", opacity=seen())
    return layered(*layers, names)


_KNOWN = "how much of the answers is known"
AXES = {
    "steps": Axis("Taught a little", "steps (symmetric log)", f"{_KNOWN}, up is more",
                  "What is known of the forget items that were not taught, after so many steps of training.", _by_step),
    "layer": Axis("Layer by layer", "layer", "how much of the answers is there, up is more",
                  "How much of the answers is found at each layer.", _by_layer),
    "k": Axis("Asked again and again", "how often it is asked, k (log)", "chance to hear the answer, up is more",
              "The chance that one of k samples says the answer.", _by_times),
}  # fmt: skip
"""What is drawn, by what an attack's steps count."""
