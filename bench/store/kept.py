"""What was found and takes time to find again: JSON in RESULTS/analysis under its key, with a digest of itself.

A file that was cut off or changed is as good as none: it is found anew. Every file there is safe to delete.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.store import files


def path(results: Path, name: str) -> Path:
    """Where what is kept under that name lies."""
    return results / "analysis" / f"{name}.json"


def read(file: Path) -> Any:
    """What was kept.

    Raises:
        OSError: there is no such file.
        ValueError: it is not as it was written.
    """
    seal, _, text = file.read_bytes().partition(b"\n")
    if seal != _seal(text):
        raise ValueError(f"{file} is not as it was written")
    return json.loads(text)


def write(file: Path, plain: Any) -> None:
    """Keep plain values. Where that cannot be written nothing is kept, and it only takes longer every time."""
    text = json.dumps(plain).encode()
    try:
        with files.atomically(file) as temporary:
            temporary.write_bytes(_seal(text) + b"\n" + text)
    except BenchError:
        pass


def _seal(text: bytes) -> bytes:
    return json.dumps(hashlib.sha256(text).hexdigest()).encode()
