"""Is a record true? Its cell is made once more, from nothing, and the scores are held against those that it has."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bench.api import Score
from bench.errors import BenchError
from bench.run.grid import run
from bench.run.plan import Planned, Request, plan
from bench.run.remade import completed
from bench.run.state import why_stale
from bench.store.record import ELSEWHERE, Record

MADE_WITH = ("torch", "transformers", "machine", "device", "threads")
"""What of a record's environment numbers may depend on."""


class Verdict(NamedTuple):
    """What came of repeating a cell.

    Attributes:
        worst: the largest difference of a score or of an end of its interval; inf where one has no number or the other
            ended otherwise, NaN of a cell that was not repeated.
        where: of which score.
        why: why it was not repeated, or in what it ended otherwise.
    """

    worst: float
    where: str = ""
    why: str = ""


def verify(request: Request, record: Record, workers: int, say: Callable[[str], None]) -> tuple[Verdict, Record | None]:
    """Repeat a record's cell, with target and retrain of its seed, and compare.

    Args:
        request: its `results` get the cells that are made, its `cache` the models; `model`, `retrains` and `source` are
            given where the record can only name them by a label.

    Returns:
        What came of it, and the new record where there is one.

    Raises:
        UsageError: the model or the data has to be named.
    """
    cell = record.cell
    if cell.data == ELSEWHERE:
        return Verdict(math.nan, why="it was measured elsewhere"), None
    asked = tuple(record.identity.get("probes asked for", ()))
    request = dataclasses.replace(completed(request, record), probes=asked)
    try:
        cells = plan(request, [cell.method], [cell.task], [cell.seed])
    except BenchError as error:
        return Verdict(math.nan, why=str(error)), None
    planned = next(c for c in cells if c.cell.method == cell.method)
    if changed := _changed(planned, record):
        return Verdict(math.nan, why=f"today's code or data makes another cell ({changed})"), None
    made = {r.cell: r for r in run(request, cells, workers, False, say)}
    again = made.get(planned.cell) or _found(request, planned)
    if again is None:
        return Verdict(math.nan, why="it could not be made; the lines above say why"), None
    return compared(record, again), again


def _changed(planned: Planned, record: Record) -> str:
    """What is otherwise today, of what a cell is made from; what only its comparison with retrain rests on is not."""
    if all(planned.keys[name] == record.keys.get(name) for name in ("train", "measure")):
        return ""
    return why_stale(record, planned.identity)


def _found(request: Request, planned: Planned) -> Record | None:
    from bench.store import files

    return files.find(request.results, planned.cell)


def compared(record: Record, again: Record) -> Verdict:
    """The largest difference between two records' scores."""
    if record.status != again.status:
        return Verdict(math.inf, why=f"{record.status} then, {again.status} now: {again.error.strip()[-200:]}")
    apart = {name: _apart(score, again.scores.get(name)) for name, score in record.scores.items()}
    if not apart:
        return Verdict(0.0)
    where = max(apart, key=lambda name: apart[name])
    return Verdict(apart[where], where)


def _apart(one: Score, other: Score | None) -> float:
    if other is None:
        return math.inf
    return max(_between(a, b) for a, b in zip(one[:3], other[:3], strict=True))


def _between(a: Any, b: Any) -> float:
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    return abs(float(a) - float(b)) if a != b else 0.0


def otherwise(record: Record, again: Record) -> Mapping[str, tuple[Any, Any]]:
    """What of machine and libraries was otherwise then: name -> (then, now)."""
    then, now = record.environment, again.environment
    return {name: (then.get(name), now.get(name)) for name in MADE_WITH if then.get(name) != now.get(name)}
