"""Two methods side by side, in words: the paired test on each metric, and the items on which they differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.api import Metric
from bench.board.leaderboard import number
from bench.compare.analysis import RANKED_BY, Comparison, Rules, Table, analyse
from bench.compare.comparing import compare_all
from bench.compare.crossed import Crossed, Run, load
from bench.errors import BenchError, UsageError
from bench.metrics._forms import Composite, Mean, RetrainTest
from bench.registry import near
from bench.score.scoring import build
from bench.store import files
from bench.store.record import RETRAIN, Cell, Record
from bench.store.rows import read_generations

SHOWN = 10


class Item(NamedTuple):
    """An item of which two methods have different values, means over the seeds that both have."""

    set: str
    id: str
    measure: str
    column: str
    a: float
    b: float


def versus(
    results: Path,
    records: Mapping[Cell, Record],
    a: str,
    b: str,
    where: Mapping[str, str],
    metric: str,
    rules: Rules,
) -> str:
    """What the tests say of `a` and `b` on one metric, or on all headline metrics, and where they differ most.

    Args:
        where: task, and model and data where these are given.

    Raises:
        UsageError: a method that has no cells there, more than one model or data to choose from, no such metric.
        BenchError: their cells cannot stand in a table, or have no seed in common.
    """
    if a == b:
        raise UsageError(f"'{a}' is compared with itself. Name two methods.")
    group = _group(records, a, b, where)
    (table,) = analyse(results, group, rules)
    rows = {row.method: row for row in (*table.rows, *table.variants)}
    for method in (a, b):
        if method not in rows:
            reasons = "; ".join(sorted({why for cell, why in table.left_out if cell.method == method}))
            raise BenchError(f"{method} cannot be compared: {reasons}")
    headings = {role.replace(" ", "_"): name for role, name in table.headlines.items()}
    metric = headings.get(metric.replace(" ", "_"), metric)
    names = [metric] if metric else list(table.headlines.values())
    metrics = {name: build(name) for name in names}
    left_out = {cell for cell, _ in table.left_out}
    cells = [cell for cell in group if cell.method in (a, b, RETRAIN) and cell not in left_out]
    crossed = load(results, sorted(cells, key=lambda c: (c.method != RETRAIN, c.method, c.seed))).crossed
    compared = _comparisons(table, crossed, metrics, a, b, rules)
    if not compared:
        raise BenchError(f"{a} and {b} have no seed in common on which both are scored for {', '.join(names)}")
    lines = [f"{a} against {b} on {table.task}, model {table.model}, data {table.data}"]
    for name, comparison in compared.items():
        lines += ["", *_words(name, metrics[name], comparison, table, len(compared), rules)]
        for method in (a, b):
            lines.append(f"  {method:24} {number(name, rows[method].scores[name]._asdict())}")
    by = metric if metric in compared else table.headlines.get(RANKED_BY, "")
    by = by if by in compared else next(iter(compared))
    seed = compared[by].seeds[0]
    lines += ["", f"The {SHOWN} items on which they differ most, by {by.replace('_', ' ')}; answers of seed {seed}", ""]
    lines += _items(results, group, crossed, metrics[by], a, b, compared[by].seeds)
    return "\n".join(lines)


def _group(records: Mapping[Cell, Record], a: str, b: str, where: Mapping[str, str]) -> dict[Cell, Record]:
    """The records of the one table that the words name."""
    fits = {cell: r for cell, r in records.items() if all(getattr(cell, k) == v for k, v in where.items() if v)}
    asked = ", ".join(f"{k} {v}" for k, v in where.items() if v)
    if not fits:
        has = {k: sorted({getattr(cell, k) for cell in records}) for k in where}
        if hint := near([v for k, v in where.items() if v and v not in has[k]], [v for k in where for v in has[k]]):
            raise UsageError(f"no cell on {asked}. {hint}")
        known = ", ".join(f"{k} {v}" for k in where for v in has[k]) or "none"
        raise UsageError(f"no cell on {asked}. There are cells of: {known}")
    for method in (a, b):
        if not any(cell.method == method for cell in fits):
            there = sorted({cell.method for cell in fits})
            hint = near([method], there) or f"There are: {', '.join(there)}"
            raise UsageError(f"no cell of '{method}' on {asked}. {hint}")
    places = [
        (data, model)
        for data, model in sorted({(cell.data, cell.model) for cell in fits})
        if {a, b} <= {cell.method for cell in fits if (cell.data, cell.model) == (data, model)}
    ]
    if len(places) != 1:
        listed = "; ".join(f"--data {data} --model {model}" for data, model in places) or "no place has both"
        raise UsageError(f"'{a}' and '{b}' on {asked} fit {len(places)} tables. Name one of: {listed}")
    return {cell: record for cell, record in fits.items() if (cell.data, cell.model) == places[0]}


def _comparisons(
    table: Table, crossed: Crossed, metrics: dict[str, Metric], a: str, b: str, rules: Rules
) -> dict[str, Comparison]:
    """By metric: as the table has them, corrected for all of it; else made now, corrected for each other."""
    known = {c.metric: c for c in table.comparisons if (c.a, c.b) == (a, b)}
    known |= {c.metric: _turned(c) for c in table.comparisons if (c.a, c.b) == (b, a)}
    if known and metrics.keys() <= set(table.headlines.values()):
        return {name: known[name] for name in metrics if name in known}
    return {c.metric: c for c in compare_all(crossed, metrics, [(a, b)], rules.margin, rules.alpha)}


def _turned(c: Comparison) -> Comparison:
    return c._replace(a=c.b, b=c.a, difference=-c.difference, lo=-c.hi, hi=-c.lo)


def _words(name: str, metric: Metric, c: Comparison, table: Table, shown: int, rules: Rules) -> Iterator[str]:
    what = "KS distance to the retrain model" if isinstance(metric, RetrainTest) else name.replace("_", " ")
    goal = "minimise" if isinstance(metric, RetrainTest) else metric.goal
    if not c.significant(rules.alpha):
        said = "no difference is shown"
        if c.p_holm < rules.alpha:
            said += ": these runs differ, but the interval, which knows of other seeds, holds 0"
    elif goal == "match":
        said = f"{c.a} is {'higher' if c.difference > 0 else 'lower'}; which is better depends on the retrain model's"
    else:
        said = f"{c.a if (c.difference > 0) == (goal == 'maximise') else c.b} is better"
    family = len(table.comparisons) if c in table.comparisons or _turned(c) in table.comparisons else shown
    seeds = ", ".join(map(str, c.seeds))
    yield f"{name.replace('_', ' ')}: {said}"
    over = f"over seeds {seeds}" if len(c.seeds) > 1 else f"over seed {seeds} (the variance between seeds is unknown)"
    yield f"  difference in {what}: {c.difference:+.3f} [{c.lo:+.3f}, {c.hi:+.3f}], {over}"
    yield f"  {c.test}, n = {c.n}: p = {c.p:.2g}, corrected for {family} comparisons {c.p_holm:.2g}"
    if c.equivalent is not None:
        verdict = "shown" if c.equivalent < rules.alpha else "not shown"
        yield f"  within {rules.margin:g} of each other: TOST p = {c.equivalent:.2g}, {verdict}"


# -- items -----------------------------------------------------------------------------------------------------------


def most_different(crossed: Crossed, metric: Metric, a: str, b: str, seeds: Sequence[int], count: int) -> list[Item]:
    """Items by how far apart their values are, means over seeds; of a composite metric the values of its parts."""
    found = []
    for leaf in _leaves(metric, crossed):
        set_, column = leaf.needs[0]

        def values(method: str, leaf: Metric = leaf, need: tuple[str, str] = (set_, column)) -> np.ndarray:
            of = [crossed.values[Run(method, seed)][need] for seed in seeds]
            return np.mean([leaf.value(v) if isinstance(leaf, Mean) else v for v in of], axis=0)

        one, other = values(a), values(b)
        measure = (leaf.title if isinstance(leaf, Mean) else column).replace("_", " ")
        found += [
            Item(set_, id_, measure, column, float(x), float(y))
            for id_, x, y in zip(crossed.ids[set_], one, other, strict=True)
            if not np.isnan(x - y)
        ]
    return sorted(found, key=lambda item: (-abs(item.a - item.b), item.set, item.id))[:count]


def _leaves(metric: Metric, crossed: Crossed) -> Iterator[Metric]:
    """The metrics of single columns that a metric is made of."""
    if not isinstance(metric, Composite):
        yield metric
        return
    sample = next(iter(crossed.values.values()))
    for part in metric.made_of(sample):
        yield from _leaves(part, crossed)


def _items(
    results: Path,
    records: Mapping[Cell, Record],
    crossed: Crossed,
    metric: Metric,
    a: str,
    b: str,
    seeds: Sequence[int],
) -> Iterator[str]:
    one = next(cell for cell in records if cell.method == a)
    texts = {m: _answers(results, records[one._replace(method=m, seed=seeds[0])]) for m in (a, b)}
    if not texts[a]:
        yield "  (What the models said is in results/rows, which is not committed: run the cells again to see it here.)"
    questions = _questions(one)
    for i, item in enumerate(most_different(crossed, metric, a, b, seeds, SHOWN), 1):
        yield f"{i:2}. {item.set}/{item.id}, {item.measure}: {item.a:.3f} against {item.b:.3f}"
        # Accuracy is judged on the paraphrased question where there is one; all else on the question itself.
        said = {method: texts[method].get((item.set, item.id), {}) for method in (a, b)}
        roles = sorted(said[a], key=lambda r: r.startswith("paraphrased"))
        if not roles:
            continue
        role = roles[-1] if item.column == "correct" else roles[0]
        shown = {"question": questions.get((item.set, item.id, role), ""), "reference": said[a][role][1]}
        shown |= {method: said[method].get(role, ("", ""))[0] for method in (a, b)}
        width = max(map(len, shown))
        yield from (f"    {name:{width}}  {_line(text)}" for name, text in shown.items() if text or name != "question")


def _answers(results: Path, record: Record) -> dict[tuple[str, str], dict[str, tuple[str, str]]]:
    """Answer and reference by (set, id), then role; empty where the rows are not here."""
    path = files.rows_path(results, record.keys.get("measure", ""))
    return read_generations(path) if path.is_file() else {}


def _questions(cell: Cell) -> dict[tuple[str, str, str], str]:
    """What was asked, by (set, id, role), where the data is known by its name alone."""
    if cell.data != "embedded":
        return {}
    from bench.run.plan import prompts

    try:
        return prompts(cell.task, cell.data)
    except UsageError:
        return {}


def _line(text: str) -> str:
    """On one line, and not too long a one."""
    words = " ".join(text.split())
    return words if len(words) <= 160 else words[:157] + "..."
