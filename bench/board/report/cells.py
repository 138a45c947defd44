"""What the page shows of one cell when it is opened: its curves, its parameters, and its items, worst first."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.run.plan import prompts
from bench.store import files
from bench.store.record import RETRAIN, Cell, Record
from bench.store.rows import read_generations

SHOWN = 20
"""Items of each set that are kept, the worst ones."""
_JUDGED_BY = ("rouge", "regurgitation", "knowledge", "correct", "right")
Place = tuple[str, str]  # set, id
Said = Mapping[Place, Mapping[str, tuple[str, str]]]
"""By item, then role: what the model answered, and the reference."""


def as_script(slug: str, content: Mapping[str, Any]) -> str:
    """A script that hands `content` to the page. No text in it can end the script or be taken for markup."""
    text = json.dumps({"slug": slug, **content}, ensure_ascii=True, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"report.show({text});\n"


def describe(results: Path, records: Mapping[Cell, Record], cell: Cell, data: str) -> dict[str, Any]:
    """The content of one cell.

    Args:
        data: where the questions are read from: a directory, "hub", or "" for none but the embedded world's.
    """
    record = records[cell]
    of = partial(_answers, str(results), max((r.created for r in records.values()), default=""))
    items, note = _items(results, records, cell, questions(cell.task, cell.data, data), of)
    return {
        "cell": str(cell),
        "status": record.status,
        "error": record.error,
        "curve": {name: _finite(values) for name, values in record.curve.items()},
        "parameters": {
            name: f"{value}" + (f" ({record.overrides[name]})" if name in record.overrides else "")
            for name, value in record.parameters.items()
        },
        "cost": {name: f"{value}" for name, value in record.cost.items()},
        "made": f"{record.created}, commit {record.environment.get('commit') or 'unknown'}",
        "notes": list(record.notes),
        "sets": items,
        "note": note,
    }


@cache
def questions(task: str, world: str, data: str) -> Mapping[tuple[str, str, str], str]:
    """The prompts of a task by set, id and role; none where the data cannot be had."""
    source = "embedded" if world == "embedded" else data
    try:
        return prompts(task, source) if source else {}
    except BenchError:
        return {}


@cache
def _answers(results: str, _version: str, measure_key: str) -> Said | None:
    try:
        return read_generations(files.rows_path(Path(results), measure_key))
    except BenchError:
        return None


def _items(
    results: Path,
    records: Mapping[Cell, Record],
    cell: Cell,
    asked: Mapping[tuple[str, str, str], str],
    answers: Callable[[str], Said | None],
) -> tuple[list[dict[str, Any]], str]:
    """The worst items of each set, and what there is to say of them."""
    record = records[cell]
    if record.status != "ok":
        return [], "A cell without scores has no items."
    try:
        table = files.items(results, cell)
    except BenchError as error:
        return [], str(error)
    others = {name: records.get(cell._replace(method=name)) for name in ("target", RETRAIN)}
    sides = {name: answers(r.keys["measure"]) if r else None for name, r in {"method": record, **others}.items()}
    note = "" if sides["method"] else (
        "What the models said is not here: rows are kept out of version control. Run the cell again to have it."
    )  # fmt: skip
    sets = []
    for name, group in table.groupby("set", sort=False):
        column, worst = worst_first(str(name), group)
        if column:
            sets.append({"set": str(name), "by": column, "items": [_item(line, sides, asked) for line in worst]})
    return sets, note


def worst_first(name: str, items: pd.DataFrame) -> tuple[str, list[Mapping[str, Any]]]:
    """The column that the items of a set are judged by, and the worst of them.

    What a forget set still shows is bad, what any other set has lost is. Without an answer to judge it is the loss:
    the probability exp(-loss) stands for it.
    """
    known = [column for column in (*_JUDGED_BY, "loss") if column in items and items[column].notna().any()]
    if not known:
        return "", []
    column = known[0]
    values = items[column].to_numpy(dtype=float)
    values = np.exp(-values) if column == "loss" else values
    better = values if not name.startswith(("forget", "member")) else -values
    order = np.argsort(np.where(np.isnan(better), np.inf, better), kind="stable")[:SHOWN]
    shown = items.iloc[order].assign(value=values[order])
    return "probability" if column == "loss" else column, shown.to_dict("records")  # type: ignore[return-value]


def _item(
    line: Mapping[str, Any], sides: Mapping[str, Said | None], asked: Mapping[tuple[str, str, str], str]
) -> dict[str, Any]:
    place = str(line["set"]), str(line["id"])
    own = (sides["method"] or {}).get(place, {})
    answers = [
        {
            "role": role,
            "question": asked.get((*place, role), ""),
            "reference": reference,
            **{name: (said or {}).get(place, {}).get(role, (None, None))[0] for name, said in sides.items()},
        }
        for role, (_, reference) in own.items()
    ]
    value = float(line["value"])
    return {"id": place[1], "value": None if math.isnan(value) else round(value, 4), "answers": answers}


def _finite(values: list[float]) -> list[float | None]:
    return [v if v is not None and math.isfinite(v) else None for v in values]
