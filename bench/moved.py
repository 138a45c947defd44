"""Where things were before the house had rooms, for keys that must not change.

Content keys hold the source of a method's own files, import lines included. These lines name other places now, the
code they import is what it was, and so finished cells stay finished: `bench.keys.source_hash` reads them as they were.
"""

from __future__ import annotations

FORMER = {
    "bench.contracts.Context": "bench.train",
    "bench.contracts.Step": "bench.train",
    "bench.contracts.Encoded": "bench.models",
    "bench.contracts.LM": "bench.models",
    "bench.model.architecture": "bench.architecture",
}
"""What a method's file may import, a name or a whole module, and the module that had it."""


def former(module: str, name: str) -> str:
    """The module that once held what `from module import name` imports now."""
    return FORMER.get(f"{module}.{name}", FORMER.get(module, module))
