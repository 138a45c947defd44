"""Two results directories made one, such as those of machines that share no disk: all of both, or nothing.

What both have has to be the same. A cell contradicts where it was made from something else, or scored otherwise; a
retrain cell of the same seed that was made on another machine does so too, for two machines differ like two seeds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.store import answers, attacked, files, trials
from bench.store.attacked import Attacked
from bench.store.record import RETRAIN, Cell, Record
from bench.store.trials import Trial

NAMED = 3
"""Ingredients in which two cells differ that are named one by one."""


@dataclass
class Merge:
    """What becomes of what `other` has.

    Attributes:
        taken: cells that are copied, those among them in place of one that had failed.
        same: how many cells both have.
        attacks: of each cell all attacks that there will be.
        tried: of each file of trials, relative to a results directory, the trials that are added.
        rows: files of rows, relative, that are copied.
        contradictions: what both have otherwise, a line each.
    """

    taken: list[Cell] = field(default_factory=list)
    same: int = 0
    attacks: dict[Cell, Attacked] = field(default_factory=dict)
    tried: dict[Path, list[Trial]] = field(default_factory=dict)
    rows: list[Path] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)


def compared(into: Path, other: Path) -> Merge:
    """What is to be done to have all of `other` in `into`; nothing is written.

    Raises:
        BenchError: a record, a table or a trial of either that cannot be read.
    """
    ours, theirs = _records(into), _records(other)
    merge = Merge()
    for cell, record in theirs.items():
        own = ours.get(cell)
        if own is None or (own.status == "failed" and record.status != "failed"):
            merge.taken.append(cell)
        elif record.status == "failed" or not (why := _otherwise(own, record)):
            merge.same += 1
        else:
            merge.contradictions.append(f"{cell}: {why}")
    for cell in merge.taken:
        retrain = cell._replace(method=RETRAIN)
        beside = ours.get(retrain)
        against = theirs[cell].identity.get("retrain")
        if beside and against not in (None, "itself", beside.keys.get("measure")) and retrain not in merge.taken:
            merge.contradictions.append(f"{cell}: scored against another retrain model than the one in {into}")
    for cell in theirs:
        _add_attacks(merge, into, other, cell)
    for file in sorted((other / trials.FOLDER).rglob("*.jsonl")) if (other / trials.FOLDER).is_dir() else ():
        _add_trials(merge, into, other, file.relative_to(other))
    merge.rows = [f.relative_to(other) for f in _rows(other) if not (into / f.relative_to(other)).exists()]
    return merge


def carry_out(merge: Merge, into: Path, other: Path) -> None:
    """Copy what is missing, of each cell the record last.

    Raises:
        BenchError: there are contradictions, or it cannot be written.
    """
    if merge.contradictions:
        raise BenchError(f"{len(merge.contradictions)} contradictions between {into} and {other}. Nothing was copied.")
    for name in merge.rows:
        _copy(other / name, into / name)
    for cell in merge.taken:
        record = files.record_path(into, cell)
        sides = (files.items_path, answers.path, attacked.path)
        for source, to in ((side(other, cell), side(into, cell)) for side in sides):
            if source.is_file():
                _copy(source, to)
            else:
                to.unlink(missing_ok=True)
        _copy(files.record_path(other, cell), record)
    for cell, found in merge.attacks.items():
        attacked.save(into, cell, found)
    for name, more in merge.tried.items():
        for trial in more:
            trials.append(into / name, trial)


def _records(results: Path) -> Mapping[Cell, Record]:
    problems: list[str] = []
    found = files.records(results, problems.append)
    if problems:
        raise BenchError(f"{problems[0]} Nothing was copied.")
    return found


def _otherwise(own: Record, record: Record) -> str:
    """In what two records of one cell differ; "" if they say the same."""
    if own.keys != record.keys:
        names = {**own.identity, **record.identity}
        odd = [name for name in names if own.identity.get(name) != record.identity.get(name)]
        said = ", ".join(odd[:NAMED]) + (f" and {len(odd) - NAMED} more" if len(odd) > NAMED else "")
        return f"made from something else ({said or 'its keys differ'})"
    if own.status != record.status:
        return f"{own.status} in the one, {record.status} in the other"
    odd = [name for name in {**own.scores, **record.scores} if own.scores.get(name) != record.scores.get(name)]
    if odd:
        values = [None if (s := of.scores.get(odd[0])) is None else s.value for of in (own, record)]
        return f"{odd[0]} is {values[0]} in the one and {values[1]} in the other, as of two machines"
    return ""


def _add_attacks(merge: Merge, into: Path, other: Path, cell: Cell) -> None:
    """The attacks that `other` has more of a cell that both have."""
    if cell in merge.taken or not attacked.path(other, cell).is_file():
        return
    ours, theirs = attacked.read(into, cell), attacked.read(other, cell)
    found = ours
    for name, about in theirs.done.items():
        if name in ours.done and not ours.done[name]["error"]:
            if ours.has(name, about["key"]) and _readings(ours, name) != _readings(theirs, name):
                merge.contradictions.append(f"attacks on {cell}: {name} found something else")
            continue
        if ours.done and (ours.items, ours.kept) != (theirs.items, theirs.kept):
            merge.contradictions.append(f"attacks on {cell}: of other items")
            return
        found = found if found.done else Attacked(theirs.items, theirs.kept)
        found = found.with_attack(name, about, tuple(p for p in theirs.points if p.attack == name))
    if found is not ours:
        merge.attacks[cell] = found


def _readings(found: Attacked, name: str) -> list[object]:
    of = (point for point in found.points if point.attack == name)
    return [(*p[:5], np.float16(p.known).tobytes(), np.float16(p.kept).tobytes()) for p in of]


def _add_trials(merge: Merge, into: Path, other: Path, name: Path) -> None:
    ours, theirs = trials.read(into / name), trials.read(other / name)
    more: list[Trial] = []
    for trial in theirs:
        own = next((t for t in ours if trials.same_run(t, trial)), None)
        if own is None:
            more.append(trial)
        elif (own.status, own.points) != (trial.status, trial.points):
            merge.contradictions.append(
                f"{name}: trial {trial.number} of {trial.data}, seed {trial.seed}, ended otherwise"
            )
    if more:
        merge.tried[name] = more


def _rows(results: Path) -> Iterator[Path]:
    folder = results / "rows"
    yield from sorted(f for f in folder.glob("*") if f.suffix in (".parquet", ".json")) if folder.is_dir() else ()


def _copy(source: Path, to: Path) -> None:
    with files.atomically(to) as temporary:
        shutil.copyfile(source, temporary)


def listed(lines: Sequence[str], most: int = 20) -> str:
    """The first lines, and how many more there are."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join([*lines[:most], *more])
