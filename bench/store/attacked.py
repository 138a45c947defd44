"""What attacks found of one cell: one file beside its record, a line a point. No torch.

results/<data>/<model>/<task>/<method>.seed<k>.attacks.parquet
    attack, form, line, setting, step, known [N], kept [M]      values in the order of the items
    its metadata: the items, and of each attack its key, what it cost, and how it ended
    values are float16, which is exact to a two-thousandth of each

Each attack has a key of its own, so a finished cell gains one without being made or measured anew.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import BenchError
from bench.reading import json_of
from bench.store import files
from bench.store.record import Cell

SCHEMA = 1
PLAIN = "plain"
"""The attack that is none; every run of others has it."""
_ABOUT = b"bench.attacks"
DELIVERED, BARE = "as delivered", "hooks off"
"""Which model was attacked: the method's, or its weights without what is attached to them."""


class Point(NamedTuple):
    """One reading, with the model that it is of."""

    attack: str
    form: str  # DELIVERED or BARE
    line: str
    setting: str
    step: float
    known: np.ndarray  # [N], NaN is not scored
    kept: np.ndarray  # [M]; empty where nothing was read


@dataclass(frozen=True)
class Attacked:
    """The attacks of a cell.

    Attributes:
        items: id and cluster of each forget item [N]. kept: of each retain item [M].
        done: by attack: `key`, `model` (the cell's train key), `how` (a digest of version and parameters), `about` (the
            attack's own attributes), `seconds`, `error` ("" if it went well), `notes`.
    """

    items: tuple[tuple[str, str], ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    points: tuple[Point, ...] = ()
    done: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def has(self, attack: str, key: str) -> bool:
        """Whether it was carried out with that key, whatever came of it but a failure."""
        return self.done.get(attack, {}).get("key") == key and not self.done[attack]["error"]

    def with_attack(self, name: str, about: Mapping[str, Any], points: tuple[Point, ...]) -> Attacked:
        """The same with another attack, in the place of an earlier one of its name."""
        others = tuple(point for point in self.points if point.attack != name)
        return dataclasses.replace(self, points=others + points, done={**self.done, name: dict(about)})


def path(results: Path, cell: Cell) -> Path:
    """Where the attacks of a cell lie."""
    return files.record_path(results, cell).with_suffix(".attacks.parquet")


def save(results: Path, cell: Cell, found: Attacked) -> None:
    """Write them, whole or not at all."""
    told = {"schema": SCHEMA, "items": found.items, "kept": found.kept, "done": found.done}
    columns: dict[str, Any] = {
        name: pa.array([getattr(point, name) for point in found.points]).dictionary_encode()
        for name in ("attack", "form", "line", "setting")
    }
    columns["step"] = pa.array([point.step for point in found.points], pa.float64())
    for name in ("known", "kept"):
        values = [np.asarray(getattr(point, name), dtype=np.float16) for point in found.points]
        columns[name] = pa.array(values, pa.list_(pa.float16()))
    table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(told, ensure_ascii=False)})
    with files.atomically(path(results, cell)) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=19, write_page_checksum=True)


def read(results: Path, cell: Cell) -> Attacked:
    """The attacks of a cell; none where there is no file.

    Raises:
        BenchError: a file that cannot be read.
    """
    place = path(results, cell)
    if not place.is_file():
        return Attacked()
    try:
        table = pq.read_table(place, page_checksum_verification=True, use_threads=False)
        told = json_of((table.schema.metadata or {})[_ABOUT])
        if not isinstance(told["done"], dict) or not all(map(_is_told, told["done"].values())):
            raise ValueError("it does not say how the attacks ended")
        if told["schema"] > SCHEMA:
            raise BenchError(f"{place} has schema {told['schema']}, this program reads up to {SCHEMA}. Update it.")
        words = [table[name].to_pylist() for name in ("attack", "form", "line", "setting", "step")]
        numbers = [_lists(table[name]) for name in ("known", "kept")]
        points = tuple(Point(*of) for of in zip(*words, *numbers, strict=True))
        items, kept = (tuple((name, cluster) for name, cluster in told[of]) for of in ("items", "kept"))
        if not all(isinstance(name, str) for pair in (*items, *kept) for name in pair):
            raise ValueError("ids or clusters of its items are no texts")
        if not all(isinstance(word, str) for point in points for word in point[:4]):
            raise ValueError("an attack or a setting has no name")
        if not all(isinstance(point.step, float) and math.isfinite(point.step) for point in points):
            raise ValueError("a step is no number")
        if any((p.attack, p.line) == (PLAIN, "") and (p.setting, p.step) != ("", 0.0) for p in points):
            raise ValueError("plain questions are asked at no step and with no setting")
        if any(len(p.known) != len(items) or len(p.kept) not in (0, len(kept)) for p in points):
            raise ValueError("a point has not as many values as there are items")
        return Attacked(items, kept, points, told["done"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, pa.ArrowException) as error:
        raise BenchError(f"{place} cannot be read: {error}. Remove it and run the attacks again.") from None


def _is_told(about: Any) -> bool:
    """Whether it says of an attack what is asked of it everywhere; see `Attacked.done`."""
    if not isinstance(about, dict) or not all(isinstance(about.get(n), k) for n, k in _TOLD.items()):
        return False
    said = about["about"]
    if not said and about["error"]:
        return True
    at, words = said.get("at", ""), [said.get(name, []) for name in ("controls", "no_before")]
    return (
        all(isinstance(said.get(name), kind) for name, kind in _SAID.items())
        and isinstance(said.get("injects_by", {}), dict)
        and isinstance(said.get("doc", ""), str)
        and (at is None or type(at) in (int, float))
        and all(isinstance(of, list) and all(isinstance(word, str) for word in of) for of in words)
    )


_TOLD: Mapping[str, type] = {"key": str, "about": dict, "error": str}
_SAID: Mapping[str, type] = {**dict.fromkeys(("needs", "injects", "axis"), str), "from_plain": bool, "controls": list}
"""What is told of every attack, and what every attack says of itself."""


def _lists(column: pa.ChunkedArray) -> list[np.ndarray]:
    lists = column.combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(float)
    return np.split(flat, np.cumsum(lists.value_lengths().to_numpy())[:-1]) if len(lists) else []


def every(results: Path, cells: Mapping[Cell, Any], complain: Callable[[str], None]) -> dict[Cell, Attacked]:
    """The attacks of those cells that have any; a file that cannot be read is complained of."""
    found: dict[Cell, Attacked] = {}
    for cell in cells:
        try:
            of = read(results, cell)
        except BenchError as error:
            complain(str(error))
            continue
        if of.done:
            found[cell] = of
    return found
