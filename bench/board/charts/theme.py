"""How figures look: of each method its colour, shape and dashes, and what all Vega-Lite specifications share.

A template is a chart built once, with places that are named `$name`; data, domains and titles are put into it as plain
values, so that no text of a result stands in an expression, and building a chart a thousand times costs little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import altair as alt
from altair.utils.schemapi import debug_mode

from bench.store.record import CONTROLS, RETRAIN, TARGET

INK, PAPER, SOFT = "#010101", "#fefefe", "#808080"
"""Colours that stand for the page's: whoever draws a specification replaces the first two by those of its scheme."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A500")
"""Okabe and Ito's, without black, which is retrain's, and with a yellow that white paper shows."""
_STAR = [(math.sin(math.pi * k / 5) * r, -math.cos(math.pi * k / 5) * r) for k, r in enumerate([1.0, 0.42] * 5)]
STAR = "M" + "L".join(f"{x:.3f},{y:.3f}" for x, y in _STAR) + "Z"
SQUARE = "M-0.75,-0.75H0.75V0.75H-0.75Z"
SHAPES = (
    "M0.85,0A0.85,0.85,0,1,1,-0.85,0A0.85,0.85,0,1,1,0.85,0Z",  # circle
    "M0,-1L1,0L0,1L-1,0Z",  # diamond
    "M0,-0.95L0.95,0.75L-0.95,0.75Z",  # triangle up
    "M0,0.95L0.95,-0.75L-0.95,-0.75Z",  # triangle down
    "M-0.3,-0.9H0.3V-0.3H0.9V0.3H0.3V0.9H-0.3V0.3H-0.9V-0.3H-0.3Z",  # plus
    "M-0.95,0L0.75,-0.95L0.75,0.95Z",  # triangle left
)
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4))
PAIRS = tuple(
    (int(colour), int(dash))
    for colour, dash in zip("01234560352035416041235613064256142", "01234023014143023234024101402124313", strict=True)
)
"""Colours and dashes by position, every pair once. Found by search: the first 7 have unlike colours, neighbours share
nothing, and of the first 12 those with equal dashes are far enough apart in grey to be told on black and white paper,
and those with equal colours have unlike shapes."""
INTERNAL = ("shade", "text")
"""Columns of rows that are only there to be drawn, left out where rows are saved."""
FADED = 0.12
"""Opacity of what is not picked."""
PICKED = "length(picked) == 0 || indexof(picked, datum.method) >= 0"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
CONFIG: Mapping[str, Any] = {
    "font": FONT,
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "gridColor": SOFT, "gridOpacity": 0.18, "domainColor": SOFT, "tickColor": SOFT, "labelLimit": 130,
        "tickCount": 5,
    },
    "text": {"fontSize": 11, "color": INK},
    "mark": {"aria": False},
    "legend": {"labelColor": INK, "titleColor": INK},
}  # fmt: skip


class Chart(NamedTuple):
    """A figure, or why there is none.

    `name` is its place in a page, `text` says in words and numbers what is to be seen, `spec` is Vega-Lite with its
    rows inside, None where nothing can be drawn.
    """

    name: str
    title: str
    text: str
    spec: dict[str, Any] | None


class Look(NamedTuple):
    """What tells a method from others: `shape` is an SVG path within -1 and 1, `dash` lengths of line and gap."""

    colour: str
    shape: str
    dash: tuple[int, ...]


Row = Mapping[str, Any]
"""A line of the data behind a figure; one about a method has the column "method"."""


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """The look of target, of retrain and of each method, by the order of their names; the controls come first.

    Colours, shapes and dashes are 7, 6 and 5: two of 210 methods may share one of them, none share all.
    """
    found = {TARGET: Look(SOFT, SQUARE, (1, 0)), RETRAIN: Look(INK, STAR, (1, 0))}
    for i, method in enumerate(sorted(set(methods) - set(CONTROLS))):
        colour, dash = PAIRS[i % len(PAIRS)]
        found[method] = Look(COLOURS[colour], SHAPES[i % len(SHAPES)], DASHES[dash])
    return found


def drawn(
    name: str,
    title: str,
    text: str,
    make: Callable[[], alt.LayerChart],
    rows: Iterable[Row],
    looks: Mapping[str, Look],
    height: int = 300,
    named: bool = False,
    **places: Any,
) -> Chart:
    """A chart of a template; of the specification only the top and the rows are its own, so change nothing below.

    Args:
        make: builds the template; called once.
        named: whether the figure says in letters which method is where, so that it needs no legend when saved alone.
        places: what stands at `$name`, as a text or the only element of a list; None removes it.
    """
    values = [_plain(row) for row in rows]
    there = {row.get("method") for row in values}
    own = {method: look for method, look in looks.items() if method in there}
    looked = {
        "methods": list(own),
        "colours": [look.colour for look in own.values()],
        "shapes": [look.shape for look in own.values()],
        "dashes": [list(look.dash) for look in own.values()],
    }
    spec: dict[str, Any] = _filled(*_template(make), looked | places)
    spec["description"] = f"{title}. {text}"
    spec["height"] = height
    spec["usermeta"] = {"named": named, "internal": list(INTERNAL)}
    spec["data"] = {"name": "rows", "values": values}
    return Chart(name, title, text, spec)


def undrawn(name: str, title: str, why: str) -> Chart:
    """No chart, and why."""
    return Chart(name, title, why, None)


def layered(*layers: alt.Chart) -> alt.LayerChart:
    """Layers over the one table of rows."""
    return alt.LayerChart(layer=layers, data=alt.NamedData(name="rows"))


def of(*kinds: str) -> alt.Chart:
    """A layer of the rows of these kinds."""
    return alt.Chart().transform_filter(" || ".join(f"datum.kind === '{kind}'" for kind in kinds))


def colour() -> alt.Color:
    """The colour of a row's method."""
    return alt.Color("method:N", scale=alt.Scale(domain=["$methods"], range=["$colours"]), legend=None)


def stroke() -> alt.Stroke:
    """The same as the line around a mark that may be hollow."""
    return alt.Stroke("method:N", scale=alt.Scale(domain=["$methods"], range=["$colours"]), legend=None)


def fill() -> alt.Fill:
    """The colour of a row's method, inside of a mark."""
    return alt.Fill("method:N", scale=alt.Scale(domain=["$methods"], range=["$colours"]), legend=None)


def shape() -> alt.Shape:
    """The shape of a row's method."""
    return alt.Shape("method:N", scale=alt.Scale(domain=["$methods"], range=["$shapes"]), legend=None)


def dash() -> alt.StrokeDash:
    """The dashes of a row's method."""
    return alt.StrokeDash("method:N", scale=alt.Scale(domain=["$methods"], range=["$dashes"]), legend=None)


def seen(opacity: float = 1.0) -> Any:
    """Opacity of a mark about a method: little where others are picked."""
    return alt.when(PICKED).then(alt.value(opacity)).otherwise(alt.value(FADED))


def logarithmic(title: str, form: str = "~g") -> alt.Axis:
    """The axis of a logarithmic scale: lines only at powers of ten."""
    power = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 0.000001"
    return alt.Axis(title=title, format=form, gridOpacity=alt.condition(power, alt.value(0.18), alt.value(0)))


def filled() -> Any:
    """Hollow where a row is set apart."""
    return alt.when("datum.apart").then(alt.value(0)).otherwise(alt.value(1))


def tip(*fields: str) -> list[alt.Tooltip]:
    """What is told of a hovered mark: the method, then these fields; of numbers four digits."""
    numbers = [alt.Tooltip(f, title=f.partition(":")[0].replace("_", " "), format=".4~g") if f.endswith(":Q")
               else alt.Tooltip(f) for f in fields]  # fmt: skip
    return [alt.Tooltip("method:N"), *numbers]


@cache
def _template(make: Callable[[], alt.LayerChart]) -> tuple[dict[str, Any], Any]:
    """The specification of a template and where its places are.

    Not checked against the schema, which takes longer than all else; tests do.
    """
    with debug_mode(False):
        made: dict[str, Any] = make().to_dict(validate=False)
    made |= {
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "config": CONFIG,
        "params": [{"name": "picked", "value": []}],
    }
    return made, _places(made)


def _places(node: Any) -> Any:
    """The name of the place that a node is, or by key those within it; None where there are none."""
    if isinstance(node, list) and len(node) == 1 and isinstance(node[0], str):
        node = node[0]
    if isinstance(node, str):
        return node[1:] if node.startswith("$") else None
    inside = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    return {key: found for key, value in inside if key != "$schema" and (found := _places(value))} or None


def _filled(node: Any, places: Any, values: Mapping[str, Any]) -> Any:
    """A node with what belongs in its places; what has none in it is shared, not copied."""
    if isinstance(places, str):
        return values[places]
    copied = node.copy()
    for key, inside in (places or {}).items():
        copied[key] = _filled(node[key], inside, values)
        if copied[key] is None:
            del copied[key]
    return copied


def _plain(row: Row) -> dict[str, Any]:
    """A row with numbers to six digits; what is no number is null. Written to be quick: a table has 20,000."""
    return {
        k: (float("%.6g" % v) if v - v == 0 else None) if isinstance(v, float) else v  # noqa: UP031
        for k, v in row.items()
    }
