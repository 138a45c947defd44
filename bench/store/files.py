"""The files of a results directory.

results/<data>/<model>/<task>/<method>.seed<k>.json        the record of a cell
results/<data>/<model>/<task>/<method>.seed<k>.parquet     its item table: one line an item, one column a statistic
results/<data>/<model>/<task>/<method>.seed<k>.answers.parquet    what the model said (`answers.py`)
results/rows/<measure key>.parquet                         everything that was measured (large; not for git)
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import BenchError, UsageError
from bench.names import unfit
from bench.store.record import NO_RECORDS, Cell, Record, from_json, misplaced, slugs, to_json

_PARQUET = b"PAR1"  # how a Parquet file begins and ends


def record_path(results: Path, cell: Cell) -> Path:
    """Where the record of a cell lies.

    Raises:
        UsageError: a name of the cell that no file can have, or that would lead out of the directory.
    """
    if why := misplaced(cell):
        raise UsageError(f"{str(cell)[:200]!a} has no place in {results}: {why}. Take another name.")
    *folders, name = slugs(cell).values()
    return results.joinpath(*folders, f"{name}.json")


def items_path(results: Path, cell: Cell) -> Path:
    """Where the item table of a cell lies."""
    return record_path(results, cell).with_suffix(".parquet")


def rows_path(results: Path, measure_key: str) -> Path:
    """Where the rows of a measurement lie; raises `UsageError` for what is no name of a file."""
    if measure_key and (why := unfit(measure_key)):
        raise UsageError(f"no rows in {results} are called {measure_key[:80]!a}: {why}.")
    return results / "rows" / f"{measure_key}.parquet"


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not.

    The file is on disk before it is renamed, so that a crash leaves the old one or the whole new one.

    Raises:
        BenchError: the place cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        remedy = "Free some space" if error.errno == errno.ENOSPC else "Name a place that you may write"
        why = in_the_way(path.parent) or (f"{path} is a directory" if path.is_dir() else error.strerror or error)
        raise BenchError(f"cannot write {path}: {why}. {remedy}, such as --results DIR.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, and vanishes when it does not.

    Raises:
        UsageError: there is something at that place already.
        BenchError: the place cannot be written.
    """
    refuse_taken(folder)
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        yield temporary
        temporary.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise BenchError(f"cannot write {folder}: {in_the_way(folder.parent) or error.strerror or error}.") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_taken(folder: Path) -> None:
    """Raise `UsageError` unless there is nothing at that place, or an empty folder."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        what = "a file" if folder.is_file() else "a folder that is not empty"
        raise UsageError(f"{folder} is {what}, and nothing is overwritten. Name another place, or move it away.")


def in_the_way(folder: Path) -> str:
    """Which file stands where a directory is wanted, in words; "" if none does."""
    blocking = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    return f"{blocking} is a file, not a directory: move it away" if blocking.is_file() else ""


def save(results: Path, record: Record, items: pd.DataFrame | None) -> Path:
    """Write a cell's item table, then its record, so that a record never stands without its items.

    Raises:
        UsageError: another cell's record has that place.
        BenchError: it cannot be written.
    """
    path = record_path(results, record.cell)
    try:
        find(results, record.cell)
    except UsageError:
        raise
    except BenchError:
        pass  # it is replaced
    table = items_path(results, record.cell)
    if items is not None:
        with atomically(table) as temporary:
            items.to_parquet(temporary, compression="zstd", index=False, write_page_checksum=True)
    with atomically(path) as temporary:
        temporary.write_text(to_json(record), encoding="utf-8")
    if items is None:
        table.unlink(missing_ok=True)
    return path


def read(path: Path) -> Record:
    """The record in a file.

    Raises:
        BenchError: unreadable, or the record of another cell than the file's place says.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path} cannot be read: {error}. Remove it and run its cell again.") from None
    return from_json(text, str(path))


def find(results: Path, cell: Cell) -> Record | None:
    """The record of a cell, or None.

    Raises:
        BenchError: it cannot be read, or is that of another cell.
        UsageError: two cells whose names come to one place.
    """
    path = record_path(results, cell)
    if not path.is_file():
        return None
    record = read(path)
    if record.cell != cell:
        _refuse_shared(results, cell, record.cell)
        raise BenchError(f"{path} holds the record of {record.cell}. Remove it and run the cell of that place again.")
    return record


def refuse_shared(results: Path, cells: Iterable[Cell]) -> None:
    """Raise `UsageError` where two cells have one place."""
    taken: dict[Path, Cell] = {}
    for cell in cells:
        _refuse_shared(results, cell, taken.setdefault(record_path(results, cell), cell))


def _refuse_shared(results: Path, cell: Cell, other: Cell) -> None:
    path = record_path(results, cell)
    if cell != other and record_path(results, other) == path:
        raise UsageError(f"{cell} and {other} would both lie in {path}. Rename one of them.")


def items(results: Path, cell: Cell) -> pd.DataFrame:
    """The item table of a cell: set, id, cluster and one column a statistic.

    Raises:
        BenchError: missing, unreadable, or no item table.
    """
    table = arrow_items(results, cell).replace_schema_metadata()  # where columns have names again, without a checksum
    try:
        found: pd.DataFrame = table.to_pandas(use_threads=False)
    except (ValueError, LookupError, TypeError, AttributeError, pa.ArrowException) as error:
        raise BenchError(f"{items_path(results, cell)} is no item table: {error}. Run the cell again.") from None
    return found


def arrow_items(results: Path, cell: Cell) -> pa.Table:
    """The same as it is stored, half the time of a data frame where thousands are read.

    Raises:
        BenchError: missing, unreadable, or no item table.
    """
    path = items_path(results, cell)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:  # half the time of pandas' own way
            table = file.read(use_threads=False)
    except (OSError, ValueError, LookupError, TypeError, OverflowError, pa.ArrowException) as error:
        raise BenchError(f"{path} cannot be read: {error}. Run the cell again.") from None
    if lacking := [name for name in ("set", "id", "cluster") if name not in table.column_names]:
        raise BenchError(f"{path} is no item table: it has no {', '.join(lacking)}. Run the cell again.")
    if odd := _odd_column(table):
        raise BenchError(f"{path} is no item table: its column {odd}. Run the cell again.")
    return table


def _odd_column(table: pa.Table) -> str:
    """The first column that no item table has, and why; "" if there is none."""
    names = table.column_names
    for name, column in zip(names, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if names.count(name) > 1:
            return f"{name!a} stands there twice"
        if name not in ("set", "id", "cluster"):
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
                return f"{name!a} holds {kind}, no numbers"
        elif column.null_count or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            return f"{name!a} holds {kind}, no texts, or has gaps"
        else:
            try:
                column.validate(full=True)
            except pa.ArrowException as error:
                return f"{name!a} is damaged ({error})"
    return ""


def trouble(path: Path) -> str:
    """What is wrong with an item table, without reading all of it; "" if nothing is."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            end = file.read()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}. Run the cell again."
    footer = int.from_bytes(end[:4], "little")
    if end[4:] != _PARQUET or footer + 12 > size:
        return f"{path} is no whole Parquet file: its end is missing. Run the cell again."
    return ""


def records(results: Path, complain: Callable[[str], None]) -> Mapping[Cell, Record]:
    """Every readable record, by cell; every file that is not one or has no items is named through `complain`, once.

    A record whose item table is missing or cut short is complained of and yet returned: its scores are what they were,
    but nothing can be tested with it. Of two records of one cell that in its own place stands.

    Raises:
        BenchError: there is no such directory.
    """
    if not results.is_dir():
        raise BenchError(f"{results} is no directory. Run: python -m bench run --results {results}")
    found: dict[Cell, Record] = {}
    strays: list[tuple[Path, Cell]] = []
    for path in sorted(_candidates(results), key=str):
        try:
            record = read(path)
        except BenchError as error:
            complain(str(error))
            continue
        place = record_path(results, record.cell)
        if place != path:
            strays.append((path, record.cell))
            continue
        found[record.cell] = record
        if record.status == "ok" and (wrong := trouble(items_path(results, record.cell))):
            complain(wrong)
    for path, cell in strays:
        place = record_path(results, cell)
        if cell in found:
            complain(f"{path} claims {cell}, whose record is {place}: two for one cell. Remove one of them.")
        else:
            complain(f"{path} holds the record of {cell}, which belongs in {place}. Move it there.")
    return found


def _candidates(results: Path) -> Iterator[Path]:
    """Every JSON file that is, or could be, a record: not those of folders that hold something else."""
    for folder, folders, names in os.walk(results):
        here = Path(folder)
        folders[:] = [f for f in folders if not f.startswith(".") and not (here == results and f in NO_RECORDS)]
        yield from (here / name for name in [*names, *folders] if name.endswith(".json") and not name.startswith("."))


def count(left_out: int) -> str:
    """How many files were left out, in words."""
    return f"{left_out} file{'' if left_out == 1 else 's'} left out"
