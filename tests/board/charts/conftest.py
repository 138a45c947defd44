"""A table of planted models with seeds, variants, curves and a failed cell; the same with names that try to break."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pytest

from bench.api import Score
from bench.board import charts
from bench.board.charts import Chart
from bench.compare import crossed
from bench.compare.analysis import Table, analyse
from bench.compare.crossed import Crossed, Run
from bench.compare.studies.study import Column, Curves, Figure, Grid, Study
from bench.compare.tuning import Tuning, summarise
from bench.score.scoring import score_items
from bench.store import files
from bench.store.record import CONTROLS, Cell, Record
from tests.board.conftest import NAMES, TASK, planted
from tests.compare import made_trials

MODELS = {
    "target": (1.0, 0.9), "retrain": (0.0, 0.9), "good": (0.2, 0.85), "half": (0.5, 0.9), "ruin": (0.0, 0.05),
    "good@beta=0.01": (0.4, 0.9), "good@beta=10": (0.1, 0.7), "good@mask=dual": (0.3, 0.9),
}  # fmt: skip
SEEDS = (0, 1, 2)
HOSTILE = {
    "good": "</script><script>alert(1)</script>", "half": "a.b['c'] \"quoted\" \\back `${1}` $methods",
    "ruin": "$order",
}  # fmt: skip
"""What the methods are called where names try to break the figures."""


class Shown(NamedTuple):
    table: Table
    records: dict[Cell, Record]
    crossed: Crossed

    def charts(self) -> list[Chart]:
        return charts.of_table(self.table, self.records, self.crossed)

    def chart(self, name: str) -> Chart:
        return next(chart for chart in self.charts() if chart.name == name)


def curve(method: str, seed: int) -> dict[str, list[float]]:
    """A run of 100 steps, probed at 11."""
    knows, keeps = MODELS[method]
    done = [i / 10 for i in range(11)]
    steps = [float(i) for i in range(1, 101)]
    return {
        "step": steps, "forget": [seed + s / 10 for s in steps], "retain": [1 / s for s in steps],
        "gradient_norm": [math.nan, *steps[1:]], "trace step": [100 * d for d in done],
        "trace forget probability": [1 - d * (1 - knows) * 0.9 for d in done],
        "trace retain probability": [1 - d * (1 - keeps) for d in done],
    }  # fmt: skip


def study(methods: Iterable[str]) -> Study:
    """Two requests with a line and a matrix a method; one place of the matrix has no number."""
    figure = Figure(0.2, 0.1, 0.3, 5, 0.01)
    own = list(methods)
    return Study(
        "sequence:tofu", "embedded", "tiny", "2 requests one after another", "request", SEEDS,
        (Column("immediate", "what is left"),), {method: {"immediate": figure} for method in own},
        (Curves("Utility", "model utility", {m: ((1.0, figure), (2.0, Figure(0.5))) for m in own}),),
        (Grid("What is known", "request", "part", dict.fromkeys(own, ((0.1, None), (0.2, 0.9)))),),
    )  # fmt: skip


@pytest.fixture(scope="session")
def shown(tmp_path_factory) -> Shown:
    folder = tmp_path_factory.mktemp("charts")
    records = {}
    for seed in SEEDS:
        tables = {method: planted(method, seed, *model) for method, model in MODELS.items()}
        for n, (method, items) in enumerate(tables.items()):
            cell = Cell(TASK, method, "tiny", "embedded", seed)
            record = Record(
                cell, "ok", {"score": f"{method}{seed}"}, {}, {"beta": 1.0, "mask": "dual"},
                scores=score_items(items, tables["retrain"], NAMES), cost={"unlearn_seconds": 10.0 + n},
                curve={} if method in CONTROLS else curve(method, seed),
            )  # fmt: skip
            files.save(folder, record, items)
            records[cell] = record
    failed = Cell(TASK, "failed", "tiny", "embedded", 0)
    records[failed] = Record(failed, "failed", {"score": "f"}, {}, error="boom")
    (table,) = analyse(folder, records)
    runs = [c for c in records if c.method != "failed"]
    return Shown(with_seeds(table), records, crossed.load(folder, runs).crossed)


def with_seeds(table: Table) -> Table:
    """With headline, erased and kept seed by seed where the table has them not: some numbers near the mean."""

    def filled(row: Any) -> Any:
        known = {n: row.scores[n].value for n in ("headline", "erased", "kept") if n in row.scores}
        near = {n: tuple(min(1.0, v + s / 100) for s in range(len(row.seeds))) for n, v in known.items()}
        return dataclasses.replace(row, by_seed=near | dict(row.by_seed))

    return dataclasses.replace(table, rows=tuple(map(filled, table.rows)), variants=tuple(map(filled, table.variants)))


def renamed(shown: Shown, name: Callable[[str], str]) -> Shown:
    """The same with methods of other names."""
    rows, variants = (
        tuple(dataclasses.replace(r, method=name(r.method)) for r in of)
        for of in (shown.table.rows, shown.table.variants)
    )
    records = {
        (new := cell._replace(method=name(cell.method))): dataclasses.replace(record, cell=new)
        for cell, record in shown.records.items()
    }
    values = {Run(name(run.method), run.seed): of for run, of in shown.crossed.values.items()}
    again = Crossed(shown.crossed.ids, shown.crossed.clusters, values)
    return Shown(dataclasses.replace(shown.table, rows=rows, variants=variants), records, again)


@pytest.fixture(scope="session")
def hostile(shown: Shown) -> Shown:
    def name(method: str) -> str:
        base, at, rest = method.partition("@")
        return HOSTILE.get(base, base) + at + rest

    return renamed(shown, name)


def one_seed(shown: Shown) -> Shown:
    """As with one seed and too few clusters: no intervals, no letters, no ceiling."""

    def bare(row: Any) -> Any:
        scores = {n: Score(s.value, n=s.n) for n, s in row.scores.items() if (row.method, n) != ("retrain", "headline")}
        by_seed = {n: of[:1] for n, of in row.by_seed.items()}
        return dataclasses.replace(row, seeds=(0,), scores=scores, by_seed=by_seed, letters="", rank=None)

    rows, variants = (tuple(map(bare, of)) for of in (shown.table.rows, shown.table.variants))
    return shown._replace(table=dataclasses.replace(shown.table, seeds=(0,), rows=rows, variants=variants))


def tuned(methods: Iterable[str]) -> Tuning:
    """A tuning of methods of these names."""
    natures = list(made_trials.METHODS.values())
    trials = {method: made_trials.made(method, natures[n % 5], 5) for n, method in enumerate(methods)}
    return summarise(trials, "embedded", "tiny", TASK)


def rows_of(chart: Chart, *kinds: str) -> list[dict[str, Any]]:
    """The data of a figure, of these kinds."""
    assert chart.spec is not None, chart.text
    assert json.loads(json.dumps(chart.spec, allow_nan=False)) == chart.spec
    return [row for row in chart.spec["data"]["values"] if row["kind"] in kinds]


def walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf of a specification with the keys above it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, (*path, key))
    elif isinstance(node, list):
        for value in node:
            yield from walk(value, path)
    else:
        yield path, node
