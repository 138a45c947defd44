"""What a model said, beside its record and small enough to be kept with it. No torch.

Rows hold every token of every probe and are kept out of version control; the answers are a hundredth of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import BenchError
from bench.store import files
from bench.store.record import Cell, Record
from bench.store.rows import by_item, read_generations

Said = Mapping[tuple[str, str], Mapping[str, tuple[str, str]]]
"""By set and id, then by role: what a model answered, and the reference."""
_COLUMNS = ("set", "id", "role", "reference", "generation", "finished")
_MEASURED = b"bench.answers.measure"


def path(results: Path, cell: Cell) -> Path:
    """Where the answers of a cell lie."""
    return files.record_path(results, cell).with_suffix(".answers.parquet")


def save(results: Path, record: Record, generations: pd.DataFrame) -> None:
    """Write the answers of a record's measurement, whole or not at all; none are written where none were given.

    Args:
        generations: set, id, role, reference, generation, finished, as `Rows` has them.
    """
    place = path(results, record.cell)
    if generations.empty:
        place.unlink(missing_ok=True)
        return
    table = pa.Table.from_pandas(generations[list(_COLUMNS)].reset_index(drop=True), preserve_index=False)
    table = table.replace_schema_metadata({_MEASURED: record.keys["measure"]})
    with files.atomically(place) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=19, write_page_checksum=True)


def said(results: Path, record: Record) -> Said | None:
    """What the model of a record answered, from its own file or from the rows; None where neither is here.

    Answers of another measurement than the record's are passed over.
    """
    place, measured = path(results, record.cell), record.keys.get("measure", "")
    rows = files.rows_path(results, measured)
    try:
        if place.is_file():
            table = pq.read_table(place, page_checksum_verification=True, use_threads=False)
            if (table.schema.metadata or {}).get(_MEASURED, b"").decode() == measured:
                return by_item(table)
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException):
        pass  # the rows have the same
    try:
        return read_generations(rows) if rows.is_file() else None
    except BenchError:
        return None
