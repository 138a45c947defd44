"""A results directory as one tidy pandas table, for notebooks. No torch.

Every row begins with its cell: `task`, `method`, `model`, `data`, `seed`, `status`. Then

- of scores: `score` (its name), `value`, `lo`, `hi` (its 95% interval), `n` (items), `note`. A cell without
  scores, failed or diverged, is one row without a score whose `note` is the error;
- of items: `set`, `id`, `cluster` and one column a statistic. Tables are wide because statistics are computed with
  one another; what a cell did not measure is NaN.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import BenchError
from bench.store import files
from bench.store.record import Cell, Record

CELL = [*Cell._fields, "status"]
SCORES = [*CELL, "score", "value", "lo", "hi", "n", "note"]
ITEMS = [*CELL, "set", "id", "cluster"]


def load(results: Path, items: bool = False) -> pd.DataFrame:
    """A row a cell and score, or a cell and item; cells in the order of their fields.

    Raises:
        BenchError: there is no such directory.

    Warns:
        UserWarning: files that could not be read were left out; it counts and names them.
    """
    problems: list[str] = []
    found = files.records(results, problems.append)
    records = [found[cell] for cell in sorted(found)]
    table = _items(results, records, problems) if items else _scores(records)
    if problems:
        warnings.warn("\n".join([files.count(len(problems)), *problems]), stacklevel=3)
    return table


def _scores(records: list[Record]) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for record in records:
        cell = (*record.cell, record.status)
        rows += [(*cell, name, *score) for name, score in record.scores.items()]
        if not record.scores:
            rows.append((*cell, None, None, None, None, 0, record.error))
    kinds = {"seed": int, "n": int, "value": float, "lo": float, "hi": float}
    return pd.DataFrame(rows, columns=SCORES).astype(kinds)


def _items(results: Path, records: list[Record], problems: list[str]) -> pd.DataFrame:
    tables = []
    for record in records:
        if record.status != "ok":
            continue
        try:
            table = files.items(results, record.cell)
        except BenchError as error:
            problems.append(str(error))
            continue
        tables.append(table.assign(**record.cell._asdict(), status=record.status))
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=ITEMS)
    return whole[[*ITEMS, *whole.columns.difference(ITEMS, sort=False)]]
