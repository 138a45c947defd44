"""The place where two methods are compared: the data of every pair of a table, in one script that the page loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from bench.api import Score
from bench.board.charts.theme import CONFIG, INK, SHAPES, SOFT
from bench.board.items import Array, higher_is_worse, judgements
from bench.board.numbers import number
from bench.board.report import places
from bench.board.report.answers import Texts, as_script, integers
from bench.board.wording import words
from bench.compare.analysis import Rules, Table
from bench.compare.crossed import Crossed, Run
from bench.score.scoring import find
from bench.stats.student import quantile

SETS = ("#7b4fa3", "#8a8a8a", "#a98bc9", "#626262", "#9c6ade")
"""Colours of sets: purples and greys, as no method has; what tells sets apart first is their shape."""


def script(
    crossed: Crossed, table: Table, rules: Rules, texts: Texts, cells: Mapping[Run, str], texts_file: str
) -> str:
    """The script of a table's pairs.

    Args:
        cells: where each cell's own script lies, relative to the page. texts_file: where that of the texts does.
    """
    return as_script("pair", data(crossed, table, rules, texts, cells, texts_file))


def data(
    crossed: Crossed, table: Table, rules: Rules, texts: Texts, cells: Mapping[Run, str], texts_file: str
) -> dict[str, Any]:
    """What the page of a table's pairs knows: its methods, what the tests say of each pair, and values of items.

    `methods` has for each row its seeds, its cells, `items`, by the seeds that it has in common with another method (as
    "0,1,2") its item values as means over these, and `authors`, by seed the means of each author's items. Both are by
    set and column, in units of 1/10000, in the order of the texts. Means of authors leave out items that no run of the
    table is scored on, and an author has none in a run that lacks one of the others: they are always over the same
    items. `t` has Student's 97.5% quantile for 1, 2, ... degrees of freedom. `specs` are Vega-Lite without data.
    """
    methods = [row.method for row in table.rows]
    seeds = {method: crossed.seeds(method) for method in methods}
    values = _Values(crossed, [Run(method, seed) for method in methods for seed in seeds[method]])

    def common(method: str) -> list[tuple[int, ...]]:
        shared = {tuple(s for s in seeds[method] if s in seeds[other]) for other in methods if other != method}
        return sorted(shared - {()})

    authors = (np.unique(labels, return_counts=True)[1].max() for labels in crossed.clusters.values() if len(labels))
    largest = max([2, *map(len, seeds.values()), *authors])
    return {
        "texts": texts_file,
        "digest": texts.digest,
        "corrected": len(table.comparisons),
        "sets": {
            name: {"columns": of, "worse": "high" if higher_is_worse(name) else "low"}
            for name, of in values.columns.items()
        },
        "methods": [
            {
                "name": method,
                "page": places.up(places.pair_page(table)) + places.method_page(method),
                "seeds": seeds[method],
                "cells": {seed: cells[Run(method, seed)] for seed in seeds[method] if Run(method, seed) in cells},
                "items": {",".join(map(str, of)): values.items(method, of) for of in common(method)},
                "authors": {seed: values.authors(Run(method, seed)) for seed in seeds[method]},
            }
            for method in methods
        ],
        "tests": tests(table, rules),
        "t": [_quantile(df) for df in range(1, int(largest))],
        "specs": {"items": _scatter(tuple(values.columns)), "authors": _differences()},
    }


def tests(table: Table, rules: Rules) -> list[dict[str, Any]]:
    """Every comparison of a table in words: those of its family, corrected, then those beside it, which are not.

    `difference` is of a - b, `turned` of b - a; `alone` is what the test says to somebody who asked nothing else, as
    `bench compare` does; `values` are those of the board, by method.
    """
    both = [(c, len(table.comparisons)) for c in table.comparisons] + [(c, 0) for c in table.aside]
    scores = {row.method: row.scores for row in table.rows}
    return [
        {
            "a": c.a,
            "b": c.b,
            "corrected": of > 0,
            "alone": words(c.metric, find(c.metric), c, rules).said,
            "values": {m: number(c.metric, scores[m].get(c.metric, Score(None))._asdict()) for m in (c.a, c.b)},
            **words(c.metric, find(c.metric), c, rules, of)._asdict(),
            "turned": words(c.metric, find(c.metric), c.turned(), rules, of).difference,
        }
        for c, of in both
    ]


class _Values:
    """Item values of some runs: by set the columns that any of them is judged by, [columns, items] of each run."""

    def __init__(self, crossed: Crossed, runs: Sequence[Run]) -> None:
        judged = {run: {name: judgements(crossed.values[run], name) for name in crossed.ids} for run in runs}
        columns = {name: list(dict.fromkeys(c for of in judged.values() for c in of[name])) for name in crossed.ids}
        self.columns = {name: of for name, of in columns.items() if of}
        self.of = {
            run: {
                name: np.stack([by[name].get(column, np.full(len(crossed.ids[name]), np.nan)) for column in names])
                for name, names in self.columns.items()
            }
            for run, by in judged.items()
        }
        self.scored = {name: ~np.all([np.isnan(of[name]) for of in self.of.values()], axis=0) for name in self.columns}
        self.authors_of = {name: _grouped(crossed.clusters[name]) for name in self.columns}

    def items(self, method: str, seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
        """Means over seeds, by set and column."""
        return {
            name: dict(zip(names, integers(_mean([self.of[Run(method, s)][name] for s in seeds])), strict=True))
            for name, names in self.columns.items()
        }

    def authors(self, run: Run) -> dict[str, dict[str, Any]]:
        """Means over each author's items, by set and column."""
        found = {}
        for name, names in self.columns.items():
            order, starts = self.authors_of[name]
            scored = self.scored[name][:, order]
            sums = np.add.reduceat(np.where(scored, self.of[run][name][:, order], 0.0), starts, axis=1)
            counts = np.add.reduceat(scored.astype(float), starts, axis=1)
            means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
            found[name] = dict(zip(names, integers(means), strict=True))
        return found


def _mean(arrays: Sequence[Array]) -> Array:
    return np.asarray(np.mean(arrays, axis=0))


def _grouped(labels: Sequence[str]) -> tuple[Array, Array]:
    """The items in the order of their authors, authors in the order in which they appear, and where each begins."""
    number = {author: i for i, author in enumerate(dict.fromkeys(labels))}
    unit = np.array([number[label] for label in labels])
    order = np.argsort(unit, kind="stable")
    return order, np.searchsorted(unit[order], np.arange(len(number)))


@cache
def _quantile(df: int) -> float:
    return round(quantile(0.975, df), 6)


# -- figures ---------------------------------------------------------------------------------------------------------


@cache
def _scatter(sets: tuple[str, ...]) -> dict[str, Any]:
    """Items of two methods against each other. Rows: kind ("item" or "diagonal"), x, y, set, items, ids."""
    import altair as alt

    def axis(name: str) -> dict[str, Any]:
        ticks = alt.Axis(format=".1f", tickCount=5)
        return {"type": "quantitative", "scale": alt.Scale(domain=[0, 1], nice=False), "title": name, "axis": ticks}

    colours = [SETS[i % len(SETS)] for i in range(len(sets))]
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(sets))]
    legend = alt.Legend(orient="bottom", title=None, symbolOpacity=1, symbolSize=60)
    chart = alt.Chart(alt.NamedData("rows"))
    diagonal = (
        chart.transform_filter("datum.kind === 'diagonal'")
        .mark_line(color=SOFT, strokeDash=[4, 4])
        .encode(alt.X("x", **axis("A")), alt.Y("y", **axis("B")))
    )
    items = (
        chart.transform_filter("datum.kind === 'item'")
        .mark_point(filled=True, opacity=0.55, cursor="pointer")
        .encode(
            alt.X("x", **axis("A")),
            alt.Y("y", **axis("B")),
            alt.Color("set:N", scale=alt.Scale(domain=list(sets), range=colours), legend=legend),
            alt.Shape("set:N", scale=alt.Scale(domain=list(sets), range=shapes), legend=legend),
            alt.Size("items:Q", scale=alt.Scale(type="sqrt", domain=[1, 100], range=[36, 900]), legend=None),
            tooltip=[
                alt.Tooltip("ids:N", title="item"), "set:N", alt.Tooltip("x:Q", format=".3f", title="A"),
                alt.Tooltip("y:Q", format=".3f", title="B"), alt.Tooltip("items:Q", title="items here"),
            ],
        )
    )  # fmt: skip
    return _dressed(diagonal + items)


@cache
def _differences() -> dict[str, Any]:
    """Differences by author with intervals. Rows: author, difference, lo, hi (null without an interval), items, clear
    (whether the interval leaves out 0)."""
    import altair as alt

    chart = alt.Chart(alt.NamedData("rows"))
    names = alt.Y(
        "author:N", sort=None, title=None, axis=alt.Axis(labelLimit=150, grid=False, ticks=False, domain=False)
    )
    x: dict[str, Any] = {"title": "A minus B", "axis": alt.Axis(format="+.2f", tickCount=6)}
    clear = alt.condition("datum.clear", alt.value(INK), alt.value(SOFT))
    zero = chart.mark_rule(color=INK, strokeDash=[3, 3]).encode(x=alt.datum(0))
    reach = (
        chart.transform_filter("isValid(datum.lo)")
        .mark_rule(strokeWidth=2)
        .encode(alt.X("lo:Q", **x), alt.X2("hi:Q"), names, color=clear)
    )
    points = chart.mark_point(filled=True, size=55, opacity=1).encode(
        alt.X("difference:Q", **x),
        names,
        color=clear,
        shape=alt.condition("datum.clear", alt.value("circle"), alt.value("diamond")),
        tooltip=[
            "author:N", alt.Tooltip("difference:Q", format="+.3f"), alt.Tooltip("lo:Q", format="+.3f", title="from"),
            alt.Tooltip("hi:Q", format="+.3f", title="to"), alt.Tooltip("items:Q"),
        ],
    )  # fmt: skip
    return _dressed(zero + reach + points)


def _dressed(chart: Any) -> dict[str, Any]:
    """A spec without data or height, as wide as its place, in the colours of the page."""
    spec: dict[str, Any] = chart.properties(width="container").to_dict()
    spec.pop("datasets", None)
    larger = {"labelFontSize": 12, "titleFontSize": 12}
    legend = {**CONFIG["legend"], "labelLimit": 200, "labelFontSize": 12}
    config = {**CONFIG, "axis": {**CONFIG["axis"], **larger}, "legend": legend}
    return {**spec, "config": config, "data": {"name": "rows", "values": []}}
