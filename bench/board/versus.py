"""Two methods side by side, in words: the paired test on each number, and the items on which they differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.api import Metric, Score
from bench.board.items import leaves, questions
from bench.board.numbers import number
from bench.board.wording import Words, words
from bench.compare.analysis import HEADLINE, Rules, analyse, asked
from bench.compare.crossed import Crossed, Run
from bench.compare.findings import of_pair
from bench.compare.numbers import PARTS
from bench.errors import BenchError, UsageError
from bench.metrics._forms import Mean
from bench.registry import near
from bench.score.scoring import build
from bench.stats.jackknife import FEWEST
from bench.store import answers
from bench.store.record import RETRAIN, TARGET, Cell, Record

SHOWN = 10
SHOWN_BY = "task aggregate"


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
    for method in (a, b):
        if not any(row.method == method for row in (*table.rows, *table.variants)):
            reasons = "; ".join(sorted({why for cell, why in table.left_out if cell.method == method}))
            raise BenchError(f"{method} cannot be compared: {reasons}")
    headings = {role.replace(" ", "_"): name for role, name in table.headlines.items()}
    metric = headings.get(metric.replace(" ", "_"), metric)
    names = [metric] if metric else [HEADLINE, *table.headlines.values()]
    metrics = {name: build(name) for name in names if name not in PARTS}
    left_out = {cell for cell, _ in table.left_out}
    cells = {c: r for c, r in group.items() if c.method in (a, b, RETRAIN, TARGET) and c not in left_out}
    pair = of_pair(results, cells, asked(table, rules), a, b, names)
    if not pair.comparisons:
        why = (
            ""
            if _several_clusters(pair.crossed)
            else ", or their items come from fewer than three authors or documents"
        )
        raise BenchError(f"{a} and {b} cannot be compared: no seed in common on which both are scored{why}")
    seeds = next(iter(pair.comparisons.values())).seeds
    over = f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}: these runs only"
    lines = [f"{a} against {b} on {table.task}, model {table.model}, data {table.data}, {over}"]
    lines += ["Asked beforehand, so p is not corrected; the board corrects for all of its comparisons."]
    for name, comparison in pair.comparisons.items():
        lines += ["", *_lines(words(name, metrics.get(name), comparison, rules))]
        for method in (a, b):
            lines.append(f"  {method:24} {number(name, pair.scores[method].get(name, Score(None))._asdict())}")
    if lacking := [name.replace("_", " ") for name in names if name not in pair.comparisons]:
        lines += ["", f"Not compared, for want of a value or of three authors or documents: {', '.join(lacking)}"]
    by = metric if metric in pair.comparisons else table.headlines.get(SHOWN_BY, "")
    by = by if by in metrics and by in pair.comparisons else next((n for n in metrics if n in pair.comparisons), "")
    if not by:
        return "\n".join(lines)
    lines += [
        "",
        f"The {SHOWN} items on which they differ most, by {by.replace('_', ' ')}; answers of seed {seeds[0]}",
        "",
    ]
    lines += _items(results, group, pair.crossed, metrics[by], a, b, seeds)
    return "\n".join(lines)


def _several_clusters(crossed: Crossed) -> bool:
    return min(crossed.strata.clusters.values(), default=0) >= FEWEST


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


def _lines(words: Words) -> Iterator[str]:
    yield f"{words.number}: {words.said}"
    yield from (f"  {line}" for line in words[2:])


# -- items -----------------------------------------------------------------------------------------------------------


def most_different(crossed: Crossed, metric: Metric, a: str, b: str, seeds: Sequence[int], count: int) -> list[Item]:
    """Items by how far apart their values are, means over seeds; of a composite metric the values of its parts."""
    found = []
    for leaf in leaves(metric, next(iter(crossed.values.values()))):
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
    texts = {m: answers.said(results, records[one._replace(method=m, seed=seeds[0])]) or {} for m in (a, b)}
    if not texts[a]:
        yield "  (What the models said is not here: run the cells again to see it.)"
    asked_of = questions(one.task, one.data)
    for i, item in enumerate(most_different(crossed, metric, a, b, seeds, SHOWN), 1):
        yield f"{i:2}. {item.set}/{item.id}, {item.measure}: {item.a:.3f} against {item.b:.3f}"
        # Accuracy is judged on the paraphrased question where there is one; all else on the question itself.
        said = {method: texts[method].get((item.set, item.id), {}) for method in (a, b)}
        roles = sorted(said[a], key=lambda r: r.startswith("paraphrased"))
        if not roles:
            continue
        role = roles[-1] if item.column == "correct" else roles[0]
        shown = {"question": asked_of.get((item.set, item.id, role), ""), "reference": said[a][role][1]}
        shown |= {method: said[method].get(role, ("", ""))[0] for method in (a, b)}
        width = max(map(len, shown))
        yield from (f"    {name:{width}}  {_line(text)}" for name, text in shown.items() if text or name != "question")


def _line(text: str) -> str:
    """On one line, and not too long a one."""
    words = " ".join(text.split())
    return words if len(words) <= 160 else words[:157] + "..."
