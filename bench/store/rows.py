"""Rows as one compact file: Parquet, a line a text or a completed prompt. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.api import Ragged, Rows
from bench.errors import BenchError
from bench.store.files import atomically

VERSION = 1
_VERSION_KEY = b"bench.rows.version"

_VALUES = {"logp": np.float32, "hit": np.bool_, "mean": np.float32, "var": np.float32}
_TEXTS = {"set": "str", "id": "str", "cluster": "str", "role": "str", "index": "int64", "continuation": "str"}
_GENERATIONS = dict.fromkeys(("set", "id", "cluster", "role", "reference", "generation"), "str") | {"finished": "bool"}
_PROBES = {"reference_loss": "float64", "gradient_norm": "float64"}  # there only if they were asked for
_EXAMS = {"score": "float64", "abstained": "float64"}  # there only if an exam was held, or refusals were looked for
_LISTS = [f"{name}.list.element" for name, kind in _VALUES.items() if kind is np.float32]
_SAID = ("set", "id", "role", "generation", "reference")
_NAMES = ["set", "id", "cluster", "role"]


def write_rows(rows: Rows, path: Path) -> None:
    """Write `rows` to `path`, whole or not at all; folders are made as needed.

    Raises:
        BenchError: the file cannot be written there.
    """
    texts = _table(rows.texts, _TEXTS | {n: kind for n, kind in _PROBES.items() if n in rows.texts})
    for name in _VALUES:
        texts = texts.append_column(name, _lists(getattr(rows, name)))
    generations = _table(rows.generations, _GENERATIONS | {n: k for n, k in _EXAMS.items() if n in rows.generations})
    table = pa.concat_tables([texts, generations], promote_options="permissive")
    table = table.replace_schema_metadata({_VERSION_KEY: str(VERSION)})
    table = table.append_column("text", pa.array([True] * len(texts) + [False] * len(generations), pa.bool_()))
    with atomically(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=9,
            use_dictionary=_NAMES,
            use_byte_stream_split=_LISTS,
            write_page_checksum=True,
        )


def read_rows(path: Path) -> Rows:
    """What `write_rows` wrote.

    Raises:
        BenchError: the file is missing, broken, of another make or of a newer version; the message says what to do.
    """
    try:
        # The footer is read first, so that a file of a newer version is named as such and not as broken.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            version = (file.schema_arrow.metadata or {}).get(_VERSION_KEY)
            if version is None:
                raise BenchError(f"{path} is no file of rows. Choose another or delete it and run its cell again.")
            if int(version) > VERSION:
                raise BenchError(
                    f"{path} was written by a newer version (rows {int(version)}, here {VERSION}). Update bench."
                )
            table = file.read()
        return _rows(table)
    except FileNotFoundError as error:
        raise BenchError(f"there are no rows at {path}. Run its cell to measure them again.") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, pa.ArrowException) as error:
        raise BenchError(f"{path} is broken: {error}. Delete it and run its cell to measure it again.") from error


def read_generations(path: Path) -> dict[tuple[str, str], dict[str, tuple[str, str]]]:
    """Only what the model said: by (set, id), then role, its answer and the reference; much less than all to read.

    Raises:
        BenchError: the file is missing or broken.
    """
    try:
        return by_item(pq.read_table(path, columns=[*_SAID], filters=[("text", "=", False)]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, pa.ArrowException) as error:
        raise BenchError(f"{path} cannot be read: {error}. Run its cell to measure it again.") from error


def by_item(table: pa.Table) -> dict[tuple[str, str], dict[str, tuple[str, str]]]:
    """What was said by (set, id), then role, of a table with a line each.

    Raises:
        KeyError, ValueError: a column is missing, or holds other than texts.
    """
    columns = [table[name].to_pylist() for name in _SAID]
    if not all(isinstance(word, str) for column in columns for word in column):
        raise ValueError(f"{', '.join(_SAID)} are not all texts")
    found: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for set_, name, role, said, reference in zip(*columns, strict=True):
        found.setdefault((set_, name), {})[role] = (said, reference)
    return found


def _rows(table: pa.Table) -> Rows:
    is_text = table["text"]
    texts, generations = table.filter(is_text), table.filter(pa.compute.invert(is_text))
    values = {name: _ragged(texts[name], kind) for name, kind in _VALUES.items()}
    probed, examined = ({n: k for n, k in kinds.items() if n in table.column_names} for kinds in (_PROBES, _EXAMS))
    return Rows(_frame(texts, _TEXTS | probed), values["logp"], values["hit"], values["mean"], values["var"],
                _frame(generations, _GENERATIONS | examined))  # fmt: skip


def _table(frame: pd.DataFrame, columns: dict[str, str]) -> pa.Table:
    return pa.Table.from_pandas(frame[list(columns)].astype(columns), preserve_index=False)


def _frame(table: pa.Table, columns: dict[str, str]) -> pd.DataFrame:
    if gaps := [name for name, kind in columns.items() if kind != "float64" and table[name].null_count]:
        raise ValueError(f"{', '.join(gaps)} have gaps")
    if odd := [name for name, kind in columns.items() if kind == "str" and not _is_text(table[name].type)]:
        raise ValueError(f"{', '.join(odd)} are no texts")
    return pd.DataFrame({name: table[name].to_pandas().astype(kind) for name, kind in columns.items()})


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _lists(ragged: Ragged) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(ragged.offsets, pa.int64()), pa.array(ragged.flat))


def _ragged(column: pa.ChunkedArray, kind: type) -> Ragged:
    lists = column.combine_chunks()
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    if lists.null_count:
        raise ValueError("a text has no values")
    lengths = np.asarray(pa.compute.list_value_length(lists), np.int64)
    flat: np.ndarray = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), kind)
    return Ragged(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
