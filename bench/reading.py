"""JSON and Parquet that anybody may have written, to plain values that can be shown, hashed and written again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DEEPEST = 64
"""Lists and objects within one another. Nothing here nests deeper than ten, and what does exhausts Python's stack."""


def json_of(text: str | bytes) -> Any:
    """What a JSON text says; bytes are UTF-8.

    Raises:
        ValueError: it is no JSON, is nested too deep, or has half of a surrogate pair, which no file can hold.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [found]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            break
    else:
        raise ValueError(_TOO_DEEP)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(found, ensure_ascii=False).encode()
    return found


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file.

    Raises:
        OSError: it is not there, or may not be read.
        ValueError: it is no Parquet file, is damaged, or holds what has no place in Python.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found: list[dict[str, Any]] = pq.read_table(file, use_threads=False).to_pylist()
    except OSError:
        raise
    except (pa.ArrowException, ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return found


_TOO_DEEP = f"lists and objects are nested more than {DEEPEST} deep"
